/** A browser test: numbered steps with their times, faults of all pages at the end, screenshots of a failure. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { launch, Person } from "./person.mjs";
import { startStack } from "./stack.mjs";

export { assert };

/** Runs `body({ stack, browser, step, person, restart })` and exits with 0 or 1. `args`: flags for `lectern dev`, `switches`: for Chromium. */
export async function run(name, { args = [], switches = [] } = {}, body) {
  const began = Date.now();
  const say = (line) => console.log(`  ${line}`);
  console.log(`e2e ${name}`);
  const people = [];
  const t = { stack: null, browser: null, say };
  t.step = async (what, action) => {
    const start = Date.now();
    try {
      const note = await action();
      say(`ok    ${what} (${Date.now() - start} ms)${typeof note === "string" ? `: ${note}` : ""}`);
    } catch (err) {
      say(`FAIL  ${what}`);
      throw err;
    }
  };
  t.person = async (user, options) => {
    const p = await Person.open(t.browser, t.stack, user, options);
    people.push(p);
    return p;
  };
  /** Ends the browser and everybody in it; t.browser = await launch() for the next. */
  t.closeBrowser = async () => {
    for (const p of people) await p.noteViolations();
    await t.browser.close();
  };
  /** Stops Lectern and its homeserver, lets `between(dataFolder)` work on the files, starts again on the same folder, with `again` as flags. */
  t.restart = async (between = () => {}, stop = {}, again = args) => {
    const { data } = t.stack;
    await t.stack.stop(stop);
    await between(data);
    t.stack = await startStack({ data, args: again });
    for (const p of people) p.stack = t.stack;
  };
  let failed = false;
  try {
    t.stack = await startStack({ args });
    say(`ready after ${t.stack.startMs} ms`);
    t.browser = await launch(switches);
    await body(t);
    for (const p of people) await p.noteViolations();
    const faults = people.flatMap((p) => p.faults.list.map((f) => `${p.name}: ${f}`));
    assert.deepEqual(faults, [], "faults of the pages");
  } catch (err) {
    failed = true;
    console.error(err);
    await keepEvidence(name, t, people).catch((e) => console.error("evidence:", e.message));
  }
  for (const p of people) await p.close().catch(() => {}); // some have a browser of their own
  await t.browser?.close().catch(() => {});
  try {
    await t.stack?.stop({ remove: !failed });
  } catch (err) {
    failed = true;
    console.error(err);
  }
  console.log(`e2e ${name}: ${failed ? "FAILED" : "ok"} after ${((Date.now() - began) / 1000).toFixed(1)} s`);
  process.exit(failed ? 1 : 0);
}

async function keepEvidence(name, t, people) {
  const dir = process.env.E2E_OUT ?? path.join(t.stack?.data ?? ".", "evidence");
  fs.mkdirSync(dir, { recursive: true });
  for (const [i, p] of people.entries()) {
    await p.screenshot(path.join(dir, `${name}-${i}-${p.name}.png`)).catch(() => {});
    if (p.faults.list.length > 0) console.error(`${p.name}:`, p.faults.list.slice(0, 10));
  }
  if (t.stack) console.error(`log: ${t.stack.log}, screenshots: ${dir}\n${t.stack.logText().slice(-3000)}`);
}
