// Draws on two pages through the stand-in server and looks: `node test/dev/prove.mjs [folder for screenshots]`
import { strict as assert } from "node:assert";
import { mkdirSync } from "node:fs";
import { drag, launch, open } from "./browser.mjs";
import { start } from "./server.mjs";

const shots = process.argv[2] ?? "shots";
mkdirSync(shots, { recursive: true });
const server = await start();
const browser = await launch();
try {
  const a = await open(browser, server.url, { user: "ada" });
  const b = await open(browser, server.url, { user: "eve", query: "&theme=dark&lang=de" });
  console.log("ready; requests", a.seen.requests.length - 1, a.seen.requests.slice(1).map((u) => u.replace(/^.*\/(assets\/)?/, "")).join(" "));
  const shown = (p, f = "e => !e.isDeleted") => p.frame.evaluate((f) => __lectern.scene().filter(eval(f)).length, f);
  const until = async (what, test, ms = 5000) => {
    const end = Date.now() + ms;
    for (;;) {
      if (await test()) return;
      if (Date.now() > end) throw new Error(`timeout: ${what}`);
      await new Promise((r) => setTimeout(r, 25));
    }
  };
  await a.page.mouse.click(500, 600);
  // freehand, seen while it is drawn
  await a.page.keyboard.press("p");
  await drag(a.page, [[300, 200], [380, 300], [300, 380], [460, 330]], { steps: 25, hold: true });
  await until("a live stroke", () => b.frame.evaluate(() => __lectern.scene().some((e) => e.type === "freedraw" && e.points.length > 20)));
  assert.equal(Object.keys(await b.frame.evaluate(() => __lectern.document())).length, 0, "a live stroke is not in the document");
  await b.page.screenshot({ path: `${shots}/live-stroke.png` });
  await a.page.mouse.up();
  await until("the stroke in the document", () => b.frame.evaluate(() => Object.keys(__lectern.document()).length === 1));
  await a.page.keyboard.press("r");
  await drag(a.page, [[520, 200], [640, 290]]);
  await a.page.keyboard.press("t");
  await a.page.mouse.click(560, 400);
  await a.page.keyboard.type("Hello class", { delay: 15 });
  await until("text while it is typed", () => b.frame.evaluate(() => __lectern.scene().some((e) => e.type === "text" && e.text.startsWith("Hello"))));
  await a.page.keyboard.press("Escape");
  await a.page.keyboard.press("r");
  await drag(a.page, [[750, 380], [880, 470]]);
  await a.page.keyboard.press("a");
  await drag(a.page, [[645, 245], [745, 425]]);
  await a.page.keyboard.press("Escape");
  await until("five elements", async () => (await shown(b)) === 5);
  // both move
  await b.page.mouse.click(500, 600);
  await b.page.keyboard.press("v");
  await a.page.keyboard.press("v");
  await a.page.mouse.move(520, 250);
  await a.page.mouse.down();
  await a.page.mouse.move(545, 270, { steps: 6 });
  const rect = await a.frame.evaluate(() => __lectern.scene().find((e) => e.type === "rectangle").id);
  await b.frame.evaluate((id) => { const api = __lectern.api(); api.updateScene({ elements: api.getSceneElementsIncludingDeleted().map((e) => e.id === id ? { ...e, backgroundColor: "#ffc9c9", version: e.version + 1, versionNonce: 5 } : e), captureUpdate: "IMMEDIATELY" }); }, rect);
  await new Promise((r) => setTimeout(r, 300));
  await a.page.mouse.move(580, 290, { steps: 6 });
  await a.page.mouse.up();
  await until("colour and place merged", () => a.frame.evaluate((id) => { const e = __lectern.scene().find((e) => e.id === id); return e.backgroundColor === "#ffc9c9" && e.x > 540; }, rect));
  await a.page.keyboard.press("Control+z");
  await until("undo takes back only the own move", () => a.frame.evaluate((id) => { const e = __lectern.scene().find((e) => e.id === id); return e.backgroundColor === "#ffc9c9" && e.x < 530; }, rect));
  await a.page.mouse.move(700, 320);
  await b.page.mouse.move(420, 420, { steps: 5 });
  await until("quiet", async () => (await a.stats()).unsaved === 0 && (await b.stats()).unsaved === 0);
  const equal = async () => {
    const [x, y] = await Promise.all([a, b].map((p) => p.frame.evaluate(async () => ({ doc: __lectern.document(), heads: await __lectern.heads(), scene: __lectern.scene().map(({ id, type, x, y, width, height, points, text, backgroundColor, index, isDeleted }) => ({ id, type, x, y, width, height, points, text, backgroundColor, index, isDeleted })) }))));
    assert.deepEqual(x.heads.heads, y.heads.heads);
    assert.deepEqual(x.doc, y.doc);
    assert.deepEqual(x.scene, y.scene);
    return x.scene.length;
  };
  await until("equal", async () => equal().then(() => true, () => false)).catch(() => equal());
  console.log("equal pages, elements", await equal(), "entries", server.board.entries.length);
  await a.page.screenshot({ path: `${shots}/light-en.png` });
  await b.page.screenshot({ path: `${shots}/dark-de.png` });
  // connection lost: draws on, and it arrives
  for (const s of server.board.sessions.values()) if (s.name === "ada") { s.kill(); }
  await a.page.keyboard.press("p");
  await drag(a.page, [[200, 500], [300, 560]]);
  await until("drawn offline, arrived", async () => (await shown(b)) === 6, 15000);
  const c = await open(browser, server.url, { user: "kim", width: 308, height: 396 });
  await until("late joiner", async () => (await shown(c)) === 6);
  await c.page.screenshot({ path: `${shots}/narrow.png` });
  await c.frame.locator(".status button").last().click();
  await c.page.screenshot({ path: `${shots}/narrow-people.png` });
  server.roles.vic = "viewer";
  const v = await open(browser, server.url, { user: "vic", width: 952, height: 396 });
  await until("viewer", async () => (await shown(v)) === 6);
  await v.frame.locator(".status button").first().click();
  await v.page.screenshot({ path: `${shots}/viewer.png` });
  for (const p of [a, b, c, v]) {
    const s = await p.stats();
    console.log("violations", s.violations, "errors", p.seen.errors, "external", p.seen.requests.filter((u) => !u.startsWith(server.url) && !u.startsWith(server.widget) && !/^(data|blob):/.test(u)));
  }
  console.log("stats", JSON.stringify((await a.stats()).lanes));
} catch (err) {
  let i = 0;
  for (const c of browser.contexts()) for (const p of c.pages()) await p.screenshot({ path: `${shots}/fail-${i++}.png` }).catch(() => 0);
  throw err;
} finally {
  await browser.close();
  server.close();
}
