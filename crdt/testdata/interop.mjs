// Writes documents with Automerge JS as the whiteboard does, and reads what the Go engine made of them.
//   node interop.mjs write DIR     DIR/<name>.document, .changes (length-framed chunks), .json (heads and typed values)
//   node interop.mjs read DIR      the same, but from DIR/<name>.go.document -> DIR/<name>.go.json, and once more edited: .edit.changes, .edit.json
import fs from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../../web/package.json", import.meta.url));
const A = await import(pathToFileURL(require.resolve("@automerge/automerge")));
const [, , mode, dir] = process.argv;

const S = (s) => new A.ImmutableString(s);
const actor = (i) => ["00", "ff", "7a", "10", "c3"][i % 5].repeat(15) + i.toString(16).padStart(2, "0");

// Values with their kinds, so that a string that became a text, or bytes that became an array, is a difference.
function typed(v) {
  if (A.isImmutableString(v)) return { s: v.toString() };
  if (typeof v === "string") return { t: v };
  if (typeof v === "bigint") return { n: Number(v) };
  if (typeof v === "number") return { n: v };
  if (v instanceof Uint8Array) return { b: Buffer.from(v).toString("base64") };
  if (v instanceof Date) return { d: v.getTime() };
  if (v instanceof A.Counter) return { c: v.value };
  if (Array.isArray(v)) return v.map(typed);
  if (v !== null && typeof v === "object") return { m: Object.fromEntries(Object.keys(v).map((k) => [k, typed(v[k])])) };
  return v;
}

const describe = (doc) => JSON.stringify({ heads: A.getHeads(doc).slice().sort(), root: typed(doc), changes: A.getAllChanges(doc).length });

function frame(changes) {
  return Buffer.concat(changes.flatMap((c) => {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(c.length);
    return [head, Buffer.from(c)];
  }));
}

function put(name, doc) {
  fs.writeFileSync(`${dir}/${name}.document`, A.save(doc));
  fs.writeFileSync(`${dir}/${name}.changes`, frame(A.getAllChanges(doc)));
  fs.writeFileSync(`${dir}/${name}.json`, describe(doc));
}

// A seeded generator: a failure repeats.
function random(seed) {
  return (n) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor((seed / 0x80000000) * n);
  };
}

const genesis = () => A.load(new Uint8Array(fs.readFileSync(new URL("../schema/genesis/whiteboard.page.automerge", import.meta.url))), { actor: actor(0) });

function element(i, r) {
  return {
    type: S(["freedraw", "rectangle", "text", "arrow"][i % 4]),
    x: r(32000) / 8, y: -r(4000), width: r(1000) / 8, height: r(100), angle: r(628) / 100,
    strokeColor: S("#" + r(1 << 24).toString(16).padStart(6, "0")), backgroundColor: S("transparent"),
    seed: r(2 ** 31), opacity: 100, isDeleted: false, locked: r(2) === 1, link: null, frameId: null,
    groupIds: S("[]"), roundness: S('{"type":3}'), index: S("a" + i.toString(36)),
    points: new Uint8Array(Array.from({ length: r(60) }, () => r(256))),
    pressures: new Uint8Array(0), originalText: "Grüße 😀 " + i,
  };
}

// One editor, one of each.
function kinds() {
  let doc = genesis();
  doc = A.change(doc, { time: 1700000000 }, (d) => { d.elements.a = element(1, random(1)); });
  doc = A.change(doc, { time: 0 }, (d) => {
    const e = d.elements.a;
    e.x = -5; e.y = 0; e.width = 0.1; e.height = Number.MAX_SAFE_INTEGER; e.angle = -1e-300; e.opacity = 1e300; e.seed = Number.MIN_SAFE_INTEGER;
    e.strokeColor = S(""); e.index = S("\u0000é😀👍🏼\u{10ffff}"); e.points = new Uint8Array([0, 127, 128, 255]); e.link = S("https://example.org/?q=ü");
    e.isDeleted = true; delete e.frameId; delete e.locked;
    A.splice(d, ["elements", "a", "originalText"], 0, 3, "👩‍🏫");
  });
  doc = A.change(doc, (d) => { A.updateText(d, ["elements", "a", "originalText"], "quite another text: 𝄞"); d.files.f1 = S('{"url":"mxc://example.org/a"}'); });
  doc = A.change(doc, (d) => { d.elements.a.originalText = "replaced as a whole"; });
  doc = A.change(doc, (d) => { delete d.files.f1; d.elements.b = element(2, random(2)); });
  doc = A.change(doc, (d) => { delete d.elements.b; });
  put("kinds", doc);
}

// What no board writes but the engine may meet: marks, counters, lists, dates, unsigned.
function wide() {
  let doc = A.change(A.init({ actor: actor(1) }), { message: "with a message" }, (d) => {
    d.title = "marked text"; d.likes = new A.Counter(3); d.at = new Date(1700000000123); d.list = [1, "two", { three: [3.5, null] }];
    d.f = new A.Float64(7); d.i = new A.Int(5);
  });
  doc = A.change(doc, (d) => { d.u = new A.Uint(6); d.likes.increment(-5); A.mark(d, ["title"], { start: 0, end: 6, expand: "both" }, "strong", true); d.list.splice(1, 1); });
  doc = A.emptyChange(doc, { message: "nothing" });
  put("wide", doc);
}

// Five editors at once: creates, moves, flags, deletes, texts, files; merges in random directions.
function page(name, seed, steps) {
  const r = random(seed), base = genesis(), docs = [0, 1, 2, 3, 4].map((i) => A.clone(base, { actor: actor(i) }));
  for (let s = 0; s < steps; s++) {
    const k = r(5);
    docs[k] = A.change(docs[k], { time: 0 }, (d) => {
      const ids = Object.keys(d.elements);
      for (let n = 0; n <= r(4); n++) {
        const id = ids.length ? ids[r(ids.length)] : null, e = id && d.elements[id];
        switch (r(10)) {
          case 0: case 1: d.elements["el" + r(60)] = element(s, r); break;
          case 2: if (e) delete d.elements[id]; break;
          case 3: if (e) e.isDeleted = !e.isDeleted; break;
          case 4: if (e) delete e.link; break;
          case 5: case 6: if (e) { e.x = r(4000) / 8; e.y = r(99) - 50; } break;
          case 7: if (e) e.strokeColor = S("é😀" + r(99)); break;
          case 8: d.files["f" + r(5)] = S("mxc://" + r(9)); break;
          case 9: if (e) { const t = e.originalText; A.updateText(d, ["elements", id, "originalText"], [...t].slice(r(3)).join("") + "ab😀é".slice(0, r(3) * 2)); } break;
        }
      }
    });
    if (r(3) === 0) { const j = r(5); if (j !== k) docs[j] = A.merge(docs[j], docs[k]); }
  }
  put(name, docs.slice(1).reduce((all, d) => A.merge(all, d), docs[0]));
}

// Every element and property fought over by all five without having seen each other.
function conflicts() {
  let base = A.change(genesis(), { time: 0 }, (d) => { for (let i = 0; i < 10; i++) d.elements["e" + i] = element(i, random(i)); });
  const docs = [0, 1, 2, 3, 4].map((k) => A.change(A.clone(base, { actor: actor(k) }), { time: 0 }, (d) => {
    for (let i = 0; i < 10; i++) {
      if (i % 5 === k) { delete d.elements["e" + i]; continue; }
      const e = d.elements["e" + i];
      e.x = k; e.y = k / 3; e.strokeColor = S("by " + k); e.link = k % 2 ? null : S("l" + k); e.points = new Uint8Array([k]);
      A.splice(d, ["elements", "e" + i, "originalText"], 2, k, "<" + k + ">");
      d.elements["new" + i] = element(k, random(k));
    }
  }));
  put("conflicts", docs.slice(1).reduce((all, d) => A.merge(all, d), docs[0]));
}

if (mode === "write") {
  kinds(); wide(); conflicts();
  page("page", 7, 600); page("page2", 8, 600);
  put("genesis", genesis());
} else if (mode === "read") {
  for (const file of fs.readdirSync(dir).filter((f) => f.endsWith(".go.document"))) {
    const name = file.slice(0, -".go.document".length);
    let doc = A.load(new Uint8Array(fs.readFileSync(`${dir}/${file}`)), { actor: actor(4).replace(/..$/, "ee") });
    fs.writeFileSync(`${dir}/${name}.go.json`, describe(doc));
    const before = A.getHeads(doc);
    doc = A.change(doc, { time: 0 }, (d) => { d.elements ??= {}; d.elements.late = element(9, random(9)); });
    fs.writeFileSync(`${dir}/${name}.edit.changes`, frame(A.getChangesSince(doc, before)));
    fs.writeFileSync(`${dir}/${name}.edit.json`, describe(doc));
  }
} else {
  throw new Error(`unknown mode ${mode}`);
}
