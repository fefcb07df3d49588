/**
 * Frames of docs/protocol.md, `lectern.v1`: the client's side of server/wire. Both read server/wire/testdata/vectors.json.
 * Encoding gives canonical CBOR; decoding refuses what is malformed and returns null for types this version does not know.
 */
import { decodeItem, encodeItem, FrameError, MAX_FRAME } from "./cbor";

export const SUBPROTOCOL = "lectern.v1";

/** 0 WebSocket, 1 data channel. */
export type Lane = 0 | 1;
export type Role = "viewer" | "participant" | "moderator";

/** What a client may send. */
export type ClientFrame =
  | { readonly type: "auth"; readonly token: string }
  | { readonly type: "hello"; readonly log: string; readonly have: number; readonly actor: Uint8Array }
  | { readonly type: "change"; readonly doc: string; readonly epoch: number; readonly chunks: readonly Uint8Array[] }
  | { readonly type: "live"; readonly slot: number; readonly payload: Uint8Array }
  | { readonly type: "rtc.offer"; readonly sdp: string }
  | { readonly type: "lane"; readonly lane: Lane; readonly have: number }
  | { readonly type: "pong"; readonly n: number | bigint }
  | { readonly type: "ticket"; readonly ticket: Uint8Array };

export interface DocRef {
  readonly doc: string;
  readonly epoch: number;
  readonly seq: number;
}

export interface Saved {
  readonly seq: number;
  /** Unix ms; 0: never. */
  readonly at: number;
  /** Why the newest state is not in the room yet; "" when all is well. */
  readonly problem: string;
  /** Of the problem, Unix ms. */
  readonly since: number;
}

export interface Limits {
  readonly change: number;
  readonly ops: number;
  readonly frame: number;
  readonly live: number;
  readonly live_hz: number;
}

export interface Welcome {
  readonly type: "welcome";
  readonly log: string;
  readonly seq: number;
  readonly session: number;
  readonly role: string;
  /** 16 bytes; empty: this person may not write. */
  readonly actor: Uint8Array;
  readonly board: string;
  readonly kind: string;
  readonly encrypted: boolean;
  readonly companion: string;
  readonly docs: readonly DocRef[];
  readonly resume: boolean;
  readonly saved: Saved;
  readonly limits: Limits;
  readonly rtc: boolean;
  /** JSON of who may draw; absent: everybody who may write. */
  readonly rules?: Uint8Array;
}

/** What an entry of the log is (docs/protocol.md §2.2). */
export const kinds = { change: 1, epoch: 2, carry: 3, late: 4, page: 5, rules: 6 } as const;

export interface Entry {
  readonly doc: string;
  readonly epoch: number;
  /** One of `kinds`; others are counted and skipped. */
  readonly kind: number;
  readonly actor: Uint8Array;
  readonly bytes: Uint8Array;
}

/** Where on a board somebody looks, in the scene's whole pixels. */
export interface Place {
  readonly doc: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Person {
  readonly session: number;
  readonly user_id: string;
  readonly name: string;
  readonly role: string;
  /** Server name for people of other homeservers, else "". */
  readonly external: string;
  /** Raised. */
  readonly hand?: true;
}

export interface LiveUpdate {
  readonly session: number;
  readonly slot: number;
  /** Empty clears the slot. */
  readonly payload: Uint8Array;
}

/** What a server may send. */
export type ServerFrame =
  | Welcome
  | { readonly type: "entries"; readonly from: number; readonly entries: readonly Entry[] }
  | { readonly type: "live"; readonly updates: readonly LiveUpdate[] }
  | { readonly type: "people"; readonly full: boolean; readonly joined: readonly Person[]; readonly left: readonly number[] }
  | { readonly type: "role"; readonly role: string; readonly reason: string }
  | { readonly type: "known"; readonly doc: string; readonly epoch: number; readonly hashes: readonly Uint8Array[] }
  | { readonly type: "reset"; readonly doc: string; readonly hash: Uint8Array; readonly code: string; readonly message: string; readonly actor: Uint8Array }
  | ({ readonly type: "saved" } & Saved)
  | ({ readonly type: "gather"; readonly by: string } & Place)
  | { readonly type: "held"; readonly doc: string; readonly by: string; readonly count: number }
  | { readonly type: "rtc.answer"; readonly sdp: string; readonly ticket: Uint8Array }
  | { readonly type: "ping"; readonly n: number | bigint }
  | { readonly type: "lane"; readonly lane: number; readonly reason: string }
  | { readonly type: "error"; readonly code: string; readonly message: string }
  | { readonly type: "bye"; readonly code: string; readonly message: string; readonly retry_ms: number };

/** Encodes one frame; throws FrameError `too_large` when it is longer than a frame may be. */
export function encodeFrame(frame: ClientFrame): Uint8Array {
  const bytes = encodeItem(items(frame));
  if (bytes.length > MAX_FRAME) throw new FrameError("too_large", `a ${frame.type} frame of ${bytes.length} bytes`);
  return bytes;
}

function items(frame: ClientFrame): unknown[] {
  switch (frame.type) {
    case "auth":
      return [1, frame.token];
    case "hello":
      return [2, { log: frame.log, have: frame.have, actor: frame.actor }];
    case "change":
      return [3, frame.doc, frame.epoch, frame.chunks];
    case "live":
      return [4, frame.slot, frame.payload];
    case "rtc.offer":
      return [5, { sdp: frame.sdp }];
    case "lane":
      return [7, frame.lane, frame.have];
    case "pong":
      return [8, frame.n];
    case "ticket":
      return [9, frame.ticket];
  }
}

/** Decodes one frame of the server; null for a type this version skips. Throws FrameError. */
export function decodeFrame(bytes: Uint8Array): ServerFrame | null {
  const frame = readFrame(bytes);
  const type = frame[0];
  switch (type) {
    case 32:
      return welcome(map(frame[1]));
    case 33:
      return { type: "entries", from: uint(frame[1]), entries: list(frame[2]).map(entry) };
    case 34:
      return { type: "live", updates: list(frame[1]).map(liveUpdate) };
    case 35: {
      const m = map(frame[1]);
      return { type: "people", full: bool(m.full), joined: list(m.joined).map((p) => person(map(p))), left: list(m.left).map(uint) };
    }
    case 36: {
      const m = map(frame[1]);
      return { type: "role", role: text(m.role), reason: text(m.reason) };
    }
    case 37:
      return { type: "known", doc: text(frame[1]), epoch: epoch(frame[2]), hashes: hashes(list(frame[3])) };
    case 38: {
      const m = map(frame[1]);
      return { type: "reset", doc: text(m.doc), hash: blob(m.hash), code: text(m.code), message: text(m.message), actor: blob(m.actor) };
    }
    case 39:
      return { type: "saved", ...saved(map(frame[1])) };
    case 40: {
      const m = map(frame[1]);
      return { type: "rtc.answer", sdp: text(m.sdp), ticket: blob(m.ticket) };
    }
    case 41:
      return { type: "ping", n: typeof frame[1] === "bigint" ? frame[1] : uint(frame[1]) };
    case 42:
      return { type: "lane", lane: uint(frame[1]), reason: text(frame[2]) };
    case 43: {
      const m = map(frame[1]);
      return { type: "error", code: text(m.code), message: text(m.message) };
    }
    case 44: {
      const m = map(frame[1]);
      return { type: "bye", code: text(m.code), message: text(m.message), retry_ms: int(m.retry_ms) };
    }
    case 45: {
      const m = map(frame[1]);
      return { type: "gather", doc: text(m.doc), x: int(m.x), y: int(m.y), width: uint(m.width), height: uint(m.height), by: text(m.by) };
    }
    case 46: {
      const m = map(frame[1]);
      return { type: "held", doc: text(m.doc), by: text(m.by), count: uint(m.count) };
    }
    default:
      return null; // unknown types are skipped (SPEC WG10), so that the server may be newer
  }
}

/** The array of a frame with a whole number in front; throws FrameError. */
export function readFrame(bytes: Uint8Array): readonly unknown[] {
  if (bytes.length > MAX_FRAME) throw new FrameError("bad_frame", `a frame of ${bytes.length} bytes, at most ${MAX_FRAME} are allowed`);
  const frame = decodeItem(bytes);
  if (!Array.isArray(frame) || frame.length === 0) throw new FrameError("bad_frame", "a frame is an array with its type in front");
  uint(frame[0]);
  return frame as unknown[];
}

function welcome(m: Record<string, unknown>): Welcome {
  const l = map(m.limits);
  return {
    type: "welcome",
    log: text(m.log),
    seq: uint(m.seq),
    session: uint(m.session),
    role: text(m.role),
    actor: blob(m.actor),
    board: text(m.board),
    kind: text(m.kind),
    encrypted: bool(m.encrypted),
    companion: text(m.companion),
    docs: list(m.docs).map((d) => {
      const r = map(d);
      return { doc: text(r.doc), epoch: epoch(r.epoch), seq: uint(r.seq) };
    }),
    resume: bool(m.resume),
    saved: saved(map(m.saved)),
    limits: { change: uint(l.change), ops: uint(l.ops), frame: uint(l.frame), live: uint(l.live), live_hz: uint(l.live_hz) },
    rtc: bool(m.rtc),
    ...(m.rules === undefined ? {} : { rules: blob(m.rules) }),
  };
}

function saved(m: Record<string, unknown>): Saved {
  return { seq: uint(m.seq), at: uint(m.at), problem: text(m.problem), since: uint(m.since) };
}

function entry(value: unknown): Entry {
  const e = list(value);
  return { doc: text(e[0]), epoch: epoch(e[1]), kind: uint(e[2]), actor: blob(e[3]), bytes: blob(e[4]) };
}

const MAX_KNOWN = 1024;

function hashes(items: readonly unknown[]): Uint8Array[] {
  if (items.length > MAX_KNOWN) throw new FrameError("too_large", `${items.length} hashes, at most ${MAX_KNOWN} are allowed`);
  return items.map((item) => (item instanceof Uint8Array && item.length === 32 ? item : wrong("a hash")));
}

function liveUpdate(value: unknown): LiveUpdate {
  const u = list(value);
  return { session: uint(u[0]), slot: uint(u[1]), payload: blob(u[2]) };
}

function person(m: Record<string, unknown>): Person {
  return { session: uint(m.session), user_id: text(m.user_id), name: text(m.name), role: text(m.role), external: text(m.external), ...(m.hand === true ? { hand: true } : {}) };
}

function wrong(want: string): never {
  throw new FrameError("bad_frame", `${want} expected`);
}
function map(v: unknown): Record<string, unknown> {
  return v !== null && typeof v === "object" && !Array.isArray(v) && !(v instanceof Uint8Array) ? (v as Record<string, unknown>) : wrong("a map");
}
function list(v: unknown): readonly unknown[] {
  return Array.isArray(v) ? v : wrong("an array");
}
function text(v: unknown): string {
  return typeof v === "string" ? v : wrong("text");
}
function blob(v: unknown): Uint8Array {
  return v instanceof Uint8Array ? v : wrong("bytes");
}
function bool(v: unknown): boolean {
  return typeof v === "boolean" ? v : wrong("true or false");
}
function int(v: unknown): number {
  return typeof v === "number" && Number.isSafeInteger(v) ? v : wrong("a whole number");
}
function uint(v: unknown): number {
  const n = int(v);
  return n >= 0 ? n : wrong("a number from 0");
}
function epoch(v: unknown): number {
  const n = uint(v);
  return n <= 0xffff_ffff ? n : wrong("a number of 32 bits");
}
