// A stand-in for the server, for work on the page alone: docs/protocol.md in memory, one board, no checks, no data channels.
// It also serves a stand-in Matrix client on another origin. Not shipped. `node test/dev/server.mjs [port] [hostPort]`
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import http from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { decode, encode } from "cborg";

const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
const types = { ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm", ".woff2": "font/woff2", ".json": "application/json", ".svg": "image/svg+xml" };

export async function start({ port = 0, hostPort = 0, test = true, roles = {}, delay = 0 } = {}) {
  const board = { log: "dev1", entries: [], sessions: new Map(), next: 1, doc: "01hzx3v9k2m8q4w6y7r5t1n0bc", delay };
  const tokens = new Map();
  const manifest = JSON.parse(readFileSync(join(dist, ".vite/manifest.json"), "utf8"));
  const sockets = new Set();
  let hostOrigin = "";
  const policy = (p) =>
    `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self'; ` +
    `connect-src 'self' ws://localhost:${p}; worker-src 'self'; frame-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; ` +
    `frame-ancestors ${hostOrigin}; require-trusted-types-for 'script'; trusted-types lectern default`;

  const server = http.createServer(async (q, r) => {
    const url = new URL(q.url, "http://x");
    r.setHeader("X-Content-Type-Options", "nosniff");
    const json = (status, body) => r.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store" }).end(JSON.stringify(body));
    const kind = /^\/widgets\/(whiteboard|call)$/.exec(url.pathname)?.[1];
    if (kind) {
      const entry = manifest[`src/entry/${kind}.tsx`];
      const seen = new Set();
      const imports = (e) => (e.imports ?? []).flatMap((i) => (seen.has(i) ? [] : (seen.add(i), [manifest[i], ...imports(manifest[i])])));
      const all = [entry, ...imports(entry)];
      const head = all.flatMap((e) => e.css ?? []).map((c) => `<link rel="stylesheet" href="/${c}">`).join("") + all.slice(1).map((e) => `<link rel="modulepreload" href="/${e.file}">`).join("");
      const config = JSON.stringify({ clientOrigins: [hostOrigin], version: "dev", companion: "@lectern:example.org", test });
      r.writeHead(200, { "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy(server.address().port), "Cache-Control": "no-store" });
      return r.end(`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${kind}</title>${head}<script type="application/json" id="lectern-config">${config}</script><script type="module" src="/${entry.file}"></script></head><body><div id="root"></div></body></html>`);
    }
    if (url.pathname.startsWith("/assets/")) {
      const file = join(dist, normalize(url.pathname));
      if (!file.startsWith(dist) || !existsSync(file)) return r.writeHead(404).end();
      const br = existsSync(`${file}.br`) && (q.headers["accept-encoding"] ?? "").includes("br");
      r.writeHead(200, { "Content-Type": types[extname(file)] ?? "application/octet-stream", "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'", "Cache-Control": "public, max-age=31536000, immutable", ...(br ? { "Content-Encoding": "br" } : {}) });
      return r.end(readFileSync(br ? `${file}.br` : file));
    }
    if (url.pathname === "/v1/sessions" && q.method === "POST") {
      let body = "";
      for await (const part of q) body += part;
      const name = JSON.parse(body).openid.access_token;
      const token = randomBytes(32).toString("base64url");
      tokens.set(token, name);
      return json(200, { token, expires_in_ms: 900000, user_id: `@${name}:example.org`, role: roles[name] ?? "participant", board: { id: "b".repeat(26), kind: "whiteboard" }, companion: "@lectern:example.org", encrypted: true });
    }
    if (url.pathname === "/v1/sessions") return r.writeHead(204).end();
    if (url.pathname === "/v1/sessions/refresh") return json(200, { token: (q.headers.authorization ?? "").slice(7), expires_in_ms: 900000 });
    if (url.pathname.endsWith("/document")) return r.writeHead(204, { "X-Lectern-Log": board.log, "X-Lectern-Seq": "0", "X-Lectern-Epoch": "0" }).end();
    json(404, { code: "not_found", message: "Nothing here." });
  });

  server.on("upgrade", (q, socket) => {
    const accept = createHash("sha1").update(q.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: lectern.v1\r\n\r\n`);
    sockets.add(socket);
    const s = { id: board.next++, name: "", cursor: 0, ready: false };
    const write = (frame, op = 2) => {
      const data = op === 2 ? Buffer.from(encode(frame)) : frame;
      const head = data.length < 126 ? Buffer.from([0x80 | op, data.length]) : data.length < 65536 ? Buffer.from([0x80 | op, 126, data.length >> 8, data.length & 255]) : Buffer.from([0x80 | op, 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((n) => (data.length >> n) & 255)]);
      if (!socket.destroyed) setTimeout(() => socket.destroyed || socket.write(Buffer.concat([head, data])), board.delay);
    };
    s.write = write;
    s.role = () => roles[s.name] ?? "participant";
    s.flush = () => {
      while (s.ready && s.cursor < board.entries.length) {
        const from = s.cursor + 1;
        const some = [];
        for (let size = 0; s.cursor < board.entries.length && size < 50_000 && some.length < 64; s.cursor++) {
          some.push(board.entries[s.cursor]);
          size += board.entries[s.cursor][4].length;
        }
        write([33, from, some]);
      }
    };
    s.kill = () => socket.destroy();
    const person = (p) => ({ session: p.id, user_id: `@${p.name}:example.org`, name: p.name, role: p.role(), external: p.name === "eve" ? "other.example" : "" });
    const others = () => [...board.sessions.values()].filter((o) => o !== s && o.ready);
    const gone = () => {
      sockets.delete(socket);
      if (board.sessions.delete(s.id)) for (const o of others()) o.write([35, { full: false, joined: [], left: [s.id] }]);
    };
    const handle = (f) => {
      switch (f[0]) {
        case 1:
          s.name = tokens.get(f[1]) ?? "?";
          return;
        case 2: {
          const resume = f[1].log === board.log;
          s.cursor = resume ? f[1].have : 0;
          s.ready = true;
          s.actor = f[1].actor.length === 16 ? f[1].actor : s.role() === "viewer" ? new Uint8Array() : randomBytes(16);
          board.sessions.set(s.id, s);
          write([32, { log: board.log, seq: board.entries.length, session: s.id, role: s.role(), actor: s.actor, board: "b".repeat(26), kind: "whiteboard", encrypted: true, companion: "@lectern:example.org", docs: [{ doc: board.doc, epoch: 0, seq: 0 }], resume, saved: { seq: board.entries.length, at: Date.now() - 12_000, problem: "", since: 0 }, limits: { change: 32768, ops: 5000, frame: 65536, live: 8192, live_hz: 30 }, rtc: false, ice: [] }]);
          write([35, { full: true, joined: [...board.sessions.values()].map(person), left: [] }]);
          for (const o of others()) o.write([35, { full: false, joined: [person(s)], left: [] }]);
          return s.flush();
        }
        case 3:
          for (const bytes of f[3]) {
            if (board.entries.some((e) => Buffer.compare(e[4], bytes) === 0)) continue;
            board.entries.push([f[1], f[2], 1, s.actor, Buffer.from(bytes)]);
          }
          for (const o of board.sessions.values()) o.flush();
          return;
        case 4:
          for (const o of others()) o.write([34, [[s.id, f[1], f[2]]]]);
          return;
        case 7:
          s.cursor = f[2];
          return s.flush();
      }
    };
    let buffer = Buffer.alloc(0);
    socket.on("data", (data) => {
      buffer = Buffer.concat([buffer, data]);
      for (;;) {
        if (buffer.length < 2) return;
        let length = buffer[1] & 127;
        let at = 2;
        if (length === 126) { if (buffer.length < 4) return; length = buffer.readUInt16BE(2); at = 4; }
        else if (length === 127) { if (buffer.length < 10) return; length = Number(buffer.readBigUInt64BE(2)); at = 10; }
        if (buffer.length < at + 4 + length) return;
        const mask = buffer.subarray(at, at + 4);
        const payload = Buffer.from(buffer.subarray(at + 4, at + 4 + length), 0);
        for (let i = 0; i < payload.length; i++) payload[i] ^= mask[i & 3];
        const op = buffer[0] & 15;
        buffer = buffer.subarray(at + 4 + length);
        if (op === 8) return void socket.end();
        if (op === 2) handle(decode(payload));
      }
    });
    socket.on("close", gone);
    socket.on("error", gone);
  });

  // The Matrix client: the few Widget API messages that a widget needs, by hand.
  const host = http.createServer((q, r) => {
    const url = new URL(q.url, "http://x");
    const p = Object.fromEntries(url.searchParams);
    const widget = `http://localhost:${server.address().port}/widgets/${p.kind ?? "whiteboard"}?widgetId=w1&room_id=${encodeURIComponent("!room:example.org")}&theme=${p.theme ?? "light"}&lang=${p.lang ?? "en"}${p.hold ? `&hold=${p.hold}` : ""}&parentUrl=${encodeURIComponent(hostOrigin + q.url)}`;
    r.writeHead(200, { "Content-Type": "text/html" }).end(`<!doctype html><title>client</title><style>html,body{margin:0;height:100%}iframe{border:0;width:100%;height:100%;display:block}</style>
<iframe title="widget" sandbox="allow-forms allow-popups allow-popups-to-escape-sandbox allow-same-origin allow-scripts allow-presentation allow-downloads" allow="clipboard-write; clipboard-read"></iframe><script>
const f=document.querySelector("iframe"),w=()=>f.contentWindow;let n=0;const ask=(action,data)=>w().postMessage({api:"toWidget",widgetId:"w1",requestId:"h"+n++,action,data},"*");
addEventListener("message",e=>{if(e.source!==w())return;const m=e.data;if(m.api==="toWidget"&&m.response){if(m.action==="capabilities")ask("notify_capabilities",{requested:m.response.capabilities,approved:m.response.capabilities});if(m.action==="notify_capabilities")ask("theme_change",{name:${JSON.stringify(p.theme ?? "light")}});return}
if(m.api!=="fromWidget"||m.response)return;const say=response=>w().postMessage({...m,response},e.origin);
if(m.action==="supported_api_versions")say({supported_versions:["0.0.1","0.0.2"]});else if(m.action==="get_openid")say({state:"allowed",access_token:${JSON.stringify(p.user ?? "ada")},token_type:"Bearer",matrix_server_name:"example.org",expires_in:3600});else if(m.action==="com.educationpub.open_call"){const c=${JSON.stringify(p.call ?? "no")};if(c==="yes")say({});else if(c!=="silent")say({error:{message:c==="no"?"Unknown or unsupported from-widget action: "+m.action:c}})}else say({})});
f.onload=()=>setTimeout(()=>ask("capabilities",{}),20);f.src=${JSON.stringify(widget)};window.theme=name=>ask("theme_change",{name});</script>`);
  });
  await new Promise((done) => server.listen(port, "localhost", done));
  await new Promise((done) => host.listen(hostPort, "127.0.0.1", done));
  hostOrigin = `http://127.0.0.1:${host.address().port}`;
  return { url: hostOrigin, widget: `http://localhost:${server.address().port}`, board, roles, close: () => { for (const s of sockets) s.destroy(); server.closeAllConnections(); host.closeAllConnections(); server.close(); host.close(); } };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const s = await start({ port: Number(process.argv[2] ?? 0), hostPort: Number(process.argv[3] ?? 0) });
  console.log(`${s.url}/?user=ada and ${s.url}/?user=ben`);
}
