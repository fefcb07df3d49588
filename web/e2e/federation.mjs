// A student of another school: her account lives on a second homeserver that federates with the first, she signs in there, and draws with the
// teacher in the teacher's encrypted room. She is marked as external, is demoted, promoted and kicked while her own client does not cooperate.
import path from "node:path";
import { converged, serverAgrees } from "./lib/board.mjs";
import { savedToRoom } from "./lib/checkpoint.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

await run("federation", { args: ["-second-homeserver"] }, async (t) => {
  const { stack, step } = t;
  const { ready, teacher } = stack;
  const room = encodeURIComponent(ready.room_id);
  const carla = stack.user("carla");
  const home = carla.user_id.slice(carla.user_id.indexOf(":") + 1);
  const picture = (person, name) => process.env.E2E_OUT && person.screenshot(path.join(process.env.E2E_OUT, `federation-${name}.png`));
  const power = async (user, level) => {
    const levels = await stack.matrix(teacher, "GET", `/rooms/${room}/state/m.room.power_levels/`);
    levels.users[user.user_id] = level;
    await stack.matrix(teacher, "PUT", `/rooms/${room}/state/m.room.power_levels/`, levels);
    return performance.now();
  };
  const a = await t.person(teacher);
  const b = await t.person(carla);

  // Her homeserver's /sync can be held back: then her client learns nothing of what happens to her, as if it did not want to.
  const held = [];
  let hold = false;
  await b.page.route(`${carla.homeserver}/_matrix/client/v3/sync*`, (route) => (hold ? held.push(route) : route.continue()));

  await step("DV16 she signs in at her own homeserver and opens the board", async () => {
    assert.equal(ready.homeservers.length, 2);
    assert.notEqual(carla.homeserver, ready.homeserver);
    await Promise.all([a.enter(), b.enter()]);
    const session = await b.page.evaluate(() => JSON.parse(localStorage["lectern.classroom.session"]));
    assert.deepEqual([session.homeserver, session.userId], [carla.homeserver, carla.user_id]);
    assert.deepEqual([a.board.welcome.role, b.board.welcome.role], ["moderator", "participant"]);
    assert.equal(b.board.welcome.encrypted, true);
    assert.ok(b.prompts.includes("prompt-identity"), `asked: ${b.prompts}`);
    return `asked ${b.prompts}; ${carla.user_id}`;
  });

  await step("AU31 OpenID is verified at the second homeserver", async () => {
    const took = async (user) => {
      const start = performance.now();
      const session = await stack.session(user);
      const ms = performance.now() - start;
      await session.end();
      return Math.round(ms);
    };
    return `token and sign-in: local ${await took(teacher)} ms, federated ${await took(carla)} ms`;
  });

  await step("her stroke is seen while it is drawn", async () => {
    const where = [200, 180, 120, 60];
    const before = await a.board.ink(where);
    await b.board.tool("p");
    await b.board.down([210, 195]);
    await b.board.to([300, 230], 20);
    await b.board.to([480, 240], 20);
    const start = performance.now();
    await until("the teacher sees ink", async () => (await a.board.ink(where)) > before + 40, 5_000, 20);
    const seen = performance.now() - start;
    assert.equal((await a.board.visible()).length, 0, "the stroke must not be in the teacher's document yet");
    await picture(a, "live");
    await b.board.up();
    await converged([a.board, b.board], { count: 1 });
    return `${seen.toFixed(0)} ms after the pointer stopped`;
  });

  let drawn;
  await step("both draw at once: freehand, rectangle, text, bound arrow; equal on both pages and at the server", async () => {
    await Promise.all([
      (async () => {
        await a.board.rectangle([120, 320], [240, 400]);
        await a.board.text([130, 450], "Good morning");
      })(),
      (async () => {
        await b.board.rectangle([420, 320], [540, 400]);
        await b.board.freehand([[420, 450], [470, 480], [520, 450]]);
        await b.board.text([560, 450], "Bonjour");
      })(),
    ]);
    await converged([a.board, b.board], { count: 6 });
    await b.board.arrow([414, 360], [246, 360]);
    drawn = await converged([a.board, b.board], { count: 7 });
    const types = drawn.scene.filter((e) => !e.isDeleted).map((e) => e.type).sort();
    assert.deepEqual(types, ["arrow", "freedraw", "freedraw", "rectangle", "rectangle", "text", "text"]);
    const arrow = (await a.board.excalidraw()).find((e) => e.type === "arrow");
    assert.deepEqual([arrow.startBinding, arrow.endBinding].map((x) => drawn.scene.find((e) => e.id === x?.elementId)?.type), ["rectangle", "rectangle"]);
    const session = await stack.session(carla);
    const server = await until("the server's scene agrees", () => serverAgrees(session, b.board.doc, drawn));
    await session.end();
    return `${drawn.scene.length} elements, seq ${server.seq}, ${drawn.heads.length} head(s)`;
  });

  await step("both are on the data channel", async () => {
    await Promise.all([a, b].map((p) => until(`${p.name} on the data channel`, async () => (await p.board.lanes()).moves.toChannel > 0, 20_000)));
    const before = await b.board.lanes();
    await b.board.ellipse([600, 320], [660, 360]);
    drawn = await converged([a.board, b.board], { count: 8 });
    const { log } = await b.board.lanes();
    assert.ok(log.sent.changes > before.log.sent.changes, "her changes go over the data channel");
  });

  await step("she is marked with her server's name, for herself too; the teacher is not", async () => {
    for (const p of [a, b]) {
      await p.board.frame.locator(".status .line button[aria-expanded]").last().click();
      const people = await until("the list of people", async () => {
        const list = await p.board.frame.locator(".status .panel li").allInnerTexts();
        return list.length === 2 ? list : null;
      });
      const [hers] = people.filter((line) => line.includes("Carla"));
      const [theirs] = people.filter((line) => line.includes("Ms Rivera"));
      assert.ok(hers?.includes(`from ${home}`), `Carla: ${hers}`);
      assert.ok(theirs && !theirs.includes("from "), `Ms Rivera: ${theirs}`);
    }
    const label = [360, 110, 200, 60];
    const before = await a.board.ink(label);
    await until("her cursor with its label", async () => {
      await b.page.mouse.move(...(await b.board.at([360 + Math.random() * 5, 120])));
      return (await a.board.ink(label)) > before + 300;
    }, 10_000, 200);
    await picture(a, "people");
    for (const p of [a, b]) await p.board.frame.locator(".status .line button[aria-expanded]").last().click();
  });

  await step("the board is saved to the room; she decrypts the checkpoint with keys that came over federation", async () => {
    const { manifest } = await savedToRoom(b);
    return `seq ${manifest.seq}, ${manifest.docs.length} document(s)`;
  });

  await step("AU8 demoted she is a viewer at once: her drawing stays out; promoted she draws again", async () => {
    let since = await power(carla, -1);
    await until("viewer", async () => (await b.board.stats()).role === "viewer", 5_000, 10);
    const demoted = performance.now() - since;
    assert.ok(demoted < 2_000, `demotion took ${demoted.toFixed(0)} ms`);
    await b.board.frame.locator(".status .note").first().waitFor();
    const note = await b.board.frame.locator(".status .note").first().innerText();
    await picture(b, "viewer");
    await b.page.keyboard.press("r");
    await b.board.drag([[150, 100], [250, 150]]);
    await a.board.rectangle([620, 180], [660, 220]);
    drawn = await converged([a.board, b.board], { count: 9 });
    assert.equal(drawn.visible, 9, "the viewer's drag drew nothing");
    since = await power(carla, 0);
    await until("participant", async () => (await b.board.stats()).role === "participant", 5_000, 10);
    const promoted = performance.now() - since;
    assert.ok(promoted < 2_000, `promotion took ${promoted.toFixed(0)} ms`);
    await b.board.rectangle([150, 100], [250, 150]);
    drawn = await converged([a.board, b.board], { count: 10 });
    return `viewer after ${demoted.toFixed(0)} ms, participant after ${promoted.toFixed(0)} ms; "${note}"`;
  });

  await step("AU7 kicked, her session ends within 2 s although her client ignores it; what is drawn afterwards does not reach her", async () => {
    hold = true;
    await power(carla, 0).then(() => stack.matrix(teacher, "PUT", `/rooms/${room}/state/m.room.topic/`, { topic: "ends the request that is under way" }));
    await until("her /sync is held", () => held.length > 0, 25_000);
    const session = await stack.session(carla); // a second one, without a browser
    await stack.matrix(teacher, "POST", `/rooms/${room}/kick`, { user_id: carla.user_id });
    const kicked = performance.now();
    const ended = async (check) => {
      await until("her session has ended", check, 10_000, 10);
      return performance.now() - kicked;
    };
    const refused = (err) => ({ closed: [401, 403].includes(err.status) });
    const [page, token] = await Promise.all([
      ended(async () => (await b.board.stats()).link.kind === "closed"),
      ended(async () => (await session.scene(b.board.doc).then(() => ({ closed: false }), refused)).closed),
    ]);
    const { link } = await b.board.stats();
    assert.equal(link.code, "removed");
    assert.ok(page < 2_000 && token < 2_000, `page after ${page.toFixed(0)} ms, token after ${token.toFixed(0)} ms`);
    const before = await b.board.heads();
    await a.board.rectangle([560, 500], [640, 540]);
    await converged([a.board], { count: 11 });
    assert.deepEqual(await b.board.heads(), before, "nothing reaches her any more");
    assert.deepEqual(before, drawn.heads);
    await picture(b, "kicked");
    return `page ${page.toFixed(0)} ms, token ${token.toFixed(0)} ms after the homeserver's 200`;
  });

  await step("she cannot sign in again: not by herself, not by reloading", async () => {
    await assert.rejects(stack.session(carla), (err) => err.status === 403 && err.message.includes("not_joined"));
    hold = false;
    await Promise.all(held.splice(0).map((route) => route.continue().catch(() => {})));
    const entry = b.page.getByTestId(`room-${ready.room_id}`);
    await entry.waitFor({ state: "detached", timeout: 30_000 });
    await b.page.reload();
    await b.page.locator(".workspace").waitFor({ timeout: 60_000 });
    await picture(b, "gone");
    assert.deepEqual([await entry.count(), await b.page.locator("iframe[data-widget]").count()], [0, 0]);
    assert.equal((await a.board.stats()).people, 1);
  });
});
