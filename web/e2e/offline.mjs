// What is drawn without network, in a tab that is closed, or across a squash, arrives: nothing of anybody's work is lost.
// OFFLINE_SECONDS (8) is how long the student is away; E2E_SHOTS a folder for pictures of the status line.
import { setTimeout as sleep } from "node:timers/promises";
import { serverAgreesFully } from "./lib/agree.mjs";
import { converged } from "./lib/board.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";
import { bringWeather } from "./lib/weather.mjs";

const SECONDS = Number(process.env.OFFLINE_SECONDS ?? 8);
const EDITS = 50;

await run("offline", {}, async (t) => {
  const { stack, step } = t;
  const [student, refused] = stack.students();
  const a = await t.person(stack.teacher);
  const b = await t.person(student, { profile: true });
  const shot = async (p, name) => process.env.E2E_SHOTS && p.page.locator("iframe").screenshot({ path: `${process.env.E2E_SHOTS}/${name}.png` });
  const find = (scene, id) => scene.find((e) => e.id === id);
  const both = () => converged([a.board, b.board], { ms: 30_000 });
  const epoch = async (n) => {
    for (const p of [a, b]) await until(`${p.name} in epoch ${n}`, async () => (await p.board.stats()).epoch === n, 15_000);
  };
  /** The server holds what the pages agreed on, to the last value. */
  const agreed = async () => {
    const { scene, heads } = await both();
    const session = await stack.session(stack.teacher);
    const doc = Object.fromEntries(scene.map(({ id, ...props }) => [id, props]));
    await until("the server agrees", () => serverAgreesFully(session, a.board.doc, { heads, doc }));
    await session.end();
    return scene;
  };

  await step("teacher and student open the board and draw", async () => {
    for (const [i, p] of [a, b].entries()) await bringWeather(p, { seed: i + 1, hold: true });
    await Promise.all([a.enter(), b.enter()]);
    await a.board.rectangle([120, 120], [220, 180]);
    await b.board.freehand([[400, 150], [450, 200], [500, 150]]);
    await a.board.edit({ make: [1, 2, 3, 4, 5].map((n) => ({ id: `shared${n}`, type: "rectangle", x: 100 * n, y: 300, width: 60, height: 40 })) });
    const { visible } = await both();
    assert.equal(visible, 7);
    await shot(a, "1-live");
  });

  await step(`offline for ${SECONDS} s with ${EDITS} edits, while the other edits the same elements and a squash happens`, async () => {
    await b.goOffline();
    assert.match(await b.board.status(), /Offline, you can go on drawing/);
    await shot(b, "2-offline-nothing-unsent");
    const began = Date.now();
    const before = (await a.board.stats()).epoch;
    const strokes = [];
    for (let i = 0; i < EDITS; i++) {
      const id = `shared${(i % 5) + 1}`;
      if (i % 10 === 9) {
        await b.board.freehand([[150 + 8 * i, 420], [170 + 8 * i, 450], [190 + 8 * i, 420]], 4); // by hand
        strokes.push(i);
      } else if (i % 5 === 4) await b.board.edit({ make: [{ id: `away${i}`, type: "ellipse", x: 10 * i, y: 500, width: 30, height: 30 }] });
      else await b.board.edit({ change: [[id, { y: 301 + i }]] });
      if (i % 2 === 0) await a.board.edit({ change: [[id, { x: 100 + 3 * i, strokeColor: "#e03131" }]] });
      if (i === 20) await a.board.edit({ change: [["shared5", { isDeleted: true }]], make: [{ id: "there", type: "diamond", x: 600, y: 100, width: 50, height: 50 }] });
      if (i === 25) await stack.squash(a.board.doc);
      await sleep(Math.max(0, began + (i + 1) * ((SECONDS * 1000) / EDITS) - Date.now()));
    }
    await until("the teacher moved on", async () => (await a.board.stats()).epoch === before + 1);
    const stats = await until("stored", async () => {
      const s = await b.board.stats();
      return s.atRisk === 0 && s;
    });
    assert.ok(stats.unsaved >= EDITS - 3, `${stats.unsaved} unsent`); // an edit that follows a stroke at once may be one gesture with it
    assert.match(await b.board.status(), new RegExp(`${stats.unsaved} changes waiting to be sent, saved on this device`));
    await shot(b, "3-offline-unsent");
    const mine = (await b.board.visible()).map((e) => e.id).filter((id) => !/^shared/.test(id));
    const ys = Object.fromEntries((await b.board.scene()).filter((e) => /^shared/.test(e.id)).map((e) => [e.id, e.y]));
    const xs = Object.fromEntries((await a.board.scene()).filter((e) => /^shared/.test(e.id)).map((e) => [e.id, e.x]));
    const away = Date.now() - began;
    await b.goOnline();
    const back = Date.now();
    await until("all sent", async () => (await b.board.stats()).unsaved === 0, 40_000);
    const sent = Date.now() - back;
    await epoch(before + 1);
    const scene = await agreed();
    for (const id of mine) assert.ok(find(scene, id) && !find(scene, id).isDeleted, `${id}, drawn offline, is there`);
    assert.ok(find(scene, "there"), "what the teacher drew is there");
    for (const n of [1, 2, 3, 4]) {
      const e = find(scene, `shared${n}`);
      assert.deepEqual([e.y, e.x], [ys[e.id], xs[e.id]], `${e.id} has the student's height and the teacher's place`);
    }
    assert.equal((await b.board.stats()).link.kind, "open");
    return `${stats.unsaved} gestures in ${Math.round(away / 1000)} s, ${strokes.length} by hand; all sent ${sent} ms after the network was back; ${scene.length} elements`;
  });

  await step("a tab is closed offline with unsent work; opened again, it is sent", async () => {
    await b.goOffline();
    await b.board.rectangle([520, 300], [580, 340]);
    await b.board.edit({ change: [["shared1", { backgroundColor: "#ffec99" }]] });
    await until("stored", async () => {
      const s = await b.board.stats();
      return s.unsaved >= 2 && s.atRisk === 0;
    });
    const ids = (await b.board.visible()).map((e) => e.id);
    await b.page.close({ runBeforeUnload: false });
    await stack.squash(a.board.doc);
    await b.goOnline();
    await b.newTab();
    await until("the teacher sees it", async () => {
      const scene = await a.board.visible();
      return ids.every((id) => find(scene, id)) && find(scene, "shared1").backgroundColor === "#ffec99";
    }, 20_000);
    await until("nothing is left", async () => (await b.board.stats()).unsaved === 0);
    await agreed();
  });

  // Two boards at once in one browser are for web/test/unsent.test.ts: the classroom lets one tab at a time use a device.
  await step("a tab holds the lock of its actor as long as it lives; the next one sends what it left", async () => {
    const held = () => b.board.frame.evaluate(async () => (await navigator.locks.query()).held.filter((l) => l.name.startsWith("lectern ")).map((l) => l.name));
    const first = b.page;
    await b.goOffline();
    await b.board.edit({ make: [{ id: "twotabs", type: "rectangle", x: 700, y: 400, width: 50, height: 50 }] });
    await until("stored", async () => (await b.board.stats()).atRisk === 0);
    const locks = await held();
    assert.ok(locks.length > 0, "the tab holds its actor's lock");
    await first.close({ runBeforeUnload: false });
    await b.goOnline();
    await b.newTab();
    await until("the teacher sees it", async () => find(await a.board.visible(), "twotabs"), 20_000);
    assert.ok((await held()).some((lock) => locks.includes(lock)), "the next tab took it over");
    await agreed();
  });

  await step("undo across a squash takes back one's own and leaves others'", async () => {
    await a.board.rectangle([620, 480], [680, 520]);
    const { scene } = await both();
    const own = scene.findLast((e) => e.type === "rectangle" && !/^shared|^two/.test(e.id) && Math.abs(e.x - 620) < 3);
    assert.ok(own, "the teacher's rectangle");
    await b.board.edit({ change: [[own.id, { strokeColor: "#2f9e44" }]] });
    await until("recoloured", async () => find(await a.board.scene(), own.id).strokeColor === "#2f9e44");
    await b.board.edit({ make: [{ id: "students", type: "ellipse", x: 300, y: 560, width: 40, height: 40 }] });
    await both();
    const n = (await a.board.stats()).epoch;
    await stack.squash(a.board.doc);
    await epoch(n + 1);
    await a.board.undo();
    await until("undone everywhere", async () => find((await both()).scene, own.id)?.isDeleted === true);
    assert.ok(!find(await a.board.scene(), "students").isDeleted, "the student's work stays");
    await a.board.redo();
    await until("redone everywhere", async () => {
      const e = find((await both()).scene, own.id);
      return e.isDeleted !== true && e.strokeColor === "#2f9e44";
    });
    await a.board.edit({ change: [[own.id, { isDeleted: true }]] });
    await until("erased", async () => find((await both()).scene, own.id).isDeleted === true);
    await stack.squash(a.board.doc).catch(async () => sleep(1_000));
    await until("forgotten", async () => (await a.board.stats()).epoch === n + 2 && !find(await a.board.scene(), own.id), 20_000);
    await a.board.undo();
    await until("made again everywhere", async () => {
      const e = find((await both()).scene, own.id);
      return e && !e.isDeleted && e.strokeColor === "#2f9e44";
    });
    await agreed();
  });

  await step("a browser that refuses IndexedDB: the status line says so, and closing warns while something is unsent", async () => {
    const c = await t.person(refused, { colorScheme: "dark" });
    await bringWeather(c, { seed: 3, hold: true });
    await c.enter(); // as in a private window: no storage for frames of other sites
    await assert.rejects(c.board.frame.evaluate(() => new Promise((done, fail) => Object.assign(indexedDB.open("lectern"), { onsuccess: done, onerror: (e) => fail(e.target.error) }))), /denied/);
    const warns = () => c.board.frame.evaluate(() => !window.dispatchEvent(new Event("beforeunload", { cancelable: true })));
    assert.deepEqual([await warns(), /tab/.test(await c.board.status())], [false, false], "no wolf");
    await c.goOffline();
    assert.match(await c.board.status(), /leave this tab open/);
    await shot(c, "4-refused-offline");
    await c.board.rectangle([300, 200], [360, 240]);
    await until("said", async () => /1 change waiting to be sent. It is in this tab only/.test(await c.board.status()));
    assert.equal(await warns(), true);
    await shot(c, "5-refused-unsent");
    let asked = false;
    c.page.on("dialog", (d) => {
      asked = d.type() === "beforeunload";
      void d.dismiss();
    });
    await c.page.close({ runBeforeUnload: true });
    await sleep(500);
    const closed = c.page.isClosed();
    if (!closed) {
      await c.goOnline();
      await until("sent", async () => (await c.board.stats()).unsaved === 0, 40_000);
      assert.equal(await warns(), false);
      await shot(c, "6-refused-live");
    }
    return `the browser ${asked ? "asked" : "did not ask"} inside the sandbox${closed ? ", and closed the tab" : ""}`;
  });
});
