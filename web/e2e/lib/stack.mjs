/** The program under test: `lectern dev` as a child process, and the plain Matrix and Lectern HTTP calls that tests need beside the browser. */
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const START_MS = 240_000; // a first start may have to build the homeserver
const STOP_MS = 20_000;
const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Waits until `check` answers something truthy and gives it back. `what` is for the failure. Errors of `check` count as "not yet". */
export async function until(what, check, ms = 10_000, every = 50) {
  const end = Date.now() + ms;
  let last;
  for (;;) {
    try {
      last = await check();
      if (last) return last;
    } catch (err) {
      last = err;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms, last: ${last instanceof Error ? last.message : JSON.stringify(last)}`);
    await sleep(every);
  }
}

/** A fresh folder that is removed by stack.stop({ remove: true }). */
export const freshDir = (name = "e2e") => fs.mkdtempSync(path.join(os.tmpdir(), `lectern-${name}-`));

/** Starts `lectern dev` and waits for its ready file. `args`: more flags, e.g. ["-plain"]. */
export async function startStack({ data = freshDir(), args = [], log = path.join(data, "lectern.log") } = {}) {
  const bin = process.env.LECTERN_BIN ?? path.resolve(import.meta.dirname, "../../../bin/lectern");
  if (!fs.existsSync(bin)) throw new Error(`${bin} is missing: make build`);
  const readyFile = path.join(data, "ready.json");
  fs.rmSync(readyFile, { force: true });
  const out = fs.openSync(log, "a");
  const started = Date.now();
  const child = spawn(bin, ["dev", "-data", data, "-ready-file", readyFile, ...args], { stdio: ["ignore", out, out] });
  fs.closeSync(out);
  running.add(child);
  const exited = new Promise((resolve) => child.once("exit", (code, signal) => (running.delete(child), resolve(code ?? signal))));
  let early;
  void exited.then((code) => (early = code));
  await until("lectern dev ready", () => early !== undefined || fs.existsSync(readyFile), START_MS, 100);
  if (early !== undefined) throw new Error(`lectern dev ended with ${early}:\n${fs.readFileSync(log, "utf8").slice(-4000)}`);
  const ready = JSON.parse(fs.readFileSync(readyFile, "utf8"));
  return new Stack({ child, exited, ready, data, log, startMs: Date.now() - started });
}

export class Stack {
  constructor(fields) {
    Object.assign(this, fields);
  }

  /** The demo person whose user id begins with `name` or whose display name contains it. */
  user(name) {
    const found = this.ready.users.find((u) => u.user_id.startsWith(`@${name}:`) || u.name?.toLowerCase().includes(name.toLowerCase()));
    if (!found) throw new Error(`no demo user ${name} among ${this.ready.users.map((u) => u.user_id)}`);
    return found;
  }

  get teacher() {
    return this.ready.users[0];
  }

  students() {
    return this.ready.users.slice(1);
  }

  logText() {
    return fs.readFileSync(this.log, "utf8");
  }

  /** Ends it as Ctrl-C does (or with `signal`) and waits. */
  async stop({ remove = false, signal = "SIGINT" } = {}) {
    this.child.kill(signal);
    const code = await Promise.race([this.exited, sleep(STOP_MS, "still running", { ref: false })]);
    if (code === "still running") {
      this.child.kill("SIGKILL");
      throw new Error(`lectern dev did not stop within ${STOP_MS} ms of ${signal}`);
    }
    if (remove) fs.rmSync(this.data, { recursive: true, force: true });
    return code;
  }

  /** Matrix client API as one of the people (an entry of ready.users), at their own homeserver. */
  async matrix(user, method, where, body) {
    return call(`${user.homeserver ?? this.ready.homeserver}/_matrix/client/v3${where}`, method, user.access_token, body);
  }

  /** Begins a document's next epoch (SPEC DV18). */
  squash(doc, board = this.ready.widgets[0].board) {
    return call(`${this.ready.classroom}/dev/squash/${board}/${doc}`, "POST", "");
  }

  /** A Lectern session of a person, through the same door as the widget: a fresh OpenID token. */
  async session(user, { room = this.ready.room_id, widget = this.ready.widgets[0].id } = {}) {
    const openid = await this.matrix(user, "POST", `/user/${encodeURIComponent(user.user_id)}/openid/request_token`, {});
    const session = await call(`${this.ready.lectern}/v1/sessions`, "POST", "", { openid, room_id: room, widget_id: widget });
    const base = `${this.ready.lectern}/v1/boards/${session.board.id}`;
    return {
      ...session,
      scene: (doc) => call(`${base}/docs/${doc}/scene?live`, "GET", session.token),
      end: () => call(`${this.ready.lectern}/v1/sessions`, "DELETE", session.token),
    };
  }
}

async function call(url, method, token, body) {
  const response = await fetch(url, {
    method,
    headers: { ...(body && { "Content-Type": "application/json" }), ...(token && { Authorization: `Bearer ${token}` }) },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  });
  const text = await response.text();
  if (!response.ok) throw Object.assign(new Error(`${method} ${new URL(url).pathname}: ${response.status} ${text.slice(0, 300)}`), { status: response.status });
  return text === "" ? null : JSON.parse(text);
}
