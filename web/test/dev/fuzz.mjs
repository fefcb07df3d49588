// Three real editors through the stand-in server with delayed delivery and broken connections: random gestures by mouse and keyboard, then
// everything must be equal. Undo is audited: it must never take back what somebody else did to an element that was being dragged.
// `node test/dev/fuzz.mjs [seed] [steps] [hold=0]`; with hold=0 (the queue of held elements taken out) it must fail.
import { strict as assert } from "node:assert";
import { drag, launch, open } from "./browser.mjs";
import { start } from "./server.mjs";

const seed = Number(process.argv[2] ?? 1);
const steps = Number(process.argv[3] ?? 60);
const hold = process.argv.includes("hold=0") ? "&hold=0" : "";
let state = seed >>> 0;
const random = () => {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};
const pick = (list) => list[Math.floor(random() * list.length)];
const point = () => [260 + random() * 760, 120 + random() * 480];
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

const server = await start({ delay: 15 });
const browser = await launch();
const audits = [];
try {
  const people = await Promise.all(["ada", "ben", "kim"].map((user) => open(browser, server.url, { user, query: hold })));
  for (const p of people) await p.page.mouse.click(640, 640);
  const shown = (p) => p.frame.evaluate(() => __lectern.scene().filter((e) => !e.isDeleted).map(({ id, type, x, y, width, height, strokeColor }) => ({ id, type, x, y, width, height, strokeColor })));
  const set = (p, id, over) => p.frame.evaluate(([id, over]) => {
    const api = __lectern.api();
    api.updateScene({ elements: api.getSceneElementsIncludingDeleted().map((e) => (e.id === id ? { ...e, ...over, version: e.version + 1, versionNonce: Math.floor(Math.random() * 2 ** 31) } : e)), captureUpdate: "IMMEDIATELY" });
  }, [id, over]);
  const quiet = async () => {
    for (let i = 0; i < 400; i++) {
      const stats = await Promise.all(people.map((p) => p.stats()));
      if (stats.every((s) => s.unsaved === 0 && s.link.kind === "open" && s.have === server.board.entries.length)) return sleep(150);
      await sleep(50);
    }
    throw new Error("never quiet");
  };
  for (let step = 0; step < steps; step++) {
    const p = pick(people);
    const { page } = p;
    const dice = random();
    if (dice < 0.3) {
      await page.keyboard.press(pick(["r", "o", "d", "p", "a"]));
      await drag(page, [point(), point()], { steps: 6 });
      await page.keyboard.press("Escape");
    } else if (dice < 0.38) {
      await page.keyboard.press("t");
      await page.mouse.click(...point());
      await page.keyboard.type(pick(["maths", "über", "x=2"]));
      await page.keyboard.press("Escape");
    } else if (dice < 0.5) {
      const e = pick(await shown(p));
      if (e) await set(p, e.id, { strokeColor: pick(["#e03131", "#2f9e44", "#1971c2"]), x: e.x + 10 * random() });
    } else if (dice < 0.75) {
      // the audit: drag, recoloured by another meanwhile, drop, undo
      await quiet();
      const boxes = (await shown(p)).filter((e) => e.type === "rectangle" && e.width > 30 && e.height > 30);
      const e = pick(boxes);
      if (!e) continue;
      const other = pick(people.filter((q) => q !== p));
      const colour = pick(["#f08c00", "#9c36b5", "#0c8599"].filter((c) => c !== e.strokeColor));
      await page.keyboard.press("v");
      await page.keyboard.press("Escape");
      await p.frame.evaluate((id) => __lectern.api().updateScene({ appState: { selectedElementIds: { [id]: true } } }), e.id);
      const at = [e.x + e.width / 2, e.y + e.height / 2];
      await page.mouse.move(...at);
      await page.mouse.down();
      await page.mouse.move(at[0] + 15, at[1] + 15, { steps: 4 });
      await set(other, e.id, { strokeColor: colour });
      await sleep(200);
      await page.mouse.move(at[0] + 40, at[1] + 30, { steps: 4 });
      await page.mouse.up();
      await quiet();
      await page.keyboard.press("Control+z");
      await quiet();
      const after = (await shown(p)).find((x) => x.id === e.id);
      if (after) audits.push(after.strokeColor === colour);
    } else if (dice < 0.85) await page.keyboard.press(pick(["Control+z", "Control+z", "Control+Shift+z"]));
    else if (dice < 0.92) {
      const e = pick(await shown(p));
      if (e) await set(p, e.id, { isDeleted: true });
    } else if (dice < 0.96) [...server.board.sessions.values()].find((s) => s.name === pick(["ada", "ben", "kim"]))?.kill();
    else server.board.delay = pick([0, 15, 80]);
  }
  server.board.delay = 5;
  await quiet();
  const all = await Promise.all(people.map((p) => p.frame.evaluate(async () => ({ heads: (await __lectern.heads()).heads, doc: __lectern.document(), scene: __lectern.scene().filter((e) => !e.isDeleted).map(({ id, type, x, y, width, height, points, text, strokeColor, index, boundElements }) => ({ id, type, x, y, width, height, points, text, strokeColor, index, bound: (boundElements ?? []).map((b) => b.id).sort() })) }))));
  for (const one of all.slice(1)) {
    assert.deepEqual(one.heads, all[0].heads, "heads");
    assert.deepEqual(one.doc, all[0].doc, "documents");
    const differ = [];
    for (const id of new Set([...one.scene, ...all[0].scene].map((e) => e.id))) {
      const [x, y] = [one, all[0]].map((o) => o.scene.find((e) => e.id === id));
      if (!x || !y) differ.push([id, x ? "only later" : "only first", (x ?? y).type, all[0].doc[id]?.isDeleted]);
      else for (const k of Object.keys(x)) if (JSON.stringify(x[k]) !== JSON.stringify(y[k])) differ.push([id, x.type, k, x[k], y[k], all[0].doc[id][k]]);
    }
    if (differ.length > 0) console.log(`seed ${seed}: scenes differ:`, JSON.stringify(differ).slice(0, 3000));
    assert.deepEqual(differ.length, 0, "scenes");
    assert.deepEqual(one.scene.map((e) => e.id), all[0].scene.map((e) => e.id), "order");
  }
  const indices = all[0].scene.map((e) => e.index);
  assert.equal(new Set(indices).size, indices.length, "two elements share an index");
  const errors = people.flatMap((p) => p.seen.errors.filter((e) => !e.includes("allow-same-origin") && !e.includes("WebSocket")));
  assert.deepEqual(errors, []);
  console.log(`seed ${seed}: ${steps} steps, ${Object.keys(all[0].doc).length} elements (${all[0].scene.length} visible), ${server.board.entries.length} entries, undo audits ${audits.filter(Boolean).length}/${audits.length}, equal`);
  assert.ok(audits.length > 0, "no undo was audited: more steps, or another seed");
  assert.ok(audits.every(Boolean), "an undo took back somebody else's change");
} finally {
  await browser.close();
  server.close();
}
