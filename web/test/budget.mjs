// The budgets of the widget pages: sizes from the manifest, requests and policy violations in a real browser. Fails when over.
// `node test/budget.mjs` after `npm run build`; --sizes-only without a browser.
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch, open } from "./dev/browser.mjs";
import { start } from "./dev/server.mjs";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const manifest = JSON.parse(readFileSync(join(dist, ".vite/manifest.json"), "utf8"));
const failures = [];
const check = (what, value, limit, unit) => {
  console.log(`${value <= limit ? "ok  " : "OVER"} ${what}: ${value}${unit}, at most ${limit}${unit}`);
  if (!(value <= limit)) failures.push(what);
};
const packed = (file) => statSync(join(dist, existsSync(join(dist, `${file}.br`)) ? `${file}.br` : file)).size;

// Everything the page loads to draw: the entry, what it imports, the board behind it, the worker.
const files = new Set();
const add = (name) => {
  const chunk = manifest[name];
  if (!chunk || files.has(chunk.file)) return;
  files.add(chunk.file);
  for (const css of chunk.css ?? []) files.add(css);
  for (const other of chunk.imports ?? []) add(other);
};
add("src/entry/whiteboard.tsx");
const board = Object.keys(manifest).find((name) => name === "_board.js" || manifest[name].name === "board");
if (!board) throw new Error("the manifest has no board chunk");
add(board);
const names = readdirSync(join(dist, "assets"));
const worker = names.filter((n) => /^document\.worker-.*\.js$/.test(n));
if (worker.length !== 1) throw new Error(`${worker.length} worker scripts, want 1`);
files.add(`assets/${worker[0]}`);
const { imports = [], file: entry } = manifest["src/entry/whiteboard.tsx"];
check("parts that the first painting waits for, beyond entry, base and first", imports.filter((name) => !/\/(base|first)-/.test(manifest[name].file)).length, 0, ` (${entry})`);
const kib = (n) => Math.round(n / 102.4) / 10;
const sum = [...files].reduce((n, f) => n + packed(f), 0);
for (const f of files) console.log(`     ${f}: ${kib(packed(f))} KiB`);
check("JavaScript and CSS, brotli", kib(sum), 446, " KiB");
files.clear();
for (const name of ["src/entry/call.tsx", "src/call/main.tsx"]) add(name);
for (const f of files) console.log(`     ${f}: ${kib(packed(f))} KiB`);
check("JavaScript and CSS of the call page, brotli", kib([...files].reduce((n, f) => n + packed(f), 0)), 95, " KiB");
check("parts of a board, its editor or Automerge in it", [...files].filter((f) => !/\/(call|main|base|react|page)-/.test(f)).length, 0, "");
const wasm = names.find((n) => /^automerge-.*\.wasm$/.test(n));
check("Automerge wasm, brotli", kib(packed(`assets/${wasm}`)), 820, " KiB");
const cdn = names.filter((n) => n.endsWith(".js") && readFileSync(join(dist, "assets", n), "utf8").includes("https://esm.sh"));
check("scripts with a public CDN in them", cdn.length, 0, "");

if (!process.argv.includes("--sizes-only")) {
  const server = await start({ test: false });
  const browser = await launch();
  try {
    const p = await open(browser, server.url);
    await p.page.waitForTimeout(1500);
    const own = p.seen.requests.filter((u) => u.startsWith(server.widget));
    for (const u of own) console.log("    ", new URL(u).pathname);
    check("requests at start", own.length, 15, "");
    check("requests to other origins", p.seen.requests.filter((u) => !u.startsWith(server.widget) && !u.startsWith(server.url) && !/^(data|blob):/.test(u)).length, 0, "");
    await p.frame.evaluate(`${readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")};0`);
    const axe = await p.frame.evaluate(async () => (await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] })).violations.map((v) => `${v.id} ${v.nodes[0].html.slice(0, 120)}`));
    for (const v of axe) console.log("    ", v);
    check("accessibility violations (axe, WCAG 2.2 AA)", axe.length, 0, "");
    // text, freehand, a menu, dialogs and an export: everything that has ever tripped a policy
    await p.page.mouse.click(500, 600);
    await p.page.keyboard.press("t");
    await p.page.mouse.click(500, 300);
    await p.page.keyboard.type("budget");
    await p.page.keyboard.press("Escape");
    await p.page.keyboard.press("p");
    await p.page.mouse.move(300, 300);
    await p.page.mouse.down();
    await p.page.mouse.move(400, 380, { steps: 10 });
    await p.page.mouse.up();
    await p.page.keyboard.press("v");
    await p.page.mouse.click(520, 310, { button: "right" });
    await p.page.keyboard.press("Escape");
    await p.page.keyboard.press("?");
    await p.page.waitForTimeout(400);
    await p.page.keyboard.press("Escape");
    await p.page.keyboard.press("Control+Shift+e");
    await p.page.waitForTimeout(1200);
    await p.page.keyboard.press("Escape");
    const { violations } = await p.stats();
    for (const v of violations) console.log("    ", v);
    check("violations of the content policy", violations.length, 0, "");
    check("external requests in use", p.seen.requests.filter((u) => !u.startsWith(server.widget) && !u.startsWith(server.url) && !/^(data|blob):/.test(u)).length, 0, "");
  } finally {
    await browser.close();
    server.close();
  }
}
if (failures.length > 0) {
  console.error(`over budget: ${failures.join(", ")}`);
  process.exit(1);
}
