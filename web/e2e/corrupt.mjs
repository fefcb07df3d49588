// The only copy of the board is damaged: Lectern's database is deleted and the checkpoint in the room is overwritten with a ciphertext that
// does not decrypt, by the companion's own account. Then there is an alert and no board, never an empty one that would overwrite the rest.
import fs from "node:fs";
import path from "node:path";
import { converged } from "./lib/board.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

await run("corrupt", {}, async (t) => {
  const { step } = t;
  const room = () => encodeURIComponent(t.stack.ready.room_id);
  const checkpoint = async () => {
    const state = await t.stack.matrix(t.stack.teacher, "GET", `/rooms/${room()}/state`);
    return state.find((e) => e.type === "m.room.encrypted" && e.state_key.startsWith("com.educationpub.whiteboard.content:"));
  };

  await step("three elements, saved to the room", async () => {
    const a = await t.person(t.stack.teacher);
    await a.enter();
    await a.board.rectangle([150, 200], [250, 280]);
    await a.board.rectangle([300, 200], [400, 280]);
    await a.board.freehand([[150, 350], [250, 400], [350, 350]]);
    await converged([a.board], { count: 3 });
    await a.close();
    await until("a checkpoint event", checkpoint, 60_000, 500);
  });

  let damaged;
  await step("lectern.db deleted, the checkpoint overwritten", async () => {
    await t.restart((data) => {
      for (const f of fs.readdirSync(data, { recursive: true }).map(String)) if (/(^|\/)lectern\.db(-wal|-shm)?$/.test(f)) fs.rmSync(path.join(data, f));
    });
    const { data, ready } = t.stack;
    const password = fs.readFileSync(path.join(data, "lectern", "companion-password"), "utf8");
    const { access_token } = await t.stack.matrix({}, "POST", "/login", { type: "m.login.password", identifier: { type: "m.id.user", user: ready.companion }, password });
    const good = await checkpoint();
    const ciphertext = good.content.ciphertext;
    const at = Math.floor(ciphertext.length / 2);
    const content = { ...good.content, ciphertext: ciphertext.slice(0, at) + (ciphertext[at] === "A" ? "B" : "A") + ciphertext.slice(at + 1) };
    await t.stack.matrix({ access_token }, "PUT", `/rooms/${room()}/state/m.room.encrypted/${encodeURIComponent(good.state_key)}`, content);
    damaged = (await checkpoint()).event_id;
  });

  await step("nobody is shown an empty board, and the log raises an alert", async () => {
    const a = await t.person(t.stack.teacher);
    await assert.rejects(a.enter({ ms: 12_000 }), /whiteboard open/);
    assert.deepEqual(a.welcomes, [], "no welcome was given");
    const words = await a.board?.frame.evaluate(() => document.body.innerText);
    assert.match(words, /damaged/);
    const alerts = t.stack.logText().split("\n").filter((l) => /ERROR/.test(l) && /checkpoint|restore|board/i.test(l));
    assert.ok(alerts.length > 0, `no alert in the log:\n${t.stack.logText().slice(-2000)}`);
    assert.equal((await checkpoint()).event_id, damaged, "the damaged checkpoint was not replaced by an empty board");
    t.say(`alert: ${alerts[0].slice(0, 220)}`);
    return words.replaceAll("\n", " ").slice(0, 160);
  });
});
