// A call where the network lets nothing through but a TURN server: unmodified Element Calls, relays only, with the credentials that LiveKit gives out.
// First the built-in server, then coturn as docs/turn.md configures it. Its own script: `make e2e ONLY=relaycall`.
import { Call, MEDIA } from "./lib/call.mjs";
import { serveElementCall } from "./lib/elementcall.mjs";
import { liveKitURL } from "./lib/livekit.mjs";
import { launch } from "./lib/person.mjs";
import { paths, startCoturn, through } from "./lib/relay.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

const elementCall = await serveElementCall();
const args = ["-calls", "-element-call", elementCall];

await run("relaycall", { args, switches: MEDIA }, async (t) => {
  await t.step("TN12 through the built-in TURN server alone: video both ways", () => call(t));
  const coturn = await startCoturn();
  await t.closeBrowser();
  await t.restart(undefined, {}, [...args, "-turn", coturn.at, "-turn-secret", coturn.secretFile]);
  t.browser = await launch(MEDIA);
  await t.step("TN12 through coturn alone: video both ways", () => call(t, coturn.at));
});

/** Two people in a call; answers how it went. `server`: the address that relays must be at, if it is known. */
async function call(t, server = "127.0.0.1:") {
  const { stack } = t;
  const enter = async (user) => {
    const p = await t.person(user);
    p.faults.allowed.push(elementCall, liveKitURL(stack), `https://${stack.ready.server_name}`); // the last: Element Call looks for a well-known file
    await through(p, "relay");
    await p.enter();
    await p.page.getByTestId("call-open").click();
    const c = new Call(p, elementCall);
    await c.lobby();
    await c.join();
    return c;
  };
  const hers = await enter(stack.teacher);
  const theirs = await enter(stack.user("ada"));
  const began = Date.now();
  const firsts = await Promise.all([hers.sees("Ada"), theirs.sees("Ms Rivera")]);
  const notes = [];
  for (const c of [hers, theirs]) {
    const list = await until(`${c.person.name}'s media have a path`, async () => {
      const all = await paths(c.frame);
      return all.some((p) => p.received > 100_000) && all.some((p) => p.sent > 100_000) ? all : null;
    }, 60_000);
    for (const p of list) {
      assert.deepEqual([p.local, p.others], ["relay", 0], JSON.stringify(p));
      assert.ok(p.server.startsWith(`turn:${server}`), p.server);
    }
    notes.push(`${c.person.name} by ${list.map((p) => `relay over ${p.protocol} (${p.sent} sent, ${p.received} received)`).join(", ")}`);
  }
  for (const c of [hers, theirs]) {
    await c.person.page.getByTestId("call-close").click(); // or who was here stays as a tile without video
    await c.gone();
  }
  return `first frames after ${firsts.map((ms) => ms - began)} ms; ${notes.join("; ")}`;
}
