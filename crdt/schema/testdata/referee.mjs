// Applies each change of a file to the same page, saves and loads it, and writes one line per change: "ok" with the hash of what the engine
// then reads, or "bad" with the reason. Arguments: directory with base.changes and tried.changes.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { A, scene } from "./read.mjs";

function read(name) {
  const b = readFileSync(`${process.argv[2]}/${name}`), list = [];
  for (let i = 0; i < b.length;) { const n = b.readUInt32LE(i); list.push(new Uint8Array(b.subarray(i + 4, i + 4 + n))); i += 4 + n; }
  return list;
}
const base = A.save(A.applyChanges(A.init(), read("base.changes"))[0]);
for (const c of read("tried.changes")) {
  try {
    const [d] = A.applyChanges(A.load(base), [c]);
    const before = scene(d), after = scene(A.load(A.save(d)));
    if (before !== after) throw new Error("reads otherwise after save and load");
    if (!A.getHeads(d).includes(A.decodeChange(c).hash)) throw new Error("the change did not become a head");
    console.log("ok", createHash("sha256").update(after).digest("hex"));
  } catch (e) {
    console.log("bad", String(e?.message ?? e).split("\n")[0].slice(0, 120));
  }
}
