// The product's main job, end to end on real parts: two people draw in an encrypted room and see each other's strokes while they are drawn;
// one reloads, a third comes late. Part of `make test`.
import { converged, serverAgrees } from "./lib/board.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

await run("smoke", {}, async (t) => {
  const { stack, step, say } = t;
  const [student, latecomer] = stack.students();
  const a = await t.person(stack.teacher);
  const b = await t.person(student);

  await step("teacher and student sign in and open the board", async () => {
    await Promise.all([a.enter(), b.enter()]);
    // Who added the widget is not asked whether to load it; everybody confirms their identity.
    assert.ok(!a.prompts.includes("consent"), `teacher was asked for consent: ${a.prompts}`);
    assert.equal(b.prompts[0], "consent");
    assert.ok(a.prompts.includes("prompt-identity") && b.prompts.includes("prompt-identity"));
    assert.equal(a.board.welcome.encrypted, true, "the demo room is encrypted");
    assert.deepEqual([a.board.welcome.role, b.board.welcome.role], ["moderator", "participant"]);
    return `asked teacher ${a.prompts}; student ${b.prompts}`;
  });
  const { width, height } = await a.board.size();
  say(`board ${width}x${height}`);

  await step("a stroke is seen while it is drawn", async () => {
    const where = [200, 200, 120, 60]; // the beginning of the stroke, away from where the pointer is then
    await b.board.home();
    const before = await b.board.ink(where);
    await a.board.tool("p");
    await a.board.down([210, 215]);
    await a.board.to([300, 250], 20);
    await a.board.to([480, 260], 20);
    const start = Date.now();
    const now = await until("the student sees ink", async () => {
      const n = await b.board.ink(where);
      return n > before + 40 ? n : 0;
    }, 5_000, 20);
    const seen = Date.now() - start;
    assert.equal((await b.board.visible()).length, 0, "the stroke must not be in the student's document yet");
    await a.board.to([520, 220], 10);
    await a.board.up();
    const { scene } = await converged([a.board, b.board], { count: 1 });
    assert.equal(scene[0].type, "freedraw");
    return `${now - before} pixels, ${seen} ms after the pointer stopped`;
  });

  await step("both draw at once: rectangle, text, bound arrow", async () => {
    await Promise.all([
      (async () => {
        await a.board.rectangle([120, 320], [240, 400]);
        await a.board.text([130, 450], "Good morning");
      })(),
      (async () => {
        await b.board.rectangle([420, 320], [540, 400]);
        await b.board.freehand([[420, 450], [470, 480], [520, 450]]);
      })(),
    ]);
    await converged([a.board, b.board], { count: 5 });
    await a.board.arrow([246, 360], [414, 360]);
    const { scene } = await converged([a.board, b.board], { count: 6 });
    const types = scene.filter((e) => !e.isDeleted).map((e) => e.type).sort();
    assert.deepEqual(types, ["arrow", "freedraw", "freedraw", "rectangle", "rectangle", "text"]);
    const arrow = (await b.board.excalidraw()).find((e) => e.type === "arrow");
    const bound = [arrow.startBinding, arrow.endBinding].map((x) => x?.elementId);
    assert.deepEqual(bound.map((id) => scene.find((e) => e.id === id)?.type), ["rectangle", "rectangle"], "the arrow is bound at both ends");
  });

  await step("one moves while the other moves; undo takes back only one's own", async () => {
    const before = (await converged([a.board, b.board])).scene;
    const at = (scene, id) => scene.find((e) => e.id === id);
    const mine = before.find((e) => e.type === "text");
    const theirs = before.filter((e) => e.type === "freedraw").at(-1).x > before.find((e) => e.type === "freedraw").x ? before.filter((e) => e.type === "freedraw").at(-1) : before.find((e) => e.type === "freedraw");
    await Promise.all([a.board.move([160, 452], [180, 500]), b.board.move([470, 480], [500, 520])]);
    const moved = await until("both moved", async () => {
      const { scene } = await converged([a.board, b.board]);
      return at(scene, mine.id).y !== mine.y && at(scene, theirs.id).y !== theirs.y ? scene : null;
    });
    await a.board.undo();
    const after = await until("the teacher's move is undone", async () => {
      const { scene } = await converged([a.board, b.board]);
      return at(scene, mine.id).y === mine.y ? scene : null;
    });
    assert.deepEqual(at(after, theirs.id), at(moved, theirs.id), "the student's move stays");
  });

  await step("the data channel carries the drawing", async () => {
    await Promise.all([a, b].map((p) => until(`${p.name} on the data channel`, async () => (await p.board.lanes()).moves.toChannel > 0, 20_000)));
    const [a0, b0] = await Promise.all([a.board.lanes(), b.board.lanes()]);
    await b.board.rectangle([600, 320], [660, 360]);
    await converged([a.board, b.board], { count: 7 });
    const [a1, b1] = await Promise.all([a.board.lanes(), b.board.lanes()]);
    const sent = b1.log.sent.changes - b0.log.sent.changes;
    const received = a1.log.received.changes - a0.log.received.changes;
    assert.ok(sent > 0 && received > 0, `changes over the data channel: sent ${sent}, received ${received}`);
    assert.equal(a1.socket.received.changes - a0.socket.received.changes, 0, "nothing of the log over the WebSocket");
    return `sent ${sent}, received ${received}`;
  });

  await step("after a reload the student has the same board, without being asked again", async () => {
    await b.reload();
    assert.deepEqual(b.prompts, []);
    await converged([a.board, b.board], { count: 7 });
  });

  await step("who comes late has the same board, and so has the server", async () => {
    const c = await t.person(latecomer, { colorScheme: "dark" });
    await c.enter();
    const result = await converged([a.board, b.board, c.board], { count: 7 });
    await c.board.ellipse([300, 500], [380, 540]);
    const last = await converged([a.board, b.board, c.board], { count: 8 });
    const session = await stack.session(stack.teacher);
    const server = await until("the server's scene agrees", () => serverAgrees(session, a.board.doc, last));
    await session.end();
    return `${result.visible + 1} elements, seq ${server.seq}, ${last.heads.length} head(s)`;
  });
});
