// The board lives in the room: everything is stopped, all browsers are closed, Lectern's database is deleted; the board comes back from the
// encrypted state event, equal to the last element, also for somebody who was never there.
import fs from "node:fs";
import path from "node:path";
import { converged, serverAgrees } from "./lib/board.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

const COLUMNS = 6;
const ROWS = 7;

await run("restore", {}, async (t) => {
  const { step } = t;
  let before;

  await step(`${COLUMNS * ROWS} elements by two people`, async () => {
    const a = await t.person(t.stack.teacher);
    const b = await t.person(t.stack.students()[0]);
    await Promise.all([a.enter(), b.enter()]);
    const spot = (i) => [120 + (i % COLUMNS) * 88, 130 + Math.floor(i / COLUMNS) * 62];
    const draw = async (board, from, to, one) => {
      for (let i = from; i < to; i++) await one(board, spot(i), i);
    };
    const half = (COLUMNS * ROWS) / 2;
    await Promise.all([
      draw(a.board, 0, half, (board, [x, y], i) => (i % 4 === 3 ? board.ellipse([x, y], [x + 50, y + 40]) : board.rectangle([x, y], [x + 50, y + 40]))),
      draw(b.board, half, half * 2, (board, [x, y], i) => (i % 5 === 4 ? board.text([x, y], `n ${i}`) : board.freehand([[x, y], [x + 30, y + 30], [x + 50, y + 5]], 6))),
    ]);
    before = await converged([a.board, b.board], { count: COLUMNS * ROWS, ms: 30_000 });
    before.log = a.board.welcome.log;
    before.doc = a.board.doc;
    await Promise.all([a.close(), b.close()]);
    return `${before.visible} visible, ${before.heads.length} head(s)`;
  });

  await step("the checkpoint is in the room, encrypted, and shows nothing", async () => {
    const room = encodeURIComponent(t.stack.ready.room_id);
    const found = await until("a checkpoint event", async () => {
      const state = await t.stack.matrix(t.stack.teacher, "GET", `/rooms/${room}/state`);
      return state.find((e) => e.type === "m.room.encrypted" && e.state_key.startsWith("com.educationpub.whiteboard.content:"));
    }, 60_000, 500);
    assert.equal(found.sender, t.stack.ready.companion);
    assert.equal(found.content.algorithm, "m.megolm.v1.aes-sha2");
    const state = await t.stack.matrix(t.stack.teacher, "GET", `/rooms/${room}/state`);
    assert.ok(!state.some((e) => e.type.startsWith("com.educationpub.whiteboard.content")), "no checkpoint in clear");
    return found.state_key;
  });

  await step("stopped, lectern.db deleted, started again", async () => {
    await t.restart((data) => {
      const doomed = fs.readdirSync(data, { recursive: true }).filter((f) => /(^|\/)lectern\.db(-wal|-shm)?$/.test(String(f)));
      assert.ok(doomed.length > 0, "there is a lectern.db to delete");
      for (const f of doomed) fs.rmSync(path.join(data, String(f)));
    });
  });

  await step("the board is back, for the teacher and for somebody new", async () => {
    const a = await t.person(t.stack.teacher);
    const c = await t.person(t.stack.students()[1]);
    await Promise.all([a.enter(), c.enter()]);
    const after = await converged([a.board, c.board], { count: before.visible, ms: 30_000 });
    assert.notEqual(a.board.welcome.log, before.log, "a restored board has a new log");
    assert.deepEqual(after.heads, before.heads);
    assert.deepEqual(after.scene, before.scene);
    const session = await t.stack.session(t.stack.teacher);
    await serverAgrees(session, a.board.doc, after);
    await session.end();
    // And it goes on: what is drawn now joins what was restored.
    await c.board.rectangle([630, 300], [670, 340]);
    await converged([a.board, c.board], { count: before.visible + 1 });
  });
});
