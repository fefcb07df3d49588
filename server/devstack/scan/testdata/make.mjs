// Makes document.automerge and change.automerge: real Automerge files whose columns are long enough to be compressed.
// Run with the packages of web: node make.mjs (from a folder where @automerge/automerge resolves).
import { writeFileSync } from "node:fs";
import * as Automerge from "@automerge/automerge";

const filler = Array.from({ length: 300 }, (_, i) => `word${i % 7}`).join(" ");
let doc = Automerge.init();
doc = Automerge.change(doc, (d) => {
  d.text = `${filler} canary-in-document ${filler}`;
});
writeFileSync("document.automerge", Automerge.save(doc));
writeFileSync("change.automerge", Automerge.getLastLocalChange(doc));
