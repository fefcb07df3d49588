import type { ClientFrame, Entry } from "../wire/frames";

/** A change on its way: sent, and sent again, until its echo comes back. */
export interface Outgoing {
  /** The author's own number for it, handed back on acknowledgement. */
  readonly id: number;
  readonly doc: string;
  readonly epoch: number;
  readonly bytes: Uint8Array;
}

const MAX_CHUNKS = 64;
const MAX_BYTES = 60_000; // of chunks; the rest of a frame is for the envelope

/** Unacknowledged changes in the author's order, in memory. */
export class Outbox {
  // Owned by Link. items[0..sent) are on their way on the present connection and lane.
  private items: Outgoing[] = [];
  private sent = 0;

  get size(): number {
    return this.items.length;
  }

  push(changes: readonly Outgoing[]): void {
    this.items.push(...changes);
  }

  /** The connection or lane changed: everything is to be sent again. The server knows repeated changes by their hash. */
  rewind(): void {
    this.sent = 0;
  }

  clear(doc?: string): void {
    this.items = doc === undefined ? [] : this.items.filter((i) => i.doc !== doc);
    this.sent = 0;
  }

  /** Frames of what has not been sent yet; counts it as sent. */
  frames(): { frame: Extract<ClientFrame, { type: "change" }>; changes: number }[] {
    const frames = [];
    while (this.sent < this.items.length) {
      const first = this.items[this.sent]!;
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      for (let i = this.sent; i < this.items.length && chunks.length < MAX_CHUNKS; i++) {
        const item = this.items[i]!;
        if (item.doc !== first.doc || item.epoch !== first.epoch || (chunks.length > 0 && bytes + item.bytes.length > MAX_BYTES)) break;
        chunks.push(item.bytes);
        bytes += item.bytes.length;
      }
      this.sent += chunks.length;
      frames.push({ frame: { type: "change" as const, doc: first.doc, epoch: first.epoch, chunks }, changes: chunks.length });
    }
    return frames;
  }

  /** The item that an entry of the log acknowledges, taken out; undefined if it is not ours or no longer waited for. */
  ack(entry: Entry): Outgoing | undefined {
    const at = this.items.findIndex((i) => i.doc === entry.doc && equal(i.bytes, entry.bytes));
    if (at < 0) return undefined;
    const [item] = this.items.splice(at, 1);
    if (at < this.sent) this.sent--;
    return item;
  }
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
