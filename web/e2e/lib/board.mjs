/** A whiteboard in its iframe: drawing on it with mouse and keyboard, and reading it through the diagnostic hook `window.__lectern`. */
import { decode } from "cborg";
import { setTimeout as sleep } from "node:timers/promises";

const WELCOME = 32;

export class Board {
  /** The board in the iframe, or null while its page is not that far. */
  static async in(person, locator) {
    const handle = await locator.elementHandle();
    const frame = await handle?.contentFrame();
    return frame ? new Board(person, frame, locator) : null;
  }

  /** Collects welcome frames of a WebSocket of the page. */
  static watchSocket(ws, welcomes) {
    ws.on("framereceived", ({ payload }) => {
      if (typeof payload === "string") return;
      try {
        const frame = decode(new Uint8Array(payload));
        if (Array.isArray(frame) && frame[0] === WELCOME) welcomes.push(frame[1]);
      } catch {
        // not CBOR: the page's own tests judge that
      }
    });
  }

  constructor(person, frame, locator) {
    this.person = person;
    this.page = person.page;
    this.frame = frame;
    this.locator = locator;
  }

  /** Mounted, connected, and answering. */
  async isLive() {
    if (this.person.welcomes.length === 0) return false;
    return this.frame.evaluate(() => typeof window.__lectern?.scene === "function" && document.querySelector("canvas") !== null && window.__lectern.ready !== false);
  }

  get welcome() {
    return this.person.welcomes.at(-1);
  }

  /** The page's document (the first that is not the index). */
  get doc() {
    const docs = this.welcome.docs;
    return (docs.find((d) => d.doc !== "index") ?? docs[0]).doc;
  }

  /** All elements, deleted ones too, sorted by id. */
  async scene() {
    const elements = await this.frame.evaluate(async () => JSON.parse(JSON.stringify(await window.__lectern.scene())));
    return elements.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  async visible() {
    return (await this.scene()).filter((e) => !e.isDeleted);
  }

  /** Automerge heads in hex, sorted. */
  async heads() {
    const heads = await this.frame.evaluate(() => window.__lectern.heads());
    return [...heads].sort();
  }

  /** Counters per lane and direction. */
  stats() {
    return this.frame.evaluate(() => {
      const s = window.__lectern.stats;
      return JSON.parse(JSON.stringify(typeof s === "function" ? s() : s));
    });
  }

  // Coordinates are those of the iframe. ----------------------------------------------------------------------------------------

  async at([x, y]) {
    const box = await this.locator.boundingBox();
    if (!box) throw new Error("the board is not visible");
    return [box.x + x, box.y + y];
  }

  async size() {
    const box = await this.locator.boundingBox();
    return { width: box.width, height: box.height };
  }

  async tool(key) {
    await this.focus();
    await this.page.keyboard.press("Escape");
    await this.page.keyboard.press(key);
  }

  async focus() {
    await this.frame.evaluate(() => {
      const root = document.querySelector(".excalidraw");
      if (!root?.contains(document.activeElement)) root?.focus();
    });
    await this.locator.focus();
  }

  async down(point) {
    await this.page.mouse.move(...(await this.at(point)));
    await this.page.mouse.down();
  }

  /** Moves in small steps, with a pause between points, so that it is a movement and not a jump. */
  async to(point, steps = 8) {
    await this.page.mouse.move(...(await this.at(point)), { steps });
  }

  async up() {
    await this.page.mouse.up();
  }

  async drag(points, steps) {
    await this.down(points[0]);
    for (const p of points.slice(1)) await this.to(p, steps);
    await this.up();
  }

  async freehand(points, steps = 8) {
    await this.tool("p");
    await this.drag(points, steps);
    await this.tool("v");
  }

  async rectangle(a, b) {
    await this.tool("r");
    await this.drag([a, b]);
  }

  async ellipse(a, b) {
    await this.tool("o");
    await this.drag([a, b]);
  }

  async arrow(a, b) {
    await this.tool("a");
    await this.drag([a, b]);
    await this.page.keyboard.press("Escape");
  }

  async text(point, words) {
    await this.tool("t");
    await this.page.mouse.click(...(await this.at(point)));
    await this.frame.locator("textarea.excalidraw-wysiwyg").waitFor({ timeout: 5_000 });
    await this.page.keyboard.type(words);
    await this.page.keyboard.press("Escape");
    await this.page.keyboard.press("Escape");
  }

  /** Drags whatever is under `from` (for an unfilled shape: its border). */
  async move(from, to) {
    await this.tool("v");
    await this.drag([from, to], 10);
    await this.page.keyboard.press("Escape");
  }

  async undo() {
    await this.focus();
    await this.page.keyboard.press("Control+z");
  }

  async redo() {
    await this.focus();
    await this.page.keyboard.press("Control+Shift+z");
  }

  /** Drawn pixels in a rectangle of the board, over all its canvases: what a person sees, whatever the document says. */
  ink([x, y, w, h]) {
    return this.frame.evaluate(
      ([x, y, w, h]) => {
        let count = 0;
        for (const canvas of document.querySelectorAll("canvas")) {
          const box = canvas.getBoundingClientRect();
          if (box.width === 0 || canvas.width === 0) continue;
          const scale = canvas.width / box.width;
          const data = canvas.getContext("2d").getImageData((x - box.x) * scale, (y - box.y) * scale, w * scale, h * scale).data;
          const [r, g, b, a] = data;
          for (let i = 4; i < data.length; i += 4) {
            if (Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) + Math.abs(data[i + 3] - a) > 60) count++;
          }
        }
        return count;
      },
      [x, y, w, h],
    );
  }
}

const shape = (elements) => JSON.stringify(elements);

/** Waits until all boards hold the same elements and heads; gives the scene. `count`: at least so many visible ones. */
export async function converged(boards, { count = 0, ms = 15_000 } = {}) {
  const end = Date.now() + ms;
  for (;;) {
    const [scenes, heads] = await Promise.all([Promise.all(boards.map((b) => b.scene())), Promise.all(boards.map((b) => b.heads()))]);
    const same = scenes.every((s) => shape(s) === shape(scenes[0])) && heads.every((h) => h.join() === heads[0].join());
    const visible = scenes[0].filter((e) => !e.isDeleted).length;
    if (same && visible >= count) return { scene: scenes[0], heads: heads[0], visible };
    if (Date.now() > end) throw new Error(`boards differ after ${ms} ms (want ${count} elements): ${difference(boards, scenes, heads)}`);
    await sleep(100);
  }
}

function difference(boards, scenes, heads) {
  const lines = boards.map((b, i) => `${b.person.name}: ${scenes[i].filter((e) => !e.isDeleted).length} visible of ${scenes[i].length}, heads ${heads[i].map((h) => h.slice(0, 8))}`);
  const [first, ...rest] = scenes;
  for (const [i, scene] of rest.entries()) {
    const other = new Map(scene.map((e) => [e.id, e]));
    for (const e of first) {
      const o = other.get(e.id);
      if (!o) lines.push(`${e.id} (${e.type}) is missing at ${boards[i + 1].person.name}`);
      else for (const k of new Set([...Object.keys(e), ...Object.keys(o)])) if (JSON.stringify(e[k]) !== JSON.stringify(o[k])) lines.push(`${e.id} ${k}: ${JSON.stringify(e[k])?.slice(0, 60)} / ${JSON.stringify(o[k])?.slice(0, 60)}`);
    }
    for (const id of other.keys()) if (!first.some((e) => e.id === id)) lines.push(`${id} is only at ${boards[i + 1].person.name}`);
  }
  return lines.slice(0, 20).join("\n  ");
}

/** Compares the server's scene with what the pages agreed on: heads, ids, deleted flags and types. */
export async function serverAgrees(session, doc, { scene, heads }) {
  const server = await session.scene(doc);
  const view = (list) => JSON.stringify([...list].sort((a, b) => (a.id < b.id ? -1 : 1)).map((e) => [e.id, e.type, e.isDeleted === true]));
  const problems = [];
  if ([...server.heads].sort().join() !== heads.join()) problems.push(`heads: server ${server.heads.map((h) => h.slice(0, 8))}, pages ${heads.map((h) => h.slice(0, 8))}`);
  if (view(server.elements) !== view(scene)) problems.push(`elements: server ${server.elements.length}, pages ${scene.length}`);
  if (problems.length > 0) throw new Error(`the server's scene differs: ${problems.join("; ")}`);
  return server;
}
