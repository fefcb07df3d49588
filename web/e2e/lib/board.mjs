/** A whiteboard in its iframe: drawing on it with mouse and keyboard, and reading it through the diagnostic hook `window.__lectern`. */
import { decode } from "cborg";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "./stack.mjs";

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

  /** Mounted, connected, and the document there. */
  async isLive() {
    if (this.person.welcomes.length === 0) return false;
    return this.frame.evaluate(() => document.querySelector("canvas") !== null && window.__lectern?.stats().ready === true);
  }

  get welcome() {
    return this.person.welcomes.at(-1);
  }

  /** The page's document (the first that is not the index). */
  get doc() {
    const docs = this.welcome.docs;
    return (docs.find((d) => d.doc !== "index") ?? docs[0]).doc;
  }

  /** The document's elements, deleted ones too, sorted by id: plain values, bytes as base64. */
  async scene() {
    const elements = await this.frame.evaluate(() => window.__lectern.document());
    return Object.entries(elements)
      .map(([id, props]) => ({ ...props, id }))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  async visible() {
    return (await this.scene()).filter((e) => !e.isDeleted);
  }

  /** The elements as Excalidraw holds them, with structured properties. */
  excalidraw() {
    return this.frame.evaluate(() => window.__lectern.scene());
  }

  /** What Excalidraw shows: place and size of the visible elements, to a quarter of a pixel (points are packed at an eighth). */
  shown() {
    return this.frame.evaluate(() => {
      const near = (n) => Math.round(n * 4) / 4;
      return window.__lectern
        .scene()
        .filter((e) => !e.isDeleted)
        .map((e) => ({ id: e.id, type: e.type, x: near(e.x), y: near(e.y), text: e.text, points: e.points?.length }))
        .sort((a, b) => (a.id < b.id ? -1 : 1));
    });
  }

  /** Automerge heads in hex, sorted. */
  async heads() {
    const { heads } = await this.frame.evaluate(() => window.__lectern.heads());
    return [...heads].sort();
  }

  stats() {
    return this.frame.evaluate(() => window.__lectern.stats());
  }

  /** Counters per lane and direction. */
  async lanes() {
    return (await this.stats()).lanes;
  }

  // Coordinates are those of the iframe, which are the scene's after home(). ----------------------------------------------------

  /** Excalidraw's scroll and zoom, read from its component: the page has no other window on it. */
  view() {
    return this.frame.evaluate(() => {
      const root = document.querySelector(".excalidraw");
      const key = Object.keys(root).find((k) => k.startsWith("__reactFiber$"));
      for (let fiber = root[key]; fiber; fiber = fiber.return) {
        const state = fiber.stateNode?.state;
        if (typeof state?.scrollX === "number") return { x: state.scrollX, y: state.scrollY, zoom: state.zoom.value };
      }
      throw new Error("Excalidraw's state was not found");
    });
  }

  /** Scrolls so that scene and iframe coordinates are the same: the board chooses its view by itself when content first appears. */
  async home() {
    await until(`${this.person.name}: view at home`, async () => {
      const { x, y, zoom } = await this.view();
      if (zoom !== 1) {
        await this.focus();
        await this.page.keyboard.press("Control+0");
        return false;
      }
      if (Math.abs(x) < 0.01 && Math.abs(y) < 0.01) return true;
      const { width, height } = await this.size();
      await this.page.mouse.move(...(await this.at([width / 4, height / 3]))); // beside what may be open
      await this.page.mouse.wheel(x, y);
      return false;
    });
  }

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
    await this.home();
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

  /** What the status line says, with the sentence above it. */
  status() {
    return this.frame.locator(".status").innerText();
  }

  /** Changes elements as a script in the editor would, as one step of its history. `make`: whole elements; `change`: [id, properties] pairs. */
  edit({ make = [], change = [] }) {
    return this.frame.evaluate(
      ({ make, change }) => {
        const api = __lectern.api();
        const base = { angle: 0, strokeColor: "#1e1e1e", backgroundColor: "transparent", fillStyle: "solid", strokeWidth: 2, strokeStyle: "solid", roughness: 1, opacity: 100, groupIds: [], frameId: null, roundness: null, seed: 1, version: 1, versionNonce: 1, isDeleted: false, boundElements: null, updated: 1, link: null, locked: false, index: null };
        const changes = new Map(change);
        const old = api.getSceneElementsIncludingDeleted().map((e) => (changes.has(e.id) ? { ...e, ...changes.get(e.id), version: e.version + 1, versionNonce: Math.floor(Math.random() * 2 ** 31) } : e));
        api.updateScene({ elements: [...old, ...make.map((e) => ({ ...base, versionNonce: Math.floor(Math.random() * 2 ** 31), ...e }))], captureUpdate: "IMMEDIATELY" });
      },
      { make, change },
    );
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

/**
 * Waits until all boards hold the same document (every property of every element, and the heads) and show it on their canvases; gives the
 * scene. `count`: at least so many visible ones.
 */
export async function converged(boards, { count = 0, ms = 15_000 } = {}) {
  const end = Date.now() + ms;
  const all = (read) => Promise.all(boards.map(read));
  const same = (list) => list.every((x) => JSON.stringify(x) === JSON.stringify(list[0]));
  for (;;) {
    const [scenes, heads, shown] = await Promise.all([all((b) => b.scene()), all((b) => b.heads()), all((b) => b.shown())]);
    const visible = scenes[0].filter((e) => !e.isDeleted);
    const painted = shown[0].map((e) => e.id).join() === visible.map((e) => e.id).join();
    if (same(scenes) && same(heads) && same(shown) && painted && visible.length >= count) return { scene: scenes[0], heads: heads[0], visible: visible.length };
    if (Date.now() > end) {
      const lines = [...heads.map((h, i) => `${boards[i].person.name}: heads ${h.map((x) => x.slice(0, 8))}`), ...difference("document", boards, scenes), ...difference("canvas", boards, shown)];
      throw new Error(`boards differ after ${ms} ms (want ${count} elements, document has ${visible.length}, canvas ${shown[0].length}):\n  ${lines.slice(0, 30).join("\n  ")}`);
    }
    await sleep(100);
  }
}

function difference(what, boards, lists) {
  const lines = [];
  const name = (i) => `${boards[i].person.name}'s ${what}`;
  const [first, ...rest] = lists;
  for (const [i, list] of rest.entries()) {
    const other = new Map(list.map((e) => [e.id, e]));
    for (const e of first) {
      const o = other.get(e.id);
      if (!o) lines.push(`${e.id} (${e.type}) is missing in ${name(i + 1)}`);
      else for (const k of new Set([...Object.keys(e), ...Object.keys(o)])) if (JSON.stringify(e[k]) !== JSON.stringify(o[k])) lines.push(`${e.id} ${k}: ${name(0)} ${JSON.stringify(e[k])?.slice(0, 60)}, ${name(i + 1)} ${JSON.stringify(o[k])?.slice(0, 60)}`);
    }
    for (const id of other.keys()) if (!first.some((e) => e.id === id)) lines.push(`${id} is only in ${name(i + 1)}`);
  }
  return lines;
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
