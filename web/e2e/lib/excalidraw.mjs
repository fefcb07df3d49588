/** Excalidraw itself, without anything of ours: opens a file as its "Open" does, and draws it. */
import { build } from "esbuild";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";

const PAGE = `
import { exportToBlob, loadFromBlob } from "@excalidraw/excalidraw";
window.openFile = async (text) => {
  const opened = await loadFromBlob(new Blob([text], { type: "application/vnd.excalidraw+json" }), null, null);
  const blob = await exportToBlob({ elements: opened.elements, appState: { ...opened.appState, exportBackground: true }, files: opened.files, mimeType: "image/png" });
  return { elements: opened.elements, png: Array.from(new Uint8Array(await blob.arrayBuffer())) };
};`;

/** Answers the elements as Excalidraw holds them, and a picture. */
export async function openInExcalidraw(browser, text) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "lectern-excalidraw-"));
  const server = http.createServer((request, response) => {
    const name = path.basename(new URL(request.url, "http://x").pathname) || "index.html";
    const file = path.join(dir, name);
    if (!fs.existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, { "Content-Type": name.endsWith(".js") ? "text/javascript" : name.endsWith(".css") ? "text/css" : "text/html" });
    fs.createReadStream(file).pipe(response);
  });
  try {
    await build({
      stdin: { contents: PAGE, resolveDir: path.resolve(import.meta.dirname, "../.."), loader: "js" },
      bundle: true, format: "esm", splitting: true, outdir: dir, entryNames: "page", conditions: ["production"], logLevel: "error",
      define: { "process.env.IS_PREACT": '"false"', "process.env.NODE_ENV": '"production"' }, loader: { ".woff2": "empty" },
    });
    fs.writeFileSync(path.join(dir, "index.html"), '<!doctype html><meta charset="utf-8"><script type="module" src="/page.js"></script>');
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.waitForFunction(() => "openFile" in window);
    const opened = await page.evaluate((t) => window.openFile(t), text);
    await page.close();
    return { elements: opened.elements, png: Buffer.from(opened.png) };
  } finally {
    server.closeAllConnections?.();
    server.close();
    fs.rmSync(dir, { recursive: true, force: true });
  }
}
