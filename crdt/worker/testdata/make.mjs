// Writes poison.json: honest changes around well-formed ones that nobody would author, made with Automerge's own encoder.
//   node make.mjs > poison.json        (needs web/node_modules)
import fs from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../../../web/package.json", import.meta.url));
const A = await import(pathToFileURL(require.resolve("@automerge/automerge")));

const base = A.change(A.load(new Uint8Array(fs.readFileSync(new URL("../../schema/genesis/whiteboard.page.automerge", import.meta.url))), { actor: "aa".repeat(16) }), { time: 0 }, (d) => {
  d.elements.e1 = { x: 1, y: 2, originalText: "text" };
  d.elements.e2 = { x: 5 };
});
const deps = A.getHeads(base), ops = A.decodeChange(A.getLastLocalChange(base)).ops, start = A.decodeChange(A.getLastLocalChange(base)).startOp;
const id = (i) => `${start + i}@${"aa".repeat(16)}`;
const make = (key) => id(ops.findIndex((o) => o.key === key && o.action.startsWith("make")));
const put = (obj, key) => id(ops.findIndex((o) => o.obj === obj && o.key === key));
const e1 = make("e1"), e2 = make("e2"), text = make("originalText");
const max = start + A.decodeChange(A.getLastLocalChange(base)).ops.length;

const set = (obj, key, value, pred) => ({ action: "set", obj, key, insert: false, value, datatype: "int", pred });
const change = (actor, seq, ops, more = {}) => A.encodeChange({ actor: actor.repeat(16), seq, startOp: max, time: 0, message: "", deps, ops, ...more });

// Honest editors who have not seen the poison.
const honest = [];
for (let k = 0; k < 6; k++) {
  let d = A.clone(base, { actor: (0x10 + k).toString(16).repeat(16) });
  for (let n = 0; n < 4; n++) { d = A.change(d, { time: 0 }, (d) => { d.elements[`h${k}-${n}`] = { x: k, y: n }; }); honest.push(A.getLastLocalChange(d)); }
}
const poison = {
  "predecessor of another key": change("bb", 1, [set(e1, "x", 9, [put(e1, "x"), put(e1, "y")])]),
  "predecessor in another object": change("bb", 1, [set(e1, "x", 9, [put(e1, "x"), put(e2, "x")])]),
  "predecessor that does not exist": change("bb", 1, [set(e1, "x", 9, ["7777@" + "aa".repeat(16)])]),
  "delete without predecessors": change("bb", 1, [{ action: "del", obj: e1, key: "x", insert: false, pred: [] }]),
  "property in a text": change("bb", 1, [set(text, "x", 9, [])]),
};
const follows = {};
for (const [name, raw] of Object.entries(poison)) follows[name] = Buffer.from(change("bb", 2, [set(e2, "x", 7, [put(e2, "x")])], { deps: [A.decodeChange(raw).hash], startOp: max + 1 })).toString("base64");
const b64 = (x) => Buffer.from(x).toString("base64");
console.log(JSON.stringify({ base: b64(A.save(base)), honest: honest.map(b64), poison: Object.fromEntries(Object.entries(poison).map(([k, v]) => [k, b64(v)])), follows }, null, 1));
