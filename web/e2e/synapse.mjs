// A call on Synapse, which has what Dendrite lacks: delayed events (MSC4140). Video both ways; a browser that dies is taken out of the call by the homeserver itself,
// and by Lectern where the homeserver cannot. Skipped, and says why, where Synapse cannot be had (.ci/synapse). E2E_OUT keeps screenshots.
import { spawnSync } from "node:child_process";
import path from "node:path";
import { Call, MEDIA } from "./lib/call.mjs";
import { serveElementCall } from "./lib/elementcall.mjs";
import { liveKitURL, participants } from "./lib/livekit.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

const unpacked = spawnSync(path.resolve(import.meta.dirname, "../../.ci/synapse"), { encoding: "utf8" });
if (unpacked.status === 3) {
  console.log(`e2e synapse: SKIPPED: ${unpacked.stderr.trim()}`);
  process.exit(0);
}
if (unpacked.status !== 0) throw new Error(unpacked.stderr);
console.log(unpacked.stderr.trim());
const elementCall = await serveElementCall();

await run("synapse", { args: ["-calls", "-element-call", elementCall, "-synapse", unpacked.stdout.trim()], switches: MEDIA }, async (t) => {
  const { stack, step } = t;
  const room = stack.ready.room_id;
  const at = `/rooms/${encodeURIComponent(room)}`;
  const enter = async (user) => {
    const p = await t.person(user);
    p.faults.allowed.push(elementCall, liveKitURL(stack), `https://${stack.ready.server_name}`); // the last: Element Call looks for a well-known file
    await p.enter();
    return p;
  };
  const rivera = await enter(stack.teacher);
  const hers = new Call(rivera, elementCall);
  const ada = await enter(stack.user("ada"));
  const theirs = new Call(ada, elementCall);
  const delayed = [];
  ada.page.on("request", (r) => /delay/.test(r.url()) && delayed.push(`${r.method()} ${new URL(r.url()).pathname.replace(/!.*?\//, "…/")}`));

  await step("the homeserver has delayed events", async () => {
    const { unstable_features } = await (await fetch(`${stack.ready.homeserver}/_matrix/client/versions`)).json();
    assert.equal(unstable_features["org.matrix.msc4140"], true);
  });

  await step("CE5 both join; video both ways, encrypted", async () => {
    for (const call of [hers, theirs]) {
      await call.person.page.getByTestId("call-open").click();
      await call.lobby();
      await call.join();
    }
    const began = Date.now();
    const firsts = await Promise.all([hers.sees("Ada"), theirs.sees("Ms Rivera")]);
    for (const p of await participants(stack, room)) for (const track of p.tracks) assert.equal(track.encryption, "GCM", `${p.identity} ${track.source}`);
    if (process.env.E2E_OUT) await rivera.screenshot(path.join(process.env.E2E_OUT, "synapse-call.png"));
    return `first frames after ${firsts.map((ms) => Math.max(0, ms - began))} ms`;
  });

  await step("CE6 the end of the membership is left with the homeserver, and kept away while the call goes on", async () => {
    await until("a delayed event", () => delayed.some((r) => r.startsWith("PUT")));
    await until("it is put off", () => delayed.some((r) => r.startsWith("POST")), 30_000);
    return [...new Set(delayed)].slice(0, 3).join(", ");
  });

  await step("CE6 FO8 her browser dies: the homeserver takes her out of the call in her own name", async () => {
    const [member] = await theirs.memberships();
    const devtools = await ada.page.context().newCDPSession(ada.page);
    const began = Date.now();
    devtools.send("Page.crash").catch(() => {});
    const left = await until("her membership to be empty", async () => {
      const state = await stack.matrix(stack.teacher, "GET", `${at}/state`);
      const e = state.find((s) => s.type === member.type && s.state_key === member.state_key);
      return Object.keys(e.content).length === 0 && e;
    }, 60_000, 250);
    const took = Date.now() - began;
    await until("Ms Rivera is alone", async () => (await hers.tile("Ada")) === null, 30_000);
    return `after ${took} ms, by ${left.sender === stack.user("ada").user_id ? "the homeserver, in her name" : left.sender}`;
  });

  await step("FO7 banned from the room: out of the call", async () => {
    const ben = await enter(stack.students()[1]);
    const his = new Call(ben, elementCall);
    await ben.page.getByTestId("call-open").click();
    await his.lobby();
    await his.join();
    await hers.sees("Ben");
    const began = Date.now();
    await stack.matrix(stack.teacher, "POST", `${at}/ban`, { user_id: ben.user.user_id });
    await until("LiveKit has only the teacher", async () => (await participants(stack, room)).every((p) => p.identity.startsWith(stack.teacher.user_id)), 10_000, 20);
    const took = Date.now() - began;
    await ben.page.getByText("You are no longer in this room").waitFor();
    return `after ${took} ms`;
  });
});
