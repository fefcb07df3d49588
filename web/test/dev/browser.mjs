// Browser helpers for the proofs in this folder.
import { chromium } from "playwright-core";

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"] });

/** Opens a board as a person; `frame` is the widget. Collects page errors, console errors and requests. */
export async function open(browser, url, { width = 1100, height = 750, user = "ada", query = "" } = {}) {
  const context = await browser.newContext({ viewport: { width, height } });
  const page = await context.newPage();
  const seen = { errors: [], requests: [] };
  page.on("pageerror", (e) => seen.errors.push(String(e)));
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && seen.errors.push(m.text()));
  page.on("request", (r) => seen.requests.push(r.url()));
  await page.goto(`${url}/?user=${user}${query}`);
  await page.waitForFunction(() => document.querySelector("iframe")?.src);
  const frame = page.frames().find((f) => f !== page.mainFrame());
  await frame.waitForFunction(() => window.__lectern?.stats().ready && document.querySelector(".excalidraw canvas"), null, { timeout: 30_000 });
  return { context, page, frame, seen, stats: () => frame.evaluate(() => window.__lectern.stats()) };
}

export async function drag(page, points, { steps = 12, hold = false } = {}) {
  await page.mouse.move(...points[0]);
  await page.mouse.down();
  for (const p of points.slice(1)) await page.mouse.move(p[0], p[1], { steps });
  if (!hold) await page.mouse.up();
}
