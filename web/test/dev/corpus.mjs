// Boards as people make them, written by the page's own code: elements as Excalidraw has them go through encodeElement and PageDocument, and
// what comes out are the changes that a browser would send. Seeded. `node test/dev/corpus.mjs OUT [pages] [elements] [updates] [--synthetic]`
// writes OUT/page-N.changes: each change as its length (32 bits, big-endian) and its bytes, in order.
import { build } from "esbuild";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const web = fileURLToPath(new URL("../../", import.meta.url));

/** The page's code, bundled for node. */
async function load() {
  const outfile = join(web, "node_modules/.cache/lectern-corpus.mjs");
  await build({
    stdin: { contents: `export { PageDocument } from "./src/doc/core"; export { encodeElement } from "./src/doc/values"; export { initializeWasm } from "@automerge/automerge/slim";`, resolveDir: web },
    bundle: true, format: "esm", platform: "node", outfile, logLevel: "error",
  });
  const code = await import(outfile);
  rmSync(outfile);
  await code.initializeWasm(new Uint8Array(readFileSync(createRequire(import.meta.url).resolve("@automerge/automerge/automerge.wasm"))));
  return code;
}

function seeded(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const B62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const WORDS = "the area of a triangle is half base times height why does water boil at lower temperature on mountains photosynthesis needs light Hausaufgaben bis Montag Lösung prüfen Übung".split(" ");
const COLOURS = ["#1e1e1e", "#e03131", "#2f9e44", "#1971c2", "#f08c00"];
const FILLS = ["transparent", "transparent", "#ffc9c9", "#b2f2bb", "#a5d8ff"];

/** Everything that a new element has, in the words of Excalidraw. */
class Maker {
  constructor(seed) {
    this.random = seeded(seed);
    this.n = 0;
  }
  pick(list) {
    return list[Math.floor(this.random() * list.length)];
  }
  id() {
    return Array.from({ length: 21 }, () => this.pick("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")).join("");
  }
  /** Fractional indices as the page makes them: counting up, and three random characters. */
  index() {
    const n = this.n++;
    const head = n < 62 ? `a${B62[n]}` : n < 62 + 3844 ? `b${B62[Math.floor((n - 62) / 62)]}${B62[(n - 62) % 62]}` : `c${B62[Math.floor((n - 3906) / 3844) % 62]}${B62[Math.floor((n - 3906) / 62) % 62]}${B62[(n - 3906) % 62]}`;
    return head + this.pick(B62) + this.pick(B62) + this.pick(B62.slice(1));
  }
  base(type, x, y, width, height, more) {
    return {
      id: this.id(), type, x, y, width, height, angle: 0, strokeColor: this.pick(COLOURS), backgroundColor: "transparent", fillStyle: "solid", strokeWidth: 2, strokeStyle: "solid",
      roughness: 1, opacity: 100, groupIds: [], frameId: null, roundness: null, seed: Math.floor(this.random() * 2 ** 31), isDeleted: false, boundElements: null, link: null, locked: false, index: this.index(), ...more,
    };
  }
  place() {
    return [Math.round(this.random() * 2400), Math.round(this.random() * 1500)];
  }
  /** A stroke of handwriting: a pen that turns and slows down, sampled at 60 Hz. A mouse gives whole pixels, a pen fractions and pressure. */
  stroke() {
    const [x, y] = this.place();
    const pen = this.random() < 1 / 3;
    const count = Math.max(8, Math.min(400, Math.round(Math.exp(4.2 + 0.7 * this.normal()))));
    const points = [];
    const pressures = [];
    let [px, py, angle, turn, pressure] = [0, 0, this.random() * 7, 0, 0.35];
    for (let i = 0; i < count; i++) {
      points.push(pen ? [px, py] : [Math.round(px), Math.round(py)]);
      pressure = Math.max(0.05, Math.min(1, pressure + 0.04 * this.normal()));
      if (pen) pressures.push(pressure);
      turn = 0.8 * turn + 0.12 * this.normal();
      angle += turn;
      const speed = (2.5 + 4 * Math.abs(Math.sin(i / 9))) * (0.8 + 0.4 * this.random());
      px += speed * Math.cos(angle);
      py += speed * Math.sin(angle);
    }
    const distinct = points.filter((p, i) => i === 0 || p[0] !== points[i - 1][0] || p[1] !== points[i - 1][1]);
    return this.base("freedraw", x, y, ...extent(distinct), { points: distinct, pressures, simulatePressure: !pen, lastCommittedPoint: null });
  }
  normal() {
    return Math.sqrt(-2 * Math.log(1 - this.random())) * Math.cos(2 * Math.PI * this.random());
  }
  shape() {
    const [x, y] = this.place();
    const type = this.pick(["rectangle", "ellipse", "diamond"]);
    return this.base(type, x, y, 40 + Math.round(this.random() * 200), 30 + Math.round(this.random() * 140), { backgroundColor: this.pick(FILLS), roundness: type === "ellipse" ? { type: 2 } : { type: 3 } });
  }
  line() {
    const [x, y] = this.place();
    const points = [[0, 0], [Math.round(this.random() * 300 - 150), Math.round(this.random() * 200 - 100)]];
    const arrow = this.random() < 0.7;
    return this.base(arrow ? "arrow" : "line", x, y, ...extent(points), {
      points, lastCommittedPoint: null, startBinding: null, endBinding: null, startArrowhead: null, endArrowhead: arrow ? "arrow" : null, roundness: { type: 2 }, ...(arrow ? { elbowed: false } : { polygon: false }),
    });
  }
  text() {
    const [x, y] = this.place();
    const words = Array.from({ length: 1 + Math.floor(this.random() * 7) }, () => this.pick(WORDS)).join(" ");
    return this.base("text", x, y, words.length * 9.2, 25, { text: words, originalText: words, fontSize: 20, fontFamily: 5, textAlign: "left", verticalAlign: "top", containerId: null, autoResize: true, lineHeight: 1.25 });
  }
  element() {
    const r = this.random();
    return r < 0.5 ? this.stroke() : r < 0.7 ? this.shape() : r < 0.8 ? this.line() : this.text();
  }
  /** What somebody does to an element later. */
  update(e) {
    const r = this.random();
    if (e.type === "text" && r < 0.3) {
      const words = `${e.originalText} ${this.pick(WORDS)}`.slice(-120);
      return { text: words, originalText: words, width: words.length * 9.2 };
    }
    if (r < 0.75) return { x: e.x + Math.round(this.random() * 200 - 100), y: e.y + Math.round(this.random() * 200 - 100) };
    if (r < 0.85) return { strokeColor: this.pick(COLOURS) };
    if (r < 0.95 && !e.points) return { width: e.width + Math.round(this.random() * 20), height: e.height + Math.round(this.random() * 20) };
    return { opacity: this.pick([100, 80, 60, 40]) };
  }
}

function extent(points) {
  const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
  return [Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys)];
}

/** Small shapes and nothing else, drawn and then moved `updates` times in groups of 25, as the peers' benchmarks have them. */
export function makeSynthetic({ PageDocument, encodeElement }, genesis, { seed, elements, updates }) {
  const maker = new Maker(seed);
  const place = () => Math.round(maker.random() * 4000);
  const page = new PageDocument(genesis, new Uint8Array(16).fill(7));
  const list = Array.from({ length: elements }, () => maker.base("rectangle", place(), place(), 40, 30));
  const changes = [];
  for (let round = 0; round <= updates; round++) {
    for (let i = 0; i < list.length; i += 25) {
      const writes = list.slice(i, i + 25).map((e) => {
        if (round === 0) return { id: e.id, create: true, props: Object.fromEntries(Object.entries(encodeElement(e)).filter(([, v]) => v !== null)) };
        return { id: e.id, create: false, props: { x: place(), y: place() } };
      });
      changes.push(...page.commit(writes).changes);
    }
  }
  return { changes };
}

/** Makes a page's changes: `elements` are drawn and meanwhile each is changed `updates` times, by four people. */
export function makePage({ PageDocument, encodeElement }, genesis, { seed, elements, updates }) {
  const maker = new Maker(seed);
  const people = [1, 2, 3, 4].map((n) => Uint8Array.from({ length: 16 }, () => Math.floor(maker.random() * 256)).fill(n, 0, 1));
  const page = new PageDocument(genesis, people[0]);
  const changes = [];
  const drawn = [];
  const todo = [];
  const commit = (write) => changes.push(...page.commit([write]).changes);
  const revise = () => {
    const e = todo.splice(Math.floor(maker.random() * todo.length), 1)[0];
    const next = { ...e.now, ...maker.update(e.now) };
    const [before, after] = [encodeElement(e.now), encodeElement(next)];
    const props = Object.fromEntries(Object.entries(after).filter(([k, v]) => String(before[k]) !== String(v)));
    if (Object.keys(props).length > 0) commit({ id: next.id, create: false, props, ...("originalText" in props ? { textBase: before.originalText } : {}) });
    e.now = next;
  };
  for (let i = 0; i < elements; i++) {
    if (i % 25 === 0) page.setActor(maker.pick(people));
    const now = maker.element();
    const props = Object.fromEntries(Object.entries(encodeElement(now)).filter(([, v]) => v !== null));
    commit({ id: now.id, create: true, props });
    const e = { now };
    drawn.push(e);
    for (let n = 0; n < updates; n++) todo.push(e);
    for (let n = 0; n < updates && todo.length > 20 * updates; n++) revise();
  }
  while (todo.length > 0) revise();
  return { changes, heads: page.heads(), elements: page.elements() };
}

export async function corpus(out, { pages = 1, elements = 1000, updates = 10, seed = 1, synthetic = false, quiet = false } = {}) {
  const code = await load();
  const genesis = new Uint8Array(readFileSync(new URL("../../../crdt/schema/genesis/whiteboard.page.automerge", import.meta.url)));
  mkdirSync(out, { recursive: true });
  for (let n = 0; n < pages; n++) {
    const began = performance.now();
    const { changes } = (synthetic ? makeSynthetic : makePage)(code, genesis, { seed: seed + n, elements, updates });
    const parts = changes.flatMap((c) => {
      const head = Buffer.alloc(4);
      head.writeUInt32BE(c.length);
      return [head, c];
    });
    writeFileSync(join(out, `page-${n + 1}.changes`), Buffer.concat(parts));
    if (!quiet) console.log(`page ${n + 1}: ${changes.length} changes, ${changes.reduce((s, c) => s + c.length, 0)} bytes, ${Math.round(performance.now() - began)} ms`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2).filter((a) => !a.startsWith("--"));
  await corpus(args[0] ?? "corpus", { pages: Number(args[1] ?? 10), elements: Number(args[2] ?? 1000), updates: Number(args[3] ?? 10), synthetic: process.argv.includes("--synthetic") });
}
