/** Entries that wait for the document they belong to: it is being fetched, or they are of an epoch that this page has yet to move to. */
import { kinds, type Entry } from "../wire/frames";

const MAX_ENTRIES = 4_096;
const MAX_BYTES = 8 << 20;

export class Backlog {
  // Owned by Page.
  private list: Entry[] = [];
  private bytes = 0;
  private next = 1;
  /** Everything of the log from this number on, as far as it has come, is here or was applied. Before it, entries may be missing. */
  from = 1;

  /** Takes note of where the log is. A place that does not follow the last one begins anew: the log is sent again from there. */
  follow(from: number, count: number): void {
    if (from !== this.next) this.clear(from);
    this.next = from + count;
  }

  /** Keeps an entry. Over the bound everything is forgotten, and the log has to be asked for it again. */
  keep(entry: Entry): void {
    this.list.push(entry);
    this.bytes += entry.bytes.length;
    if (this.list.length > MAX_ENTRIES || this.bytes > MAX_BYTES) this.clear(this.next);
  }

  /** The changes for a document of this epoch, in order. Those of earlier epochs are forgotten, of later ones kept. */
  take(epoch: number): Uint8Array[] {
    const mine = this.list.filter((e) => e.epoch === epoch).map((e) => e.bytes);
    this.list = this.list.filter((e) => e.epoch > epoch);
    this.bytes = this.list.reduce((sum, e) => sum + e.bytes.length, 0);
    return mine;
  }

  /** What was kept belongs to another document. */
  reset(): void {
    this.clear(this.next);
  }

  private clear(from: number): void {
    this.list = [];
    this.bytes = 0;
    this.from = from;
  }
}

/** Whether an entry is a change to the document of its epoch. */
export const isChange = ({ kind }: Entry) => kind === kinds.change || kind === kinds.carry || kind === kinds.late;
