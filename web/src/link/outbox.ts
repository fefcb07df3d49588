import { kinds, type ClientFrame, type Entry } from "../wire/frames";
import { equal, hasHash } from "./chunk";

/** A change on its way: sent, and sent again, until the server has acknowledged it. */
export interface Outgoing {
  /** The author's own number for it, handed back on acknowledgement. */
  readonly id: number;
  readonly doc: string;
  /** The one it was made for: it is sent for that for ever (docs/protocol.md §2.2). */
  readonly epoch: number;
  readonly bytes: Uint8Array;
  /** Left behind by a tab that is gone: no document here holds it. */
  readonly adopted?: true;
}

const MAX_CHUNKS = 64;
/** Sent and not acknowledged: beyond it the server reads slower, and pings and pongs would wait behind. */
const IN_FLIGHT = 512 << 10;
const MAX_BYTES = 60_000; // of chunks; the rest of a frame is for the envelope

/** Unacknowledged changes in the author's order, in memory. */
export class Outbox {
  // Owned by Link. items[0..sent) are on their way on the present connection and lane.
  private items: Outgoing[] = [];
  private sent = 0;
  private inFlight = 0; // bytes of those

  get size(): number {
    return this.items.length;
  }

  push(changes: readonly Outgoing[]): void {
    this.items.push(...changes);
  }

  /** The connection or lane changed: everything is to be sent again. The server knows repeated changes by their hash. */
  rewind(): void {
    this.sent = this.inFlight = 0;
  }

  /** Takes out, unacknowledged, what `gone` says, and answers it. */
  remove(gone: (item: Outgoing) => boolean): Outgoing[] {
    const kept: Outgoing[] = [];
    const removed: Outgoing[] = [];
    for (const item of this.items) (gone(item) ? removed : kept).push(item);
    this.items = kept;
    this.rewind();
    return removed;
  }

  /** Frames of what has not been sent yet, as much as may be on its way; counts it as sent. */
  frames(): { frame: Extract<ClientFrame, { type: "change" }>; changes: number }[] {
    const frames = [];
    while (this.sent < this.items.length && this.inFlight < IN_FLIGHT) {
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
      this.inFlight += bytes;
      frames.push({ frame: { type: "change" as const, doc: first.doc, epoch: first.epoch, chunks }, changes: chunks.length });
    }
    return frames;
  }

  /** The item that an entry of the log acknowledges, taken out; undefined if it is not ours or no longer waited for. */
  ack(entry: Entry): Outgoing | undefined {
    if (entry.kind !== kinds.change && entry.kind !== kinds.late) return undefined;
    return this.take((i) => i.doc === entry.doc && i.epoch === entry.epoch && equal(i.bytes, entry.bytes));
  }

  /** The items that the server has by their hashes, taken out. */
  known(doc: string, epoch: number, hashes: readonly Uint8Array[]): Outgoing[] {
    return hashes.flatMap((hash) => this.take((i) => i.doc === doc && i.epoch === epoch && hasHash(i.bytes, hash)) ?? []);
  }

  private take(wanted: (item: Outgoing) => boolean): Outgoing | undefined {
    const at = this.items.findIndex(wanted);
    if (at < 0) return undefined;
    const [item] = this.items.splice(at, 1);
    if (at < this.sent) {
      this.sent--;
      this.inFlight -= item!.bytes.length;
    }
    return item;
  }
}
