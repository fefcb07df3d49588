// Makes the genesis of a whiteboard page: the one change that every replica of every page starts from (decisions: one committed file per kind).
// Run once: `node crdt/schema/genesis/make.mjs`. The result is committed; other bytes would be another genesis, which merges with nothing.
import { createRequire } from "node:module";
import { writeFileSync } from "node:fs";
const require = createRequire(new URL("../../../web/package.json", import.meta.url));
const A = require("@automerge/automerge");

const page = A.change(A.init({ actor: "00".repeat(16) }), { time: 0 }, d => {
  d.v = 1;
  d.elements = {};
  d.files = {};
});
const changes = A.getAllChanges(page);
if (changes.length !== 1) throw new Error(`${changes.length} changes, want 1`);
const here = name => new URL(name, import.meta.url);
writeFileSync(here("whiteboard.page.change"), changes[0]);
writeFileSync(here("whiteboard.page.automerge"), A.save(page));
console.log("heads", A.getHeads(page), JSON.stringify(page), JSON.stringify(A.decodeChange(changes[0])));
