// What is written on a board cannot be read on any disk: not in the homeserver's folder, not in Lectern's. The same scan finds it in both when
// the room is not encrypted and keys at rest are off: a scan that can find nothing proves nothing.
import { execFile, execFileSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { converged } from "./lib/board.mjs";
import { savedToRoom } from "./lib/checkpoint.mjs";
import { startStack } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

const repository = path.resolve(import.meta.dirname, "../..");
const tools = fs.mkdtempSync(path.join(os.tmpdir(), "lectern-scan-"));
process.on("exit", () => fs.rmSync(tools, { recursive: true, force: true }));
const program = path.join(tools, "scan");
const start = promisify(execFile);

/** Scans for a canary and for a text that must be there; gives hits of the canary per place, and totals. */
async function scan(data, canary, control) {
  const places = { homeserver: path.join(data, "stack"), lectern: path.join(data, "lectern"), log: path.join(data, "lectern.log") };
  for (const file of ["lectern/lectern.db", "lectern/companion.db", "stack/homeserver/homeserver.log", "lectern.log"]) {
    assert.ok(fs.existsSync(path.join(data, file)), `${file} is there to be scanned`);
  }
  const result = {};
  for (const [place, where] of Object.entries(places)) {
    const { stdout } = await start(program, [`${canary},${control}`, where], { maxBuffer: 64 << 20 }).catch((err) => (err.code === 1 ? err : Promise.reject(err)));
    const lines = stdout.trim().split("\n");
    const [, files, bytes, inner] = lines.at(-1).match(/: (\d+) files, (\d+) bytes, (\d+) bytes after unwrapping/).map(Number);
    const hits = (text) => lines.filter((line) => line.includes(`: "${text}" (`)).map((line) => line.replace(/ in ".*/, ""));
    result[place] = { hits: hits(canary), control: hits(control).length, incomplete: lines.filter((l) => l.startsWith("incomplete:")), files, bytes, inner };
  }
  return result;
}

const sizes = (result) => Object.entries(result).map(([place, r]) => `${place} ${r.files} files, ${Math.ceil(r.bytes / 1e3)} kB (${Math.ceil(r.inner / 1e3)} kB unwrapped)`).join("; ");

/** Teacher and student write the canary and more on the board; waits until the room's copy has all of it. */
async function write(t, canary) {
  const a = await t.person(t.stack.teacher);
  const b = await t.person(t.stack.students()[0]);
  await Promise.all([a.enter(), b.enter()]);
  assert.equal(a.board.welcome.encrypted, !canary.startsWith("clear"));
  await a.board.text([130, 250], canary);
  await b.board.freehand([[420, 200], [470, 230], [520, 200]]);
  const { scene } = await converged([a.board, b.board], { count: 2 });
  assert.ok(scene.some((e) => e.text === canary), "the canary is on the board");
  const { event, manifest } = await savedToRoom(a);
  await Promise.all([a.close(), b.close()]);
  return `seq ${manifest.seq} in a ${event.type}`;
}

const board = (stack) => stack.ready.widgets[0].board; // stands in the widget's event and in Lectern's database

await run("scan", { args: ["-log", "debug"] }, async (t) => {
  const { step } = t;
  const secret = `secret-${crypto.randomBytes(9).toString("hex")}`;
  const clear = `clear-${crypto.randomBytes(9).toString("hex")}`;
  const nothing = (result) => {
    for (const [place, r] of Object.entries(result)) {
      assert.deepEqual(r.hits, [], `the canary is readable in ${place}`);
      assert.deepEqual(r.incomplete, [], `parts of ${place} were not looked into`);
    }
    for (const place of ["homeserver", "lectern"]) assert.ok(result[place].control > 0, `the scan does not even find the board's id in ${place}`);
    return sizes(result);
  };
  execFileSync("go", ["build", "-tags", "goolm", "-o", program, "./server/devstack/cmd/scan"], { cwd: repository, stdio: "inherit" });

  await step("encrypted room, keys at rest: a canary is written and saved to the room", () => write(t, secret));
  await step("nothing readable while everything runs", async () => {
    assert.ok(fs.existsSync(path.join(t.stack.data, "lectern", "lectern.db-wal")), "lectern.db has a -wal beside it");
    return nothing(await scan(t.stack.data, secret, board(t.stack)));
  });
  await step("nothing readable after an orderly stop", async () => {
    await t.stack.stop();
    return nothing(await scan(t.stack.data, secret, board(t.stack)));
  });

  await step("unencrypted room, no keys at rest: a canary is written and saved to the room", async () => {
    fs.rmSync(t.stack.data, { recursive: true, force: true });
    t.stack = await startStack({ args: ["-plain", "-no-keys-at-rest"] });
    return write(t, clear);
  });
  await step("the same scan finds it in both places", async () => {
    await t.stack.stop();
    const result = await scan(t.stack.data, clear, board(t.stack));
    for (const place of ["homeserver", "lectern"]) assert.ok(result[place].hits.length > 0, `the canary is not found in ${place}`);
    assert.deepEqual(result.log.hits, [], "what people write is in no log, whatever the settings");
    return `homeserver: ${result.homeserver.hits.join(", ")}; lectern: ${result.lectern.hits.join(", ")}; ${sizes(result)}`;
  });
});
