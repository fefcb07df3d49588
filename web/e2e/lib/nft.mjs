/** A network that swallows UDP: one nftables table per process, removed at the end of it whatever happens. Needs root and nft. */
import { spawnSync } from "node:child_process";
import { decode } from "cborg";

const RTC_ANSWER = 40;
const TABLE = `lectern_e2e_${process.pid}`;

/** Why UDP cannot be dropped on this machine, "" if it can. */
export function cannotDrop() {
  const tried = nft(`add table inet ${TABLE}\ndelete table inet ${TABLE}`);
  if (tried.error) return `nft is not there: ${tried.error.message}`;
  return tried.status === 0 ? "" : `nft is not permitted: ${tried.stderr.trim()}`;
}

/** The UDP port of the server's answers to a page's offers (docs/protocol.md §2.2 rtc.answer), once there is one. Before the page connects. */
export function channelPort(page) {
  let port;
  page.on("websocket", (ws) =>
    ws.on("framereceived", ({ payload }) => {
      if (typeof payload === "string") return;
      const [type, answer] = decode(new Uint8Array(payload));
      if (type === RTC_ANSWER) port = Number(/^a=candidate:\S+ 1 udp \d+ \S+ (\d+) typ host/im.exec(answer.sdp)?.[1]);
    }),
  );
  return () => port;
}

/** Drops UDP to and from a port of this machine until restoreUDP(). */
export function dropUDP(port) {
  if (!Number.isInteger(port)) throw new Error(`not a port: ${port}`);
  must(
    nft(`add table inet ${TABLE}
add chain inet ${TABLE} input { type filter hook input priority 0 ; }
add rule inet ${TABLE} input udp dport ${port} counter drop
add rule inet ${TABLE} input udp sport ${port} counter drop`),
  );
  process.once("exit", restoreUDP);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1)); // else nothing runs at exit
}

/** Lets UDP through again. Answers how many packets were dropped on the way to the port and from it; null if nothing was in force. */
export function restoreUDP() {
  const listed = nft(`list table inet ${TABLE}`);
  if (listed.status !== 0) return null;
  must(nft(`delete table inet ${TABLE}`));
  const [to, from] = [...listed.stdout.matchAll(/counter packets (\d+)/g)].map((m) => Number(m[1]));
  return { to, from };
}

function nft(script) {
  return spawnSync("nft", ["-f", "-"], { input: script, encoding: "utf8", timeout: 10_000, env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
}

function must(result) {
  if (result.error) throw result.error;
  if (result.status !== 0) throw new Error(`nft: ${result.stderr.trim()}`);
}
