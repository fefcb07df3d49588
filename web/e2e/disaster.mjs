// The machine is gone: everything in the data folder is deleted but the recovery key and the password. Every board is back in the browser. And a file
// that `lectern restore` reads straight from the room opens in Excalidraw, with the same elements.
import { execFileSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { converged } from "./lib/board.mjs";
import { openInExcalidraw } from "./lib/excalidraw.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

const out = process.env.E2E_OUT;
const KEPT = new Set(["recovery-key.txt", "companion-password"]);

/** Opens a board of a room that has several. */
async function enter(person, place) {
  await person.signIn();
  await person.openRoom();
  const tab = person.page.getByRole("tab", { name: place.title });
  await tab.waitFor({ timeout: 30_000 });
  await tab.evaluate((e) => e.click()); // the board in front may be asking who this is: its question goes with it
  return person.openBoard({ widget: place.widget });
}

await run("disaster", {}, async (t) => {
  const { step } = t;
  const places = []; // { widget, board, title, before }

  await step("two boards of an encrypted room: shapes, strokes, an arrow between two rectangles, words", async () => {
    const first = t.stack.ready.widgets[0];
    const at = `/rooms/${encodeURIComponent(t.stack.ready.room_id)}/state/im.vector.modular.widgets`;
    const content = await t.stack.matrix(t.stack.teacher, "GET", `${at}/${first.id}`);
    const second = { id: "lectern-second", board: [...crypto.randomBytes(26)].map((b) => "abcdefghijklmnopqrstuvwxyz234567"[b % 32]).join("") };
    await t.stack.matrix(t.stack.teacher, "PUT", `${at}/${second.id}`, { ...content, id: second.id, name: "Second board", data: { ...content.data, board: second.board } });
    for (const [i, w] of [{ ...first, title: content.name }, { ...second, title: "Second board" }].entries()) {
      const place = { widget: w.id, board: w.board, title: w.title };
      const a = await t.person(t.stack.teacher);
      const board = await enter(a, place);
      await board.rectangle([150, 140], [250, 200]);
      await board.rectangle([400, 240], [500, 300]);
      await board.arrow([256, 170], [396, 270]);
      await board.text([170, 330], `Board ${i + 1}: x² + y² = r²`);
      await board.freehand([[150, 420], [220, 380], [300, 430], [380, 390]], 12);
      if (i === 1) await board.ellipse([450, 360], [560, 440]);
      const before = await converged([board], { count: 5 + i });
      places.push({ ...place, before });
      await a.close();
    }
    return places.map((p) => `${p.before.visible} elements`).join(", ");
  });

  await step("`lectern restore` reads a board from the room, and Excalidraw opens the file", async () => {
    const { data } = t.stack;
    const bin = process.env.LECTERN_BIN ?? path.resolve(import.meta.dirname, "../../bin/lectern");
    for (const [i, p] of places.entries()) {
      const want = p.before.scene.filter((e) => !e.isDeleted);
      const file = path.join(data, `board-${i}.excalidraw`);
      const read = () => {
        fs.rmSync(file, { force: true }); // restore writes over nothing
        execFileSync(bin, ["restore", "-config", path.join(data, "lectern.yaml"), "-room", t.stack.ready.room_id, "-board", p.board, "-out", file], { stdio: "pipe", env: { PATH: process.env.PATH } }); // LECTERN_BIN would be taken for a setting
        return fs.readFileSync(file, "utf8");
      };
      const text = await until("the whole board in its room", () => [read()].find((f) => JSON.parse(f).elements.length === want.length), 60_000, 1_000);
      const opened = await openInExcalidraw(t.browser, text);
      assert.deepEqual(opened.elements.map((e) => [e.id, e.type]).sort(), want.map((e) => [e.id, e.type]).sort());
      const words = opened.elements.find((e) => e.type === "text");
      assert.equal(words.text, `Board ${i + 1}: x² + y² = r²`);
      const arrow = opened.elements.find((e) => e.type === "arrow");
      const ends = [arrow.startBinding?.elementId, arrow.endBinding?.elementId];
      assert.ok(ends.every(Boolean), "the arrow is bound at both ends");
      for (const id of ends) assert.ok(opened.elements.find((e) => e.id === id).boundElements.some((b) => b.id === arrow.id), "and its ends know it");
      const stroke = opened.elements.find((e) => e.type === "freedraw");
      assert.ok(stroke.points.length >= 10 && stroke.points.every((xy) => xy.every(Number.isFinite)), "a stroke has its points");
      assert.ok(opened.png.length > 5_000, "it is drawn");
      if (out) fs.writeFileSync(path.join(out, `disaster-file-${i}.png`), opened.png);
    }
  });

  await step("everything is deleted but the recovery key and the password", async () => {
    await t.restart((data) => {
      const folder = path.join(data, "lectern");
      const doomed = fs.readdirSync(folder).filter((f) => !KEPT.has(f));
      assert.ok(doomed.includes("lectern.db") && doomed.includes("companion.db") && doomed.includes("instance.key"), `there is something to lose: ${doomed}`);
      for (const f of doomed) fs.rmSync(path.join(folder, f), { recursive: true });
      assert.deepEqual(fs.readdirSync(folder).sort(), [...KEPT].sort());
    });
  });

  await step("both boards are back, also for somebody new, and go on", async () => {
    for (const [i, p] of places.entries()) {
      const a = await t.person(t.stack.teacher);
      const b = await t.person(t.stack.students()[i]);
      await enter(a, p);
      await enter(b, p);
      const after = await converged([a.board, b.board], { count: p.before.visible, ms: 30_000 });
      assert.deepEqual(after.heads, p.before.heads);
      assert.deepEqual(after.scene, p.before.scene);
      if (out) await a.screenshot(path.join(out, `disaster-board-${i}.png`));
      await b.board.rectangle([600, 140], [640, 180]);
      await converged([a.board, b.board], { count: p.before.visible + 1 });
      await Promise.all([a.close(), b.close()]);
    }
  });
});
