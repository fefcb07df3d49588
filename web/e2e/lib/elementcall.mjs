/** Serves the unmodified Element Call of the npm package, a dependency of this test alone (AGPL: nothing of it is built, embedded or shipped). */
import fs from "node:fs";
import http from "node:http";
import path from "node:path";

const DIST = path.resolve(import.meta.dirname, "../../node_modules/@element-hq/element-call-embedded/dist");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".wasm": "application/wasm", ".svg": "image/svg+xml", ".woff": "font/woff", ".woff2": "font/woff2", ".mp3": "audio/mpeg", ".ogg": "audio/ogg" };

/** Gives its address. Ends with the process. */
export async function serveElementCall() {
  if (!fs.existsSync(path.join(DIST, "index.html"))) throw new Error(`${DIST} is missing: npm --prefix web ci`);
  const server = http.createServer((request, answer) => {
    const { pathname } = new URL(request.url, "http://call");
    const file = path.join(DIST, path.normalize(decodeURIComponent(pathname)));
    if (!file.startsWith(DIST + path.sep) || !fs.existsSync(file) || !fs.statSync(file).isFile()) return answer.writeHead(404).end();
    answer.writeHead(200, { "Content-Type": TYPES[path.extname(file)] ?? "application/octet-stream", "Cache-Control": "max-age=3600" });
    fs.createReadStream(file).pipe(answer);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return `http://127.0.0.1:${server.address().port}`;
}
