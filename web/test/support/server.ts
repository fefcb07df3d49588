import { decode, encode } from "cborg";
import { authorOf, hex } from "../../src/link/chunk";
import { hashOf, type EpochModel } from "./epochs";
import type { OpenPeer, PeerEvents } from "../../src/link/peer";
import type { IceServer } from "../../src/link/session";
import type { OpenSocket, SocketEvents } from "../../src/link/socket";

type Frame = [number, ...unknown[]];
const bytes = (f: unknown) => encode(f);

/** One connection: frames wait in queues until pump() delivers them, in order within a lane. */
export class Connection {
  readonly inbox: { lane: 0 | 1; frame: Frame }[] = [];
  cursor = 0;
  lane: 0 | 1 = 0;
  ready = false;
  dead = false;
  /** Actors (hex) of which a change was refused on this connection: what else comes under them is dropped (SPEC BD9). */
  readonly deadActors = new Set<string>();
  actor: Uint8Array = new Uint8Array();
  issuing = false;
  peer: PeerEvents | undefined;
  private readonly outbox: Record<0 | 1, Uint8Array[]> = { 0: [], 1: [] };

  constructor(
    readonly server: FakeServer,
    readonly socket: SocketEvents,
  ) {}

  send(lane: 0 | 1, frame: Frame): void {
    this.outbox[lane].push(bytes(frame));
  }

  /** Delivers up to n queued frames of a lane to the client. */
  deliver(lane: 0 | 1, n = Infinity): number {
    let done = 0;
    for (; done < n && this.outbox[lane].length > 0 && !this.dead; done++) {
      const b = this.outbox[lane].shift()!;
      if (lane === 0) this.socket.received(b);
      else this.peer?.received("log", b);
    }
    return done;
  }

  /** The server reads up to n of the client's frames. */
  read(n = Infinity): number {
    let done = 0;
    for (; done < n && this.inbox.length > 0 && !this.dead; done++) {
      const { lane, frame } = this.inbox.shift()!;
      this.server.handle(this, lane, frame);
    }
    return done;
  }

  /** The network breaks: what was under way is gone. */
  cut(code = 1006): void {
    if (this.dead) return;
    this.dead = true;
    this.socket.closed(code);
  }

  dropPeer(): void {
    const p = this.peer;
    this.peer = undefined;
    this.outbox[1] = [];
    p?.closed();
  }
}

/** The protocol's server half: one log, kept in memory, changes known by their bytes. */
export class FakeServer {
  log = "log-1";
  rtc = false;
  readonly entries: [string, number, number, Uint8Array, Uint8Array][] = [];
  readonly connections: Connection[] = [];
  /** Frames as they were read, for assertions. */
  readonly seen: Frame[] = [];
  refuse: ((chunk: Uint8Array, epoch: number) => string | undefined) | undefined;
  role = "participant";
  readonly pages = ["page"];
  private readonly deadActors = new Set<string>();
  nextActor = 1;
  /** With it, changes go into real documents, which have epochs. */
  model: EpochModel | undefined;
  /** How far back a client may resume. */
  reach = Infinity;

  get open(): Connection | undefined {
    return this.connections.findLast((c) => !c.dead);
  }

  openSocket: OpenSocket = (events) => {
    const c = new Connection(this, events);
    this.connections.push(c);
    queueMicrotask(() => events.opened());
    return {
      send: (b) => {
        if (c.dead) throw new Error("closed");
        c.inbox.push({ lane: 0, frame: decode(b) as Frame });
      },
      close: () => {
        c.dead = true;
      },
    };
  };

  /** The servers that each peer connection was told of. */
  readonly told: (readonly IceServer[])[] = [];

  openPeer: OpenPeer = (events, servers) => {
    this.told.push(servers);
    const c = this.open!;
    return {
      offer: () => Promise.resolve("offer"),
      answer: async () => {
        c.peer = events;
        await Promise.resolve();
        events.opened();
      },
      sendLog: (b) => {
        if (c.dead || c.peer !== events) throw new Error("closed");
        c.inbox.push({ lane: 1, frame: decode(b) as Frame });
      },
      sendLive: () => true,
      close: () => {
        if (c.peer === events) c.peer = undefined;
      },
    };
  };

  /** Where there is no model: every document is the genesis, and the log holds the rest. */
  addPage(): string {
    const doc = `page${this.pages.length + 1}`;
    this.pages.push(doc);
    this.entries.push([doc, 0, 5, new Uint8Array(16), new Uint8Array()]);
    return doc;
  }

  commit(doc: string, chunk: Uint8Array, actor: Uint8Array = new Uint8Array(16).fill(9)): void {
    if (this.entries.some((e) => String(e[4]) === String(chunk))) return;
    this.entries.push([doc, 0, 1, actor, chunk]);
  }

  /** A reset kills the actor of the change and the session's own; until the new one is issued, whatever else is refused is covered by it (SPEC BD9). */
  private refused(c: Connection, doc: string, chunk: Uint8Array, code: string): void {
    for (const actor of [authorOf(chunk), hex(c.actor)]) {
      c.deadActors.add(actor);
      this.deadActors.add(actor);
    }
    if (c.issuing) return;
    c.issuing = true;
    c.actor = code === "read_only" ? new Uint8Array() : new Uint8Array(16).fill(this.nextActor++);
    c.send(c.lane, [38, { doc, hash: hashOf(chunk), code, message: "no", actor: c.actor }]);
  }

  /** Sends every ready connection what it has not got. */
  flush(c: Connection, most = Infinity): void {
    c.issuing = false;
    if (!c.ready || c.dead) return;
    for (const end = Math.min(c.cursor + most, this.entries.length); c.cursor < end; ) {
      const some = [];
      for (let size = 0, i = c.cursor; i < end && size < 48_000 && some.length < 1_000; i++) {
        some.push(this.entries[i]!);
        size += this.entries[i]![4].length + 80;
      }
      c.send(c.lane, [33, c.cursor + 1, some]);
      c.cursor += some.length;
    }
  }

  handle(c: Connection, lane: 0 | 1, f: Frame): void {
    this.seen.push(f);
    switch (f[0]) {
      case 2: {
        const hello = f[1] as { log: string; have: number; actor: Uint8Array };
        const resume = hello.log === this.log && hello.have <= this.entries.length && hello.have >= this.entries.length - this.reach;
        const docs = this.model ? [{ doc: this.model.doc, epoch: this.model.document().epoch, seq: this.model.document().seq }] : this.pages.map((doc) => ({ doc, epoch: 0, seq: 0 }));
        c.cursor = resume ? hello.have : docs[0]!.seq;
        c.ready = true;
        const actor = hello.actor.length === 16 && !this.deadActors.has(hex(hello.actor)) ? hello.actor : new Uint8Array(16).fill(this.nextActor++);
        c.actor = actor;
        c.send(0, [32, welcome({ log: this.log, seq: this.entries.length, actor, resume, rtc: this.rtc, docs, role: this.role })]);
        return;
      }
      case 3:
        for (const chunk of f[3] as Uint8Array[]) {
          const author = authorOf(chunk);
          if (c.deadActors.has(author)) continue;
          const code = this.role === "viewer" ? "read_only" : (this.refuse?.(chunk, f[2] as number) ?? (this.deadActors.has(author) ? "gap" : undefined));
          if (code !== undefined) this.refused(c, f[1] as string, chunk, code);
          else if (!this.model) this.commit(f[1] as string, chunk);
          else if (!this.model.take(f[2] as number, chunk)) c.send(c.lane, [37, f[1], f[2], [hashOf(chunk)]]);
        }
        return;
      case 5:
        c.send(0, [40, { sdp: "answer", ticket: new Uint8Array(16) }]);
        return;
      case 7:
        c.lane = f[1] as 0 | 1;
        c.cursor = f[2] as number;
        return;
      default:
        void lane;
    }
  }
}

export function welcome(over: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    log: "log-1", seq: 0, session: 1, role: "participant", actor: new Uint8Array(16).fill(1), board: "b", kind: "whiteboard", encrypted: true, companion: "@l:e",
    docs: [{ doc: "page", epoch: 0, seq: 0 }], resume: false, saved: { seq: 0, at: 0, problem: "", since: 0 }, limits: { change: 32768, ops: 5000, frame: 65536, live: 8192, live_hz: 30 },
    rtc: false, ...over,
  };
}
