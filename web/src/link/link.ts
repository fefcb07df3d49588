/**
 * The connection to a board: signs in, keeps one WebSocket, moves the log to a data channel when one opens, resumes after every break and
 * sends unacknowledged changes again until their echo comes. It knows frames and sequence numbers, and nothing of documents.
 */
import { FrameError } from "../wire/cbor";
import { decodeFrame, encodeFrame, type ClientFrame, type Entry, type Lane, type LiveUpdate, type ServerFrame, type Welcome } from "../wire/frames";
import { backoff } from "./backoff";
import { Channel } from "./channel";
import { Outbox, type Outgoing } from "./outbox";
import { Refused, type Session } from "./session";
import type { OpenPeer } from "./peer";
import type { OpenSocket, Pipe } from "./socket";
import { count, newStats, type Stats } from "./stats";

export type LinkState =
  | { readonly kind: "connecting"; readonly problem: string }
  | { readonly kind: "open"; readonly lane: Lane }
  | { readonly kind: "resuming"; readonly problem: string }
  | { readonly kind: "closed"; readonly code: string; readonly message: string };

export interface LinkEvents {
  state(state: LinkState): void;
  /** `foreign`: the server's log is another incarnation than ours, so everything of ours may be missing there. */
  welcome(welcome: Welcome, foreign: boolean): void;
  /** New entries in order, each exactly once (docs/protocol.md §2.2). */
  entries(entries: readonly Entry[], from: number): void;
  acked(change: Outgoing): void;
  live(updates: readonly LiveUpdate[]): void;
  /** people, role, reset, saved, gather, error. */
  event(frame: Extract<ServerFrame, { type: "people" | "role" | "reset" | "saved" | "gather" | "held" | "error" }>): void;
}

export interface LinkOptions {
  readonly session: Pick<Session, "token" | "forget" | "iceServers">;
  readonly openSocket: OpenSocket;
  /** Absent: the WebSocket only. */
  readonly openPeer?: OpenPeer;
  readonly random?: () => number;
}

const WELCOME_MS = 10_000;
const SOCKET_SILENCE_MS = 45_000; // the server pings every 20 s
const ACK_MS = 15_000;
const GAP_MS = 300;
const PROBE_MS = 4_000;
const CHECK_MS = 1_000;
const ASLEEP_MS = 5_000; // between two checks
/** Reasons of the server's request to move (docs/protocol.md §3) that are about the channel itself; with "people" it stays for the live lane. */
const GIVEN_UP = new Set(["health", "stalled", "closed"]);
/** Refusals that may be a race with the homeserver's news (the room's state is on its way), and how often they are tried. */
const PERMANENT = new Set(["not_joined", "server_denied", "no_widget", "board_elsewhere", "room_upgraded", "openid_blocked", "bad_json"]);
const PERMANENT_TRIES = 3;

export class Link {
  readonly stats: Stats = newStats();
  private current: LinkState = { kind: "connecting", problem: "" };
  // Owned by this object; everything runs on the page's one thread.
  private log = "";
  private have = 0;
  private actor: Uint8Array = new Uint8Array();
  private socket: Pipe | undefined;
  private readonly channel: Channel | undefined;
  private readonly outbox = new Outbox();
  private attempt = 0;
  private refusals = 0;
  private badFrames = 0;
  private retryAtLeast = 0;
  private stay = false; // bye said not to come back
  private lastHeard = 0;
  private lastAck = 0;
  private lastGap = 0;
  private lastCheck = Date.now();
  private probed = 0; // when it was asked whether anybody is there; 0: not, or answered
  private dialing = false;
  private flushing = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly watch: ReturnType<typeof setInterval>;
  private readonly random: () => number;

  constructor(
    private readonly options: LinkOptions,
    private readonly events: LinkEvents,
  ) {
    this.random = options.random ?? Math.random;
    this.watch = setInterval(() => this.checkHealth(), CHECK_MS);
    if (options.openPeer) {
      this.channel = new Channel(options.openPeer, () => options.session.iceServers, this.random, this.stats, {
        signal: (frame) => this.sendOn(0, frame),
        opened: () => this.move(1),
        lost: () => this.state.kind === "open" && this.move(0),
        received: (bytes, lane) => this.receive(bytes, lane),
      });
    }
  }

  get state(): LinkState {
    return this.current;
  }

  /** Changes that the server has not acknowledged. */
  get unacknowledged(): number {
    return this.outbox.size;
  }

  get sequence(): { log: string; have: number } {
    return { log: this.log, have: this.have };
  }

  connect(): void {
    if (this.current.kind === "closed") this.refusals = this.badFrames = this.attempt = 0;
    this.stay = false;
    clearTimeout(this.timer);
    if (this.socket || this.dialing) return;
    this.setState(this.log === "" ? { kind: "connecting", problem: "" } : { kind: "resuming", problem: "" });
    void this.dial();
  }

  /** The network changed, the machine woke up, somebody looks again: connect without waiting for the timer, or see at once whether the connection still lives. */
  hurry(): void {
    if (this.current.kind === "closed") return;
    if (!this.socket && !this.dialing) {
      this.attempt = 0;
      this.connect();
    } else if (this.current.kind === "open" && this.current.lane === 0) {
      this.probed = Date.now();
      this.askFrom(this.have); // answered with `people`, whatever there is
    }
  }

  /** Leaves the present connection for a new one at once: for what only a welcome brings. */
  reconnect(): void {
    if (this.current.kind === "closed") return;
    this.drop();
    this.connect();
  }

  close(code: string, message: string): void {
    this.setState({ kind: "closed", code, message });
    clearTimeout(this.timer);
    clearInterval(this.watch);
    this.drop();
  }

  /** Queues changes and sends them, in order, as soon as there is a connection. */
  send(changes: readonly Outgoing[]): void {
    if (this.outbox.size === 0) this.lastAck = Date.now();
    this.outbox.push(changes);
    this.flushSoon();
  }

  /** Gives up unacknowledged changes, because their author writes them anew or nobody does; answers them. */
  forget(which: (change: Outgoing) => boolean): Outgoing[] {
    return this.outbox.remove(which);
  }

  /** A document was fetched as of an earlier seq than has been applied: the log is sent again from there. Entries applied twice do nothing. */
  rewind(seq: number): void {
    if (seq >= this.have) return;
    this.have = seq;
    this.askFrom(seq);
  }

  /** Sends a live payload if that is possible now; drops it otherwise. */
  sendLive(slot: number, payload: Uint8Array): void {
    if (this.current.kind !== "open") return;
    const bytes = encodeFrame({ type: "live", slot, payload });
    if (this.current.lane === 1 && this.channel) {
      if (this.channel.sendLive(bytes)) count(this.stats.live.sent, bytes.length);
    } else if (this.write(0, bytes)) count(this.stats.socket.sent, bytes.length);
  }

  /** Moves the log to a lane; for tests and diagnostics. False when that lane is not open. */
  switchLane(lane: Lane): boolean {
    if (this.current.kind !== "open" || (lane === 1 && !this.channel?.ready)) return false;
    if (this.current.lane !== lane) this.move(lane);
    return true;
  }

  // ---- connecting ----

  private async dial(): Promise<void> {
    let token: string;
    this.dialing = true;
    try {
      token = await this.options.session.token().finally(() => (this.dialing = false));
    } catch (err) {
      const refused = err instanceof Refused ? err : new Refused("unreachable", String(err), 0);
      if (this.current.kind === "closed") return;
      if (PERMANENT.has(refused.code) && (refused.status === 0 || ++this.refusals >= PERMANENT_TRIES)) {
        this.setState({ kind: "closed", code: refused.code, message: refused.message });
        return;
      }
      this.retryAtLeast = refused.retryMs;
      this.retry(refused.code);
      return;
    }
    if (this.current.kind === "closed" || this.socket) return;
    let mine: Pipe | undefined = undefined;
    const isCurrent = () => mine !== undefined && this.socket === mine;
    mine = this.options.openSocket({
      opened: () => {
        if (!isCurrent()) return;
        this.sendOn(0, { type: "auth", token });
        this.sendOn(0, { type: "hello", log: this.log, have: this.have, actor: this.actor });
      },
      received: (bytes) => isCurrent() && this.receive(bytes, 0),
      closed: (code) => isCurrent() && this.lost(code),
    });
    this.socket = mine;
    this.lastHeard = Date.now();
    this.timer = setTimeout(() => this.lost(1006), WELCOME_MS);
  }

  private retry(problem: string): void {
    this.drop();
    this.setState(this.log === "" ? { kind: "connecting", problem } : { kind: "resuming", problem });
    const wait = backoff(this.attempt++, this.random, this.retryAtLeast);
    this.retryAtLeast = 0;
    this.timer = setTimeout(() => void this.dial(), wait);
  }

  /** The socket is gone, or as good as gone. Codes: docs/protocol.md §6. */
  private lost(code: number): void {
    this.drop();
    if (this.current.kind === "closed") return;
    this.stats.reconnects++;
    if (code === 4401) this.options.session.forget();
    if (code === 4409) this.actor = new Uint8Array(); // another connection took our actor: go on under a new one
    if (code === 4400 && ++this.badFrames >= 3) return this.setState({ kind: "closed", code: "bad_frame", message: "" });
    if (code === 4403) return this.setState({ kind: "closed", code: "removed", message: this.byeMessage });
    if (this.stay) return this.setState({ kind: "closed", code: this.byeCode, message: this.byeMessage });
    this.retry(closeNames[code] ?? "network");
  }

  private drop(): void {
    clearTimeout(this.timer);
    this.probed = 0;
    this.channel?.stop();
    const socket = this.socket;
    this.socket = undefined;
    socket?.close();
  }

  private storing = true; // as far as the server has said
  private byeCode = "";
  private byeMessage = "";

  // ---- receiving ----

  private receive(bytes: Uint8Array, lane: "live" | Lane): void {
    let frame: ServerFrame | null;
    try {
      frame = decodeFrame(bytes);
    } catch (err) {
      if (!(err instanceof FrameError)) throw err;
      console.warn("a frame of the server was refused", err.code, err.message);
      if (lane === 0) this.lost(4400);
      else this.channel?.fail();
      return;
    }
    this.lastHeard = Date.now();
    const name = lane === 0 ? "socket" : lane === 1 ? "log" : "live";
    count(this.stats[name].received, bytes.length, frame?.type === "entries" ? frame.entries.length : 0);
    if (frame) this.handle(frame, lane === "live" ? 1 : lane);
  }

  private handle(frame: ServerFrame, lane: Lane): void {
    switch (frame.type) {
      case "welcome":
        return this.welcomed(frame);
      case "entries":
        return this.entered(frame.from, frame.entries);
      case "live":
        return this.events.live(frame.updates);
      case "known":
        return this.acked(this.outbox.known(frame.doc, frame.epoch, frame.hashes));
      case "ping":
        return void this.sendOn(lane, { type: "pong", n: frame.n });
      case "lane":
        // A channel that the server has given up is of no more use even if its network comes back: fail() moves, and opens another one later.
        if (frame.lane === 0 && this.channel?.ready && GIVEN_UP.has(frame.reason)) this.channel.fail();
        else if (frame.lane === 0 || (frame.lane === 1 && this.channel?.ready)) this.move(frame.lane);
        return;
      case "rtc.answer":
        return void this.channel?.answered(frame.sdp, frame.ticket);
      case "bye":
        this.stay = frame.retry_ms < 0;
        this.retryAtLeast = Math.max(0, frame.retry_ms);
        [this.byeCode, this.byeMessage] = [frame.code, frame.message];
        return;
      case "reset":
        this.stats.resets++;
        if (frame.actor.length > 0) this.actor = frame.actor;
        return this.events.event(frame);
      case "error":
        console.warn("the server refused something", frame.code, frame.message);
        return this.events.event(frame);
      case "saved":
        this.stores(frame.problem);
        return this.events.event(frame);
      case "people":
      case "role":
      case "gather":
      case "held":
        return this.events.event(frame);
    }
  }

  private welcomed(w: Welcome): void {
    clearTimeout(this.timer);
    const foreign = this.log !== "" && w.log !== this.log;
    this.log = w.log;
    this.actor = w.actor;
    if (!w.resume) this.have = w.docs.length === 0 ? w.seq : Math.min(...w.docs.map((d) => d.seq));
    if (foreign) this.outbox.remove((change) => !change.adopted); // what the restored board lacks is offered by whoever holds the document
    this.outbox.rewind();
    this.attempt = this.refusals = this.badFrames = 0;
    this.lastAck = Date.now();
    this.setState({ kind: "open", lane: 0 });
    this.stores(w.saved.problem);
    this.events.welcome(w, foreign);
    this.flushSoon();
    if (w.rtc) this.channel?.start();
  }

  private stores(problem: string): void {
    const could = this.storing;
    this.storing = problem !== "storage"; // otherwise no acknowledgement is to be expected (SPEC BD31)
    if (this.storing && !could) this.lastAck = Date.now();
  }

  private entered(from: number, entries: readonly Entry[]): void {
    const last = from + entries.length - 1;
    if (this.current.kind !== "open" || last <= this.have) return; // seen on another lane
    if (from > this.have + 1) return this.gap();
    const fresh = from === this.have + 1 ? entries : entries.slice(this.have + 1 - from);
    this.have = last;
    const acked = fresh.map((e) => this.outbox.ack(e)).filter((o) => o !== undefined);
    this.events.entries(fresh, last - fresh.length + 1);
    this.acked(acked);
  }

  private acked(changes: readonly Outgoing[]): void {
    if (changes.length > 0) this.lastAck = Date.now();
    for (const change of changes) this.events.acked(change);
    if (changes.length > 0) this.flushSoon();
  }

  private gap(): void {
    if (this.current.kind !== "open" || Date.now() - this.lastGap < GAP_MS) return;
    this.lastGap = Date.now();
    this.stats.gaps++;
    this.askFrom(this.have);
  }

  private askFrom(have: number): void {
    if (this.current.kind === "open") this.sendOn(this.current.lane, { type: "lane", lane: this.current.lane, have });
  }

  // ---- lanes and sending ----

  private move(lane: Lane): void {
    if (this.current.kind !== "open") return;
    if (this.current.lane !== lane) {
      if (lane === 1) this.stats.moves.toChannel++;
      else this.stats.moves.toSocket++;
    }
    this.setState({ kind: "open", lane });
    this.sendOn(lane, { type: "lane", lane, have: this.have });
    this.outbox.rewind();
    this.flush();
  }

  /** Changes of one turn of the event loop go in one frame. */
  private flushSoon(): void {
    if (this.flushing) return;
    this.flushing = true;
    queueMicrotask(() => {
      this.flushing = false;
      this.flush();
    });
  }

  private flush(): void {
    if (this.current.kind !== "open") return;
    const { lane } = this.current;
    for (const { frame, changes } of this.outbox.frames()) if (!this.sendOn(lane, frame, changes)) return;
  }

  private sendOn(lane: Lane, frame: ClientFrame, changes = 0): boolean {
    const bytes = encodeFrame(frame);
    const sent = this.write(lane, bytes);
    if (sent) count(this.stats[lane === 0 ? "socket" : "log"].sent, bytes.length, changes);
    return sent;
  }

  private write(lane: Lane, bytes: Uint8Array): boolean {
    if (lane === 1) return this.channel?.sendLog(bytes) ?? false;
    try {
      this.socket?.send(bytes);
      return this.socket !== undefined;
    } catch {
      return false; // closing; its event follows, and everything unacknowledged is sent again
    }
  }

  private checkHealth(): void {
    const now = Date.now();
    const slept = now - this.lastCheck > ASLEEP_MS;
    this.lastCheck = now;
    if (slept) this.hurry();
    if (this.current.kind !== "open") return;
    this.channel?.check(this.current.lane === 1);
    const silent = now - this.lastHeard > SOCKET_SILENCE_MS;
    const ignored = this.storing && this.outbox.size > 0 && this.current.lane === 0 && now - this.lastAck > ACK_MS && now - this.lastHeard > ACK_MS;
    const deaf = this.probed > 0 && now - this.probed > PROBE_MS && this.lastHeard < this.probed;
    if (this.lastHeard >= this.probed) this.probed = 0;
    if (silent || ignored || deaf) this.lost(1006);
  }

  private setState(state: LinkState): void {
    this.current = state;
    this.events.state(state);
  }
}

const closeNames: Record<number, string> = { 1001: "draining", 4401: "unauthorized", 4408: "slow", 4409: "replaced", 4410: "board_failed", 4429: "rate" };
