// A call with video both ways in the encrypted room: an unmodified Element Call as the page's own widget, a real LiveKit, Lectern's tokens. What moderators decide is in callmod.mjs.
// Its own script: `make e2e ONLY=call`. The first start on a machine builds LiveKit (3 to 7 minutes); E2E_OUT keeps screenshots.
import path from "node:path";
import { violations } from "./lib/axe.mjs";
import { Call, enterCall, MEDIA } from "./lib/call.mjs";
import { serveElementCall } from "./lib/elementcall.mjs";
import { participants } from "./lib/livekit.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

const elementCall = await serveElementCall();
const FIRST_FRAME_MS = 30_000; // 8 to 11 s on two busy cores

await run("call", { args: ["-calls", "-element-call", elementCall], switches: MEDIA }, async (t) => {
  const { stack, step } = t;
  const room = stack.ready.room_id;
  const at = `/rooms/${encodeURIComponent(room)}`;
  const student = stack.user("ada");
  const shot = async (p, name) => process.env.E2E_OUT && p.screenshot(path.join(process.env.E2E_OUT, `call-${name}.png`));
  const rivera = await enterCall(t, stack.teacher, elementCall);
  const hers = new Call(rivera, elementCall);
  const ada = await enterCall(t, student, elementCall);
  const theirs = new Call(ada, elementCall);
  const put = (type, key, content) => stack.matrix(stack.teacher, "PUT", `${at}/state/${type}/${encodeURIComponent(key)}`, content);
  const levels = await stack.matrix(stack.teacher, "GET", `${at}/state/m.room.power_levels/`);

  await step("CE9 where calls take a level, who lacks it reads that, and a moderator lets everybody in", async () => {
    const { ["org.matrix.msc3401.call.member"]: _, ...events } = levels.events;
    await put("m.room.power_levels", "", { ...levels, events });
    await until("the student's page knows", () => ada.page.evaluate((id) => __classroom.powers(id).powerLevels.events["org.matrix.msc3401.call.member"] === undefined, room));
    await ada.page.getByTestId("call-open").click();
    await ada.page.getByTestId("call-refused").getByText("Ask Ms Rivera").waitFor();
    assert.deepEqual(await violations(ada.page), [], "accessibility of the refusal");
    await ada.page.keyboard.press("Escape");
    await rivera.page.getByTestId("call-open").click();
    await rivera.page.getByTestId("call-others").getByRole("button").click();
    await rivera.page.getByTestId("call-others").waitFor({ state: "detached" });
    assert.deepEqual((await stack.matrix(stack.teacher, "GET", `${at}/state/m.room.power_levels/`)).events, levels.events);
  });

  await step("CE2 CE10 the lobby: nobody is seen yet; the frame is Element Call's own origin, with a name", async () => {
    await hers.lobby();
    assert.equal((await hers.memberships()).length, 0);
    const frame = rivera.page.locator("iframe[data-call]");
    assert.equal(await frame.getAttribute("allow"), "camera; microphone; display-capture; autoplay; fullscreen");
    assert.match(await frame.getAttribute("title"), /^Call, content of 127\.0\.0\.1:/);
    assert.equal(await rivera.page.evaluate(() => document.activeElement?.hasAttribute("data-call")), true, "the keyboard is in the call");
    await shot(rivera, "lobby");
  });

  await step("CE4 CE6 she joins: her membership names this Lectern's token service", async () => {
    await hers.join();
    const [member] = await until("her membership", async () => ((await hers.memberships()).length === 1 ? hers.memberships() : null));
    assert.equal(member.state_key, `_${stack.teacher.user_id}_${member.content.device_id}_m.call`);
    assert.equal(member.content.foci_preferred[0].livekit_service_url, `${stack.ready.lectern}/livekit/jwt`);
  });

  await step("CE7 CE10 the student hears of it and enters by keyboard", async () => {
    const button = ada.page.getByTestId("call-open");
    await until("the button says so", async () => (await ada.page.getByTestId("call-count").textContent()) === "1");
    assert.match(await button.getAttribute("aria-label"), /Ms Rivera/);
    assert.deepEqual(await violations(ada.page), [], "accessibility before the call");
    await button.focus();
    await ada.page.keyboard.press("Enter");
    await theirs.lobby();
    await shot(ada, "lobby-student");
    const joining = theirs.frame.getByTestId("lobby_joinCall");
    await joining.focus();
    await ada.page.keyboard.press("Enter");
  });

  await step("CE5 video both ways, decrypted; keys go by Olm alone", async () => {
    const began = Date.now();
    const firsts = await Promise.all([hers.sees("Ada"), theirs.sees("Ms Rivera")]);
    const took = firsts.map((ms) => ms - began);
    assert.ok(Math.max(...took) < FIRST_FRAME_MS, `first remote frames after ${took} ms`);
    for (const call of [hers, theirs]) {
      assert.ok(call.toDevice.includes("m.room.encrypted"), "a key was sent");
      assert.deepEqual(call.toDevice.filter((type) => type !== "m.room.encrypted"), [], "nothing in clear");
    }
    const people = await participants(stack, room);
    assert.equal(people.length, 2);
    for (const p of people) {
      assert.equal(p.tracks.length, 2, p.identity);
      for (const track of p.tracks) assert.equal(track.encryption, "GCM", `${p.identity} ${track.source}`);
    }
    return `first frame of Ada after ${took[0]} ms, of Ms Rivera after ${took[1]} ms`;
  });

  await step("CE10 beside the board, large, and at 360 px; light, dark; German", async () => {
    await shot(rivera, "beside");
    assert.deepEqual(await violations(ada.page), [], "accessibility in the call");
    const src = await ada.page.locator("iframe[data-call]").getAttribute("src");
    await ada.page.getByTestId("call-large").click();
    await shot(ada, "large");
    assert.equal(await ada.page.locator(".room-body").isVisible(), false);
    await ada.page.getByTestId("call-large").click();
    await ada.page.setViewportSize({ width: 360, height: 720 });
    assert.ok((await ada.page.evaluate(() => document.documentElement.scrollWidth)) <= 360);
    await ada.page.emulateMedia({ colorScheme: "dark" });
    await theirs.sees("Ms Rivera");
    await shot(ada, "phone-dark");
    await ada.page.getByTestId("call-large").click();
    await shot(ada, "phone-large");
    assert.deepEqual(await violations(ada.page), [], "accessibility at 360 px, dark");
    await ada.page.getByTestId("call-large").click();
    await ada.page.setViewportSize({ width: 1280, height: 800 });
    await rivera.page.getByTestId("account").click();
    await rivera.page.locator(".menu select").selectOption("de");
    await rivera.page.keyboard.press("Escape");
    await rivera.page.getByTestId("call").getByText("Verlassen").waitFor();
    await shot(rivera, "german");
    await rivera.page.getByTestId("account").click();
    await rivera.page.locator(".menu select").selectOption("en");
    await rivera.page.keyboard.press("Escape");
    assert.equal(await ada.page.locator("iframe[data-call]").getAttribute("src"), src, "the frame was not reloaded");
    await theirs.sees("Ms Rivera");
  });

  await step("CE3 a board may not open the call", async () => {
    const board = rivera.page.frames().find((f) => f.url().startsWith(`${stack.ready.lectern}/widgets/whiteboard`));
    const answer = await board.evaluate(ask);
    assert.match(answer.response.error.message, /Unknown or unsupported/);
  });

  await step("CE8 leaving by the page's button: the membership goes, and the other sees it", async () => {
    const began = Date.now();
    await ada.page.getByTestId("call-close").click();
    await theirs.gone();
    const took = Date.now() - began;
    await until("Ms Rivera is alone", async () => (await hers.tile("Ada")) === null);
    return `${took} ms`;
  });

  await step("CE8 a reload in the middle of a call leaves no membership", async () => {
    await ada.page.getByTestId("call-open").click();
    await theirs.lobby();
    await theirs.join();
    await hers.sees("Ada");
    await ada.page.reload();
    await until("no membership", async () => (await theirs.memberships()).length === 0, 15_000);
    await ada.openBoard();
  });

  await step("CE8 signing out hangs up first", async () => {
    assert.equal((await hers.memberships()).length, 1);
    await rivera.page.getByTestId("account").click();
    await rivera.page.getByTestId("sign-out").click();
    await rivera.page.locator("form").waitFor({ timeout: 20_000 });
    await until("no membership", async () => (await hers.memberships()).length === 0);
  });
});

/** Runs in a widget: asks the client to open the call, and gives its answer. */
function ask() {
  const p = new URL(location.href).searchParams;
  return new Promise((resolve) => {
    const requestId = `ask-${Math.random()}`;
    addEventListener("message", (ev) => ev.data?.requestId === requestId && ev.data.response && resolve(ev.data));
    parent.postMessage({ api: "fromWidget", widgetId: p.get("widgetId"), requestId, action: "com.educationpub.open_call", data: {} }, new URL(p.get("parentUrl")).origin);
  });
}
