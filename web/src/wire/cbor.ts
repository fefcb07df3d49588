/** CBOR as docs/protocol.md §2 allows it: one item, definite lengths, no tags, nested at most 8 deep, 64-bit whole numbers (bigint beyond 2^53). */
import { decode, encode } from "cborg";

/** Longest frame in bytes, both directions. */
export const MAX_FRAME = 65_536;
const MAX_DEPTH = 8;

/** A frame or payload that must not be read any further. */
export class FrameError extends Error {
  override name = "FrameError";
  constructor(
    readonly code: "bad_frame" | "too_large",
    message: string,
  ) {
    super(message);
  }
}

/** Decodes one item; throws FrameError. Maps become objects without prototype surprises: keys are only ever read by known names. */
export function decodeItem(bytes: Uint8Array): unknown {
  let item: unknown;
  try {
    item = decode(bytes, {
      allowIndefinite: false,
      allowUndefined: false,
      allowInfinity: false,
      allowNaN: false,
      useMaps: false,
      rejectDuplicateMapKeys: true,
    });
  } catch (err) {
    throw new FrameError("bad_frame", `not CBOR as agreed: ${err instanceof Error ? err.message : String(err)}`);
  }
  if (deeper(item, MAX_DEPTH)) throw new FrameError("bad_frame", `nested deeper than ${MAX_DEPTH}`);
  return item;
}

export function encodeItem(item: unknown): Uint8Array {
  return encode(item);
}

function deeper(item: unknown, left: number): boolean {
  if (item === null || typeof item !== "object" || item instanceof Uint8Array) return false;
  if (left === 0) return true;
  for (const value of Object.values(item)) if (deeper(value, left - 1)) return true;
  return false;
}
