// Writes the corpora of crdt/schema and crdt/change with Automerge JS: pages drawn by concurrent editors, as the log would hold them, and the
// engine's own reading of them: every operation, and values and conflicts at several points of the log.
// Run by hand after an upgrade of Automerge: `node crdt/schema/testdata/gen.mjs`. The results are committed; the random numbers are seeded.
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { A, float, hex, scene } from "./read.mjs";

let seed = 11;
const rnd = n => { seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff; return (seed >>> 8) % n; };
const pick = list => list[rnd(list.length)];
const S = s => new A.ImmutableString(s);
const J = v => S("\u0000" + JSON.stringify(v));
const genesis = readFileSync(new URL("../genesis/whiteboard.page.automerge", import.meta.url));
const actor = i => ["f0", "0a", "7a", "10", "c3", "80"][i % 6].repeat(15) + i.toString(16).padStart(2, "0");
const words = ["hello ", "é", "😀", "👩‍👩‍👧", "नि", "e\u0301", "🇫🇷", "\n", "x", "Grüße", "写"];

function points() {
  const out = [];
  for (let i = 2 * (1 + rnd(20)); i > 0; i--) { const z = rnd(3000); if (z > 127) out.push(z & 127 | 128, z >> 7); else out.push(z); }
  return new Uint8Array(out);
}
function element(n) {
  const type = pick(["rectangle", "ellipse", "arrow", "freedraw", "text", "image", "frame"]);
  const e = {
    type: S(type), x: rnd(80000) / 8 - 5000, y: -rnd(4000), width: rnd(500), height: rnd(500) / 3, angle: 0, strokeColor: S("#1e1e1e"), backgroundColor: S("transparent"),
    fillStyle: S("solid"), strokeStyle: S("solid"), strokeWidth: 2, roughness: 1, opacity: 100, roundness: null, seed: rnd(1 << 30), index: S("a" + n.toString(36)),
    isDeleted: false, groupIds: J([]), frameId: null, link: null, locked: false,
  };
  switch (type) {
    case "arrow": Object.assign(e, { points: points(), startBinding: null, endBinding: J({ elementId: "el1", focus: 0.25, gap: 4 }), startArrowhead: null, endArrowhead: S("arrow"), elbowed: false }); break;
    case "freedraw": Object.assign(e, { points: points(), pressures: new Uint8Array([1, 2, 255]), simulatePressure: true }); break;
    case "text": Object.assign(e, { fontSize: 20, fontFamily: 5, text: S("as wrapped"), originalText: pick(words) + pick(words), textAlign: S("left"), verticalAlign: S("top"), containerId: null, autoResize: true, lineHeight: 1.25 }); break;
    case "image": Object.assign(e, { fileId: S("f" + rnd(5)), status: S("saved"), scale: J([1, -1]), crop: null }); break;
    case "frame": Object.assign(e, { name: S("frame é😀"), customData: J({ a: [1] }) }); break;
  }
  return e;
}
function splice(d, id, concurrent) {
  const t = d.elements[id].originalText, at = rnd(t.length + 1);
  const safe = [...t.slice(0, at)].join("").length; // never inside a surrogate pair
  const i = /[\udc00-\udfff]/.test(t[safe] ?? "") ? safe - 1 : safe;
  let del = rnd(3) ? 0 : Math.min(t.length - i, 1 + rnd(4));
  if (del && /[\udc00-\udfff]/.test(t[i + del] ?? "")) del++;
  A.splice(d, ["elements", id, "originalText"], i, del, rnd(4) ? pick(words) : "");
}
function edit(d, s, onlyText) {
  const ids = Object.keys(d.elements);
  for (let r = rnd(onlyText ? 3 : 5); r >= 0; r--) {
    const id = ids.length ? pick(ids) : null, e = id && d.elements[id];
    const kind = onlyText ? (ids.length ? 10 : 20) : rnd(13);
    switch (kind) {
      case 0: case 1: d.elements["el" + rnd(40)] = element(s); break; // sometimes over an existing one, sometimes concurrently
      case 2: if (e) delete d.elements[id]; break;
      case 3: if (e) e.isDeleted = !e.isDeleted; break;
      case 4: if (e && "link" in e) delete e.link; else if (e) e.link = S("https://example.org/" + rnd(9)); break;
      case 5: case 6: if (e) { e.x = rnd(4000) / 8; e.y = rnd(2) ? -rnd(99) : 2.5; } break;
      case 7: if (e) e.strokeColor = S("#" + rnd(1 << 24).toString(16)); break;
      case 8: if (rnd(3)) d.files["f" + rnd(5)] = S("mxc://example.org/" + rnd(9)); else delete d.files["f" + rnd(5)]; break;
      case 9: if (e && "originalText" in e) e.originalText = pick(words) + rnd(9); break; // a new text over the old one
      case 10: case 11: if (e && "originalText" in e) splice(d, id); break;
      case 12: if (e && "points" in e) e.points = points(); break;
      case 20: d.elements.t1 = { ...element(1), type: S("text"), originalText: "start" }; break;
    }
  }
}
const frame = list => Buffer.concat(list.flatMap(c => { const h = Buffer.alloc(4); h.writeUInt32LE(c.length); return [h, Buffer.from(c)]; }));
const write = (name, data) => writeFileSync(new URL(name, import.meta.url), gzipSync(data, { level: 9 }));

// the engine's reading of every operation, one line each
function operations(changes) {
  const value = o => {
    if (!("value" in o)) return "-";
    const v = o.value, t = o.datatype;
    if (v === null) return "null";
    if (v === true || v === false) return String(v);
    if (typeof v === "string") return "str:" + hex(v);
    if (v instanceof Uint8Array || Array.isArray(v)) return "bytes:" + hex(v);
    if (t === "float64") return float(v);
    return (t ?? "?") + ":" + String(v);
  };
  const lines = [];
  for (const raw of changes) {
    const c = A.decodeChange(raw);
    lines.push(["C", c.hash, c.actor, c.seq, c.startOp, c.deps.join(","), c.ops.length].join(" "));
    for (const o of c.ops) lines.push([o.action, o.obj, "key" in o ? "k:" + hex(o.key) : "e:" + o.elemId, o.insert ? "i" : "-", value(o), (o.pred ?? []).join(",")].join(" "));
  }
  return lines.join("\n") + "\n";
}
function run(name, editors, steps, onlyText) {
  const docs = Array.from({ length: editors }, (_, i) => A.load(genesis, { actor: actor(i) }));
  if (onlyText) { docs[0] = A.change(docs[0], { time: 0 }, d => edit(d, 0, true)); for (let i = 1; i < editors; i++) docs[i] = A.merge(docs[i], docs[0]); }
  for (let s = 0; s < steps; s++) {
    const k = rnd(editors);
    docs[k] = A.change(docs[k], { time: 1700000000 + s }, d => edit(d, s, onlyText));
    if (rnd(3) === 0) { const j = rnd(editors); if (j !== k) docs[j] = A.merge(docs[j], docs[k]); }
    if (rnd(60) === 0) docs[k] = A.load(A.save(docs[k]), { actor: actor(k) });
  }
  let all = docs[0];
  for (const d of docs.slice(1)) all = A.merge(all, d);
  const changes = A.getAllChanges(all).slice(1); // without the genesis
  write(name + ".changes.gz", frame(changes));
  write(name + ".ops.gz", operations(changes));
  const cuts = [0.25, 0.5, 0.75, 1].map(f => Math.floor(f * changes.length));
  write(name + ".scenes.gz", cuts.map(n => `after ${n}\n` + scene(A.applyChanges(A.load(genesis), changes.slice(0, n))[0])).join(""));
  console.log(name, changes.length, "changes", Object.keys(all.elements).length, "elements", Object.keys(all.files).length, "files");
}
// no page: what the reader of changes must know beyond one (marks, counters, lists, dates), for crdt/change alone
function full(steps) {
  let docs = [A.change(A.init({ actor: actor(0) }), { time: 0, message: "first" }, d => { d.title = "a title"; d.likes = new A.Counter(1); d.at = new Date(1700000000123); d.log = []; })];
  for (let i = 1; i < 4; i++) docs.push(A.clone(docs[0], { actor: actor(i) }));
  for (let s = 0; s < steps; s++) {
    const k = rnd(4);
    docs[k] = A.change(docs[k], { time: s }, d => {
      for (let r = rnd(4); r >= 0; r--) switch (rnd(7)) {
        case 0: A.splice(d, ["title"], rnd(3), rnd(3), pick(words)); break;
        case 1: d.likes.increment(rnd(5) - 2); break;
        case 2: A.mark(d, ["title"], { start: 0, end: Math.min(4, d.title.length), expand: pick(["both", "none", "after", "before"]) }, pick(["bold", "link"]), pick(["x", 1.5, true, null])); break;
        case 3: d.log.push(pick(["x", 1, 2.5, new Date(5), new Uint8Array([1]), { q: [true] }])); break;
        case 4: if (d.log.length) d.log.splice(rnd(d.log.length), 1); break;
        case 5: d["k" + rnd(4)] = pick([-5, 1 << 30, 0.1, -0, NaN, new A.Uint(7), new A.Int(-64), new A.Int(63), 2 ** 52, null, S("s"), ""]); break;
        case 6: delete d["k" + rnd(4)]; break;
      }
    });
    if (rnd(3) === 0) { const j = rnd(4); if (j !== k) docs[j] = A.merge(docs[j], docs[k]); }
  }
  const changes = A.getAllChanges(docs.reduce((a, b) => A.merge(a, b)));
  write("full.changes.gz", frame(changes));
  write("full.ops.gz", operations(changes));
  console.log("full", changes.length, "changes");
}
run("page", 5, 1200, false);
run("text", 4, 700, true);
full(400);
