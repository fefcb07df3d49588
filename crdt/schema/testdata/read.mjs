// The engine's own reading of a page: values and the ids of conflicting writes, one line per register.
import { createRequire } from "node:module";
export const A = createRequire(new URL("../../../web/package.json", import.meta.url))("@automerge/automerge");

const f64 = Buffer.alloc(8);
export const hex = x => Buffer.from(x).toString("hex");
export const float = v => (f64.writeDoubleLE(v), "n:" + f64.readBigUInt64LE().toString(16));

export function scene(d) {
  const ids = (o, k) => Object.keys(A.getConflicts(o, k) ?? {}).sort().join(",");
  const value = v => v === null ? "null" : typeof v === "boolean" ? String(v) : typeof v === "number" ? float(v) : v instanceof Uint8Array ? "bytes:" + hex(v)
    : typeof v === "string" ? "text:" + hex(v) : "str:" + hex(v.val);
  const out = ["heads " + A.getHeads(d).sort().join(",")];
  for (const [id, e] of Object.entries(d.elements)) {
    out.push(`${id} ${ids(d.elements, id)}`);
    for (const [k, v] of Object.entries(e)) out.push(`${id} ${k} ${value(v)} ${ids(e, k)}`);
  }
  for (const [id, v] of Object.entries(d.files)) out.push(`file ${id} ${value(v)} ${ids(d.files, id)}`);
  return out.sort().join("\n") + "\n";
}
