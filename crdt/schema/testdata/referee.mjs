// Applies each change of a file to the same page, saves and loads it, and writes one line per change: "ok" with the hash of what the engine
// then reads, or "bad" with the reason. Then the same for whole logs, each a page of its own. Arguments: directory with base.changes, tried.changes and
// logs.changes.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { A, scene } from "./read.mjs";

const read = (name) => unframe(readFileSync(`${process.argv[2]}/${name}`));
function unframe(b) {
  const list = [];
  for (let i = 0; i < b.length;) { const n = b.readUInt32LE(i); list.push(b.subarray(i + 4, i + 4 + n)); i += 4 + n; }
  return list;
}
const base = A.save(A.applyChanges(A.init(), read("base.changes"))[0]);
for (const c of read("tried.changes")) judge(c, () => A.applyChanges(A.load(base), [c]));
for (const log of read("logs.changes")) { const l = unframe(log); judge(l.at(-1), () => A.applyChanges(A.init(), l)); }

function judge(c, apply) {
  try {
    const [d] = apply();
    const before = scene(d), after = scene(A.load(A.save(d)));
    if (before !== after) throw new Error("reads otherwise after save and load");
    if (!A.getHeads(d).includes(A.decodeChange(c).hash)) throw new Error("the change did not become a head");
    console.log("ok", createHash("sha256").update(after).digest("hex"));
  } catch (e) {
    console.log("bad", String(e?.message ?? e).split("\n")[0].slice(0, 120));
  }
}
