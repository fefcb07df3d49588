import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { encodeItem, FrameError } from "../src/wire/cbor";
import { decodeFrame, encodeFrame, readFrame, type ClientFrame } from "../src/wire/frames";

interface Vector {
  name: string;
  dir: "client" | "server";
  hex: string;
  value?: unknown;
  code?: string;
  same?: string;
}
const vectors = JSON.parse(readFileSync(new URL("../../server/wire/testdata/vectors.json", import.meta.url), "utf8")) as Record<
  "frames" | "refused" | "skipped",
  Vector[]
>;
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (b: Uint8Array) => Buffer.from(b).toString("hex");

/** JSON of the vectors with {"$hex"} turned into bytes. */
function plain(v: unknown): unknown {
  if (Array.isArray(v)) return v.map(plain);
  if (v === null || typeof v !== "object") return v;
  if ("$hex" in v) return bytes((v as { $hex: string }).$hex);
  return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, plain(x)]));
}

function clientFrame(value: unknown): ClientFrame {
  const [type, a, b, c] = plain(value) as [number, never, never, never];
  switch (type) {
    case 1: return { type: "auth", token: a };
    case 2: return { type: "hello", ...(a as { log: string; have: number; actor: Uint8Array }) };
    case 3: return { type: "change", doc: a, epoch: b, chunks: c };
    case 4: return { type: "live", slot: a, payload: b };
    case 5: return { type: "rtc.offer", sdp: (a as { sdp: string }).sdp };
    case 7: return { type: "lane", lane: a, have: b };
    case 8: return { type: "pong", n: a };
    case 9: return { type: "ticket", ticket: a };
    default: throw new Error(`vector of an unknown type ${type}`);
  }
}

describe("frames", () => {
  for (const v of vectors.frames.filter((f) => f.dir === "client"))
    test(`WG10 writes ${v.name}`, () => expect(hex(encodeFrame(clientFrame(v.value)))).toBe(v.hex));

  for (const v of vectors.frames.filter((f) => f.dir === "server"))
    test(`WG10 reads ${v.name}`, () => {
      const frame = decodeFrame(bytes(v.hex));
      const [, first, second, third] = plain(v.value) as unknown[];
      switch (frame?.type) {
        case "entries": {
          expect(frame.from).toBe(first);
          expect(frame.entries.map((e) => [e.doc, e.epoch, e.kind, e.actor, e.bytes])).toEqual(second);
          break;
        }
        case "live": {
          expect(frame.updates.map((u) => [u.session, u.slot, u.payload])).toEqual(first);
          break;
        }
        case "known":
          expect([frame.doc, frame.epoch, frame.hashes]).toEqual([first, second, third]);
          break;
        case "ping":
          expect(Number(frame.n)).toBe(first);
          break;
        case "lane":
          expect([frame.lane, frame.reason]).toEqual([first, second]);
          break;
        default: {
          const { type: _type, ...rest } = frame as unknown as Record<string, unknown>;
          expect(rest).toEqual(first);
        }
      }
    });

  const perType = /auth|hello|change|live|offer|lane|ticket/; // refused by the server's reader of that type, which is not ours
  for (const v of vectors.refused.filter((f) => f.dir === "server" || !perType.test(f.name)))
    test(`WG10 refuses ${v.name}`, () => expect(() => (v.dir === "server" ? decodeFrame(bytes(v.hex)) : readFrame(bytes(v.hex)))).toThrow(FrameError));

  for (const v of vectors.skipped.filter((f) => f.dir === "server"))
    test(`WG10 skips ${v.name}`, () => {
      const same = vectors.frames.find((f) => f.name === v.same);
      expect(decodeFrame(bytes(v.hex))).toEqual(same ? decodeFrame(bytes(same.hex)) : null);
    });

  test("WG10 refuses what a bundle of nested arrays would do to the stack", () => {
    expect(() => readFrame(new Uint8Array(60_000).fill(0x81))).toThrow(FrameError);
  });
  test("WG10 refuses a map key that is a number", () => expect(() => decodeFrame(bytes("8118" + "24" + "a10102"))).toThrow(FrameError));
  test("WG10 a frame too long to send is refused before it is sent", () => {
    expect(() => encodeFrame({ type: "change", doc: "d", epoch: 0, chunks: [new Uint8Array(40_000), new Uint8Array(30_000)] })).toThrow(FrameError);
    expect(encodeItem([1]).length).toBe(2);
  });
});
