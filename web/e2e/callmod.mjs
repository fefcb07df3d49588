// What a moderator decides about a real call, pressed in Lectern's page about it, and what an unmodified Element Call, the other side and the student make of it.
// Its own script: `make e2e ONLY=callmod`. E2E_OUT keeps screenshots.
import path from "node:path";
import { violations } from "./lib/axe.mjs";
import { Call, enterCall, MEDIA } from "./lib/call.mjs";
import { serveElementCall } from "./lib/elementcall.mjs";
import { Launcher } from "./lib/launcher.mjs";
import { participants } from "./lib/livekit.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

const elementCall = await serveElementCall();
const SOON_MS = 10_000; // "within seconds"

await run("callmod", { args: ["-calls", "-element-call", elementCall], switches: MEDIA }, async (t) => {
  const { stack, step } = t;
  const room = stack.ready.room_id;
  const at = `/rooms/${encodeURIComponent(room)}`;
  const [student, other] = stack.students();
  const shot = async (p, name) => process.env.E2E_OUT && p.screenshot(path.join(process.env.E2E_OUT, `callmod-${name}.png`));
  const rivera = await enterCall(t, stack.teacher, elementCall);
  const ada = await enterCall(t, student, elementCall);
  const [hers, theirs] = [new Call(rivera, elementCall), new Call(ada, elementCall)];
  const inLiveKit = async () => (await participants(stack, room)).map((p) => p.identity.split(":")[0]).sort();
  let teacher, pupil;

  await step("CA1 AD11 the teacher adds the call to the room; who has a board open keeps it in front", async () => {
    await rivera.page.getByTestId("add-open").click();
    await rivera.page.locator("dialog[open]").getByText("Call", { exact: true }).click();
    await rivera.page.locator("dialog[open]").getByTestId("add-submit").click();
    await rivera.page.getByTestId("add-dialog").waitFor({ state: "detached", timeout: 30_000 });
    teacher = await new Launcher(rivera).open();
    assert.equal(await teacher.headline(), "Nobody is in the call");
    await shot(rivera, "nobody");
    assert.equal(await ada.page.getByRole("tab", { name: "Whiteboard" }).getAttribute("aria-selected"), "true");
    pupil = await new Launcher(ada).open();
    assert.equal(await pupil.headline(), "Nobody is in the call");
    assert.equal(await pupil.frame.locator(".everybody").count(), 0);
  });

  await step("CE3 CA3 Start and Join open the call; video both ways", async () => {
    await teacher.button("Start the call").click();
    await hers.lobby();
    await hers.join();
    await until("the student's page says that there is a call", async () => (await pupil.headline()) === "1 person is in the call");
    await pupil.button("Join").click();
    await theirs.lobby();
    await theirs.join();
    await Promise.all([hers.sees("Ada"), theirs.sees("Ms Rivera")]);
  });

  await step("CA5 who is in the call, what their devices do, and who only says so", async () => {
    const all = { microphone: "on", camera: "on", screen_share: "off" };
    for (const launcher of [teacher, pupil]) {
      for (const name of ["Ms Rivera", "Ada"]) {
        await launcher.lists(name, ({ media }) => JSON.stringify(media) === JSON.stringify(all), SOON_MS);
      }
      assert.equal(await launcher.headline(), "2 people are in the call");
    }
    assert.deepEqual((await teacher.row("Ms Rivera")).marks, ["(you)", "moderator"]);
    assert.deepEqual((await teacher.row("Ms Rivera")).buttons, []);
    assert.deepEqual((await teacher.row("Ada")).buttons, ["Mute", "More"]);
    assert.deepEqual((await pupil.row("Ms Rivera")).buttons, []);
    // A device that says it is in the call and is not, as after a crash.
    const [mine] = await theirs.memberships();
    const key = `_${other.user_id}_CRASHED_m.call`;
    await stack.matrix(other, "PUT", `${at}/state/${mine.type}/${encodeURIComponent(key)}`, { ...mine.content, device_id: "CRASHED", membershipID: `${other.user_id}:CRASHED` });
    const took = await teacher.lists("Ben", ({ marks }) => marks.includes("not connected"), SOON_MS);
    assert.equal(await teacher.headline(), "2 people are in the call", "who only says so does not count");
    return `after ${took} ms`;
  });

  await step("CA9 looked at: light, dark, German, 360 px, for teacher and student; axe", async () => {
    const looks = async (who, launcher, name) => {
      assert.deepEqual(await violations(launcher.frame), [], `accessibility of the ${name}`);
      assert.ok(await launcher.frame.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} scrolls sideways`);
      await shot(who, name);
    };
    await looks(rivera, teacher, "teacher-beside");
    await looks(ada, pupil, "student-beside");
    await teacher.button("More: Ada").click();
    await rivera.page.setViewportSize({ width: 1720, height: 900 });
    await looks(rivera, teacher, "teacher-wide");
    await rivera.page.setViewportSize({ width: 1280, height: 800 });
    await rivera.page.emulateMedia({ colorScheme: "dark" });
    await ada.page.emulateMedia({ colorScheme: "dark" });
    await looks(rivera, teacher, "teacher-dark");
    await looks(ada, pupil, "student-dark");
    await Promise.all([rivera, ada].map((p) => p.page.setViewportSize({ width: 360, height: 780 })));
    await looks(rivera, teacher, "teacher-360-dark");
    await looks(ada, pupil, "student-360-dark");
    for (const p of [rivera, ada]) {
      await p.page.emulateMedia({ colorScheme: "light" });
      await p.page.setViewportSize({ width: 1280, height: 800 });
    }
    await teacher.button("Less: Ada").click();
  });

  await step("CA9 in German, for a teacher and a student who are not in it, 360 px", async () => {
    for (const [user, name, buttons] of [[stack.teacher, "Rivera", ["Stummschalten", "Mehr"]], [other, "Ben", []]]) {
      const p = await enterCall(t, user, elementCall, { locale: "de-DE" });
      const launcher = await new Launcher(p).open();
      assert.equal(await launcher.headline(), "2 Personen sind im Anruf");
      assert.deepEqual((await launcher.row("Ada")).buttons, buttons);
      assert.deepEqual(await violations(launcher.frame), [], `accessibility for ${name}, German`);
      await shot(p, `german-${name}`);
      await p.page.getByTestId("toggle-people").click();
      await p.page.setViewportSize({ width: 360, height: 780 });
      assert.ok(await launcher.frame.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "scrolls sideways");
      assert.deepEqual(await violations(launcher.frame), [], `accessibility for ${name}, German, 360 px`);
      await launcher.frame.locator(".people").scrollIntoViewIfNeeded();
      await shot(p, `german-360-${name}`);
      await p.close();
    }
  });

  await step("FO9 CA8 Mute: the other side shows it; she switches it on again herself", async () => {
    await rivera.page.getByTestId("call-large").click(); // beside the board Element Call shows the icon only from three people on
    await until("the icon of a microphone that is on", async () => (await hers.tile("Ada")).labels.includes("Microphone on"));
    await rivera.page.getByTestId("call-large").click();
    const began = Date.now();
    await teacher.decide("Mute", "Ada");
    await teacher.said(/^Ada’s microphone is off\.$/);
    const said = Date.now() - began;
    await teacher.lists("Ada", ({ media }) => media.microphone === "muted", SOON_MS);
    const listed = Date.now() - began;
    await pupil.lists("Ada", ({ media }) => media.microphone === "muted", SOON_MS);
    await rivera.page.getByTestId("call-large").click();
    await until("Ms Rivera sees that Ada is muted", async () => (await hers.tile("Ada")).labels.includes("Microphone off"));
    await rivera.page.getByTestId("call-large").click();
    await shot(rivera, "muted");
    // Element Call goes on showing its own microphone as on after the server has muted it: where it does, it takes a second press.
    await ada.page.getByTestId("call-large").click(); // beside the board its buttons go away with two people, until somebody points at them
    const button = theirs.frame.getByTestId("incall_mute");
    const shown = await button.getAttribute("aria-checked");
    let presses = 0;
    for (let heard = false; !heard && presses < 2; presses++) {
      await button.click();
      heard = await teacher.lists("Ada", ({ media }) => media.microphone === "on", 4000).then(() => true, () => false);
    }
    await ada.page.getByTestId("call-large").click();
    assert.equal((await teacher.row("Ada")).media.microphone, "on");
    return `her own button says ${shown}, on again after ${presses} presses; said after ${said} ms, listed after ${listed} ms`;
  });

  await step("FO5 CA6 a source is forbidden to everybody, then allowed again", async () => {
    const box = teacher.frame.locator(".everybody").getByLabel("Camera");
    await box.click();
    await teacher.said(/^Everybody may use now: microphone and screen sharing\.$/);
    await teacher.lists("Ada", ({ media }) => media.camera === "off", SOON_MS);
    await teacher.lists("Ms Rivera", ({ media }) => media.camera === "on", SOON_MS);
    await until("the student reads it", async () => /You may use here: microphone and screen sharing/.test(await pupil.frame.locator(".stand").innerText()));
    await until("Ms Rivera sees no video of Ada", async () => (await hers.tile("Ada"))?.width === 0);
    await shot(rivera, "no-camera");
    await shot(ada, "no-camera-student");
    await box.click();
    await teacher.said(/^Everybody may use now: microphone, camera,? and screen sharing\.$/);
    await until("the student reads nothing of it any more", async () => !/You may use here/.test(await pupil.frame.locator(".stand").innerText()));
  });

  const over = (p) => p.page.getByTestId("call-over");
  const says = async (p, kind, like) => {
    await p.page.locator(`[data-testid="call-over"][data-kind="${kind}"]`).waitFor({ timeout: 20_000 });
    assert.match(await over(p).innerText(), like);
  };

  await step("FO9 CE11 CA4 Remove from the call: out at once, told why in both places, no way back, also not by a reload", async () => {
    const began = Date.now();
    await teacher.decide("Remove from the call", "Ada");
    await says(ada, "removed", /You were removed from the call[^]*Decided by: Ms Rivera\./);
    const told = Date.now() - began;
    await until("she is out", async () => (await inLiveKit()).join() === "@teacher");
    await until("Ms Rivera has no tile of her", async () => (await hers.tile("Ada")) === null, 20_000);
    await until("no membership", async () => (await theirs.memberships()).length === 0);
    await teacher.said(/^Ada is out of the call/);
    await until("her call page says so", async () => (await pupil.headline()) === "You were removed from the call");
    assert.equal(await pupil.button("Join").count(), 0);
    await teacher.lists("Ada", ({ marks, buttons }) => marks.includes("removed from the call") && buttons.includes("Let back in"), SOON_MS);
    await shot(ada, "removed");
    await shot(rivera, "removed-teacher");
    assert.deepEqual(await violations(ada.page), [], "accessibility of what she is told");
    await until("what the call leaves behind is gone", async () => (await ada.page.getByTestId("call").getAttribute("data-phase")) === "over");
    const tries = async () => {
      await theirs.lobby();
      await theirs.frame.getByTestId("lobby_joinCall").click();
      await says(ada, "removed", /You were removed from the call[^]*Decided by: a moderator/);
    };
    await over(ada).getByRole("button", { name: "Try again" }).click();
    await tries();
    await ada.page.reload();
    await ada.openBoard();
    await ada.page.getByTestId("call-open").click();
    await tries();
    await shot(ada, "not-let-in");
    assert.deepEqual(await inLiveKit(), ["@teacher"]);
    return `told after ${told} ms`;
  });

  await step("FO9 CE11 Let back in: the student is told, and comes back", async () => {
    await teacher.decide("Let back in", "Ada");
    await until("she reads it", async () => /open to you again/.test(await over(ada).innerText()), 20_000);
    await shot(ada, "readmitted");
    await over(ada).getByRole("button", { name: "Join again" }).click();
    await theirs.lobby();
    await theirs.join();
    await Promise.all([hers.sees("Ada"), theirs.sees("Ms Rivera")]);
    await pupil.open(); // the reload put the board in front
  });

  await step("FO9 CE11 CA6 End the call for everyone: asks first, stays ended", async () => {
    await teacher.button("End the call for everyone …").click();
    await teacher.button("End the call").click();
    await Promise.all([says(rivera, "ended", /over for everyone[^]*Ended by: you\./), says(ada, "ended", /over for everyone[^]*Ended by: Ms Rivera\./)]);
    await until("nobody is in it", async () => (await inLiveKit().catch((err) => (/not_found|not exist/.test(err.message) ? [] : Promise.reject(err)))).length === 0);
    await until("no memberships", async () => (await Promise.all([hers.memberships(), theirs.memberships()])).flat().length === 0);
    for (const launcher of [teacher, pupil]) await until("the page says so", async () => (await launcher.headline()) === "A moderator has ended the call");
    assert.deepEqual([await pupil.button("Start again").count(), await teacher.button("Start again").count()], [0, 1]);
    await shot(rivera, "ended-teacher");
    await shot(ada, "ended");
    await until("it is left", async () => (await ada.page.getByTestId("call").getAttribute("data-phase")) === "over");
    await over(ada).getByRole("button", { name: "Try again" }).click();
    await theirs.lobby();
    await theirs.frame.getByTestId("lobby_joinCall").click();
    await says(ada, "ended", /Ended by: a moderator/);
    assert.equal((await inLiveKit().catch(() => [])).length, 0);
  });

  await step("FO9 CE11 Start again: both are told, and come back", async () => {
    await teacher.button("Start again").click();
    for (const p of [rivera, ada]) await until("told", async () => /open to you again/.test(await over(p).innerText()), 20_000);
    for (const [p, call] of [[rivera, hers], [ada, theirs]]) {
      await over(p).getByRole("button", { name: "Join again" }).click();
      await call.lobby();
      await call.join();
    }
    await Promise.all([hers.sees("Ada"), theirs.sees("Ms Rivera")]);
  });

  await step("FO9 CE11 Ban: out of the room and of its call", async () => {
    const began = Date.now();
    await teacher.decide("Ban …", "Ada");
    await teacher.frame.getByRole("dialog").getByRole("button", { name: "Ban", exact: true }).click();
    await says(ada, "out", /You are no longer in its room/);
    const told = Date.now() - began;
    await teacher.said(/^Ada is banned from the room\.$/);
    await until("she is out", async () => (await inLiveKit()).join() === "@teacher");
    await until("Ms Rivera has no tile of her", async () => (await hers.tile("Ada")) === null, 20_000);
    await ada.page.getByText("You are no longer in this room").waitFor();
    await shot(ada, "banned");
    await over(ada).getByRole("button", { name: "Close" }).click({ timeout: 20_000 });
    await ada.page.getByTestId("call").waitFor({ state: "detached" });
    const member = await stack.matrix(stack.teacher, "GET", `${at}/state/m.room.member/${encodeURIComponent(student.user_id)}`);
    assert.equal(member.membership, "ban");
    return `told after ${told} ms`;
  });
});
