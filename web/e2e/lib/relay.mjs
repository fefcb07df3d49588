/** Pages that reach nobody but through a TURN server, and coturn as docs/turn.md configures it. */
import { spawn } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { freshDir, until } from "./stack.mjs";

/** Every page and frame that this person opens from now on: `policy` "relay" leaves nothing but TURN, "none" not even that. */
export const through = (person, policy) => person.context.addInitScript(install, policy);

function install(policy) {
  if (globalThis.__peers) return;
  globalThis.__peers = [];
  const Plain = RTCPeerConnection;
  const strict = (config) => ({ ...config, iceTransportPolicy: "relay", ...(policy === "none" && { iceServers: [] }) });
  globalThis.RTCPeerConnection = class extends Plain {
    constructor(config) {
      super(strict(config));
      __peers.push(this);
    }
    setConfiguration(config) {
      super.setConfiguration(strict(config));
    }
  };
}

/** How the connections of a frame go: the kinds of their candidates, and what they carried. */
export const paths = (frame) =>
  frame.evaluate(async () => {
    const out = [];
    for (const peer of __peers.filter((p) => p.connectionState === "connected")) {
      const stats = await peer.getStats();
      const all = [...stats.values()];
      const pair = stats.get(all.find((s) => s.type === "transport")?.selectedCandidatePairId);
      const local = stats.get(pair?.localCandidateId);
      out.push({
        local: local?.candidateType, protocol: local?.relayProtocol, server: local?.url, remote: stats.get(pair?.remoteCandidateId)?.candidateType, sent: pair?.bytesSent ?? 0, received: pair?.bytesReceived ?? 0,
        others: all.filter((s) => s.type === "local-candidate" && s.candidateType !== "relay").length,
      });
    }
    return out;
  });

/** Runs coturn with the configuration of docs/turn.md on 127.0.0.1, where everything it may reach is. Ends with the process. */
export async function startCoturn() {
  const dir = freshDir("coturn");
  const secret = crypto.randomBytes(24).toString("hex");
  const at = `127.0.0.1:${await freePort()}`;
  const change = { "listening-ip": "127.0.0.1", "relay-ip": "127.0.0.1", "listening-port": at.split(":")[1], "static-auth-secret": secret, "allowed-peer-ip": "127.0.0.1", "log-file": path.join(dir, "log") };
  const without = ["tls-listening-port", "cert", "pkey", "no-stdout-log"];
  const text = fs.readFileSync(path.resolve(import.meta.dirname, "../../../docs/turn.md"), "utf8").split("```coturn\n")[1].split("```")[0];
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#") && !without.includes(line.split("=")[0]));
  const conf = lines.map((line) => (line.split("=")[0] in change ? `${line.split("=")[0]}=${change[line.split("=")[0]]}` : line));
  conf.push("allow-loopback-peers", "no-tls", `pidfile=${path.join(dir, "pid")}`, `userdb=${path.join(dir, "turndb")}`);
  const file = path.join(dir, "turnserver.conf");
  fs.writeFileSync(file, `${conf.join("\n")}\n`, { mode: 0o600 });
  const secretFile = path.join(dir, "secret");
  fs.writeFileSync(secretFile, `${secret}\n`, { mode: 0o600 });
  const child = spawn("turnserver", ["-c", file], { cwd: dir, stdio: "ignore" });
  child.on("error", (err) => {
    throw new Error(`turnserver: ${err.message} (Debian: apt-get install coturn)`);
  });
  process.on("exit", () => {
    child.kill("SIGKILL");
    fs.rmSync(dir, { recursive: true, force: true });
  });
  await until("coturn", () => new Promise((resolve) => net.connect(Number(at.split(":")[1]), "127.0.0.1", () => resolve(true)).on("error", () => resolve(false))));
  return { at, secretFile, log: () => fs.readFileSync(path.join(dir, fs.readdirSync(dir).find((name) => name.startsWith("log"))), "utf8") };
}

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
