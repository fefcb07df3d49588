/**
 * Which document, of which epoch, the page holds, and how it comes there: the first one, a new one after a refusal or restore, and the next
 * epoch's (docs/protocol.md §2.2 "Moving to a new epoch"), of which nobody should see anything.
 */
import type { Loaded, Page } from "../doc/page";
import { Refused, type Fetched, type Session } from "../link/session";
import { kinds, type Entry, type Welcome } from "../wire/frames";

export interface DocumentsOptions {
  readonly page: Pick<Page, "ready" | "epoch" | "keptFrom" | "suspend" | "load" | "fallBehind" | "caughtUp" | "hold" | "release" | "setActor" | "entries">;
  readonly session: Pick<Session, "document">;
  /** The log is sent again from there (Link.rewind). */
  rewind(seq: number): void;
  /** Everything up to this number has arrived. */
  have(): number;
  /** The actor to author under now. */
  actor(): Uint8Array;
  /** All that were ours (hex). */
  actors(): string[];
  /** Not worth fetching any more. */
  closed(): boolean;
  /** The document is missing and cannot be fetched at the moment. */
  problem(): void;
  readonly random?: () => number;
}

const RETRY_MS = 2_000;
/** Everybody on a board hears of a new epoch at the same moment. */
const SPREAD_MS = 2_000;
/** What carries a late change into the new epoch may arrive a moment after its acknowledgement. */
const SETTLE_MS = 100;

export class Documents {
  doc = "";
  // Owned by Board.
  private board = "";
  private connected = false;
  private latest = 0; // newest epoch heard of
  private until = 0; // last number of the log when we were welcomed
  private seen = 0; // the document lacks entries up to this one that were there before
  private attempt = 0; // the fetch under way; a newer one replaces it
  private next: Fetched | undefined; // fetched, and waits for the page to be quiet
  private late = 0; // when a change for an epoch that is over was last acknowledged
  private timer: ReturnType<typeof setTimeout> | undefined; // of the move to the next epoch

  constructor(private readonly options: DocumentsOptions) {}

  welcomed(w: Welcome, foreign: boolean, doc: string): void {
    const { page } = this.options;
    const ref = w.docs.find((d) => d.doc === doc) ?? { doc, epoch: 0, seq: w.seq }; // a page that was added since
    const same = page.ready && !foreign && ref.doc === this.doc;
    [this.board, this.doc, this.until, this.connected, this.latest] = [w.board, ref.doc, w.seq, true, ref.epoch];
    if (same && (ref.epoch > page.epoch || (w.resume && ref.epoch === page.epoch))) {
      // Also where the log goes on elsewhere: what was made for the old epoch is acknowledged first, and the old drawing stays until then.
      page.setActor(w.actor);
      return this.due();
    }
    if (ref.seq > 0) return void this.refetch(foreign);
    page.suspend();
    this.cancel();
    this.load({ bytes: undefined, epoch: ref.epoch }, w.seq, foreign);
  }

  /** Another page is open. */
  turned(doc: string): void {
    [this.doc, this.latest] = [doc, 0];
    void this.refetch();
  }

  /** The connection broke: the page goes on in the epoch it holds. */
  disconnected(): void {
    this.connected = false;
    if (this.options.page.ready) this.cancel();
  }

  /** Entries of the log; the first has number `from`. */
  entries(entries: readonly Entry[], from: number): void {
    this.options.page.entries(entries.filter((e) => e.doc === this.doc), from, entries.length);
    if (this.options.have() >= this.seen) this.options.page.caughtUp();
    for (const e of entries) if (e.kind === kinds.epoch && e.doc === this.doc && e.epoch > this.latest) this.latest = e.epoch;
    this.due();
  }

  /** A change of ours is safe. */
  acked(epoch: number): void {
    if (epoch < this.latest) this.late = Date.now();
  }

  /** Downloads the document until that works, because the present one cannot be used any more. */
  async refetch(foreign = false): Promise<void> {
    this.options.page.suspend();
    this.cancel();
    const fetched = await this.fetch(() => this.options.problem());
    if (!fetched) return;
    const seen = Math.max(this.until, this.options.have());
    this.options.rewind(fetched.seq); // older than what has been applied: the entries in between come again
    this.load(fetched, seen, foreign);
  }

  private load(document: Loaded, seen: number, foreign: boolean): void {
    const { page, actor, actors, have } = this.options;
    page.load(document, actor(), foreign ? actors() : undefined);
    this.seen = seen;
    if (have() < seen) page.fallBehind();
  }

  /** After load(): entries that came meanwhile may have told of a newer epoch. */
  loaded(): void {
    this.due();
  }

  /** The page's gestures wait and nothing else is on its way: takes the next epoch's document. */
  quiet(): void {
    const { next, options } = this;
    const { page } = options;
    if (!next) return;
    clearTimeout(this.timer);
    if (Date.now() - this.late < SETTLE_MS || options.have() < this.until) {
      this.timer = setTimeout(() => page.hold(), SETTLE_MS); // asks again
      return;
    }
    this.forget();
    this.latest = Math.max(this.latest, next.epoch);
    if (next.seq + 1 < page.keptFrom) options.rewind(next.seq);
    page.load(next, options.actor());
  }

  // ---- the move to the next epoch ----

  private get behind(): boolean {
    return this.connected && this.options.page.ready && this.latest > this.options.page.epoch;
  }

  private due(): void {
    if (!this.behind || this.timer !== undefined || this.next) return;
    this.timer = setTimeout(() => void this.move(), (this.options.random ?? Math.random)() * SPREAD_MS);
  }

  private async move(): Promise<void> {
    const fetched = await this.fetch(() => undefined);
    if (!fetched || !this.behind) return;
    if (fetched.epoch <= this.options.page.epoch) {
      this.timer = setTimeout(() => void this.move(), RETRY_MS); // an older answer than what the log has told
      return;
    }
    this.next = fetched;
    this.options.page.hold();
  }

  private cancel(): void {
    this.forget();
    this.options.page.release();
  }

  private forget(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.next = undefined;
    this.attempt++;
  }

  private async fetch(problem: () => void): Promise<Fetched | undefined> {
    const mine = ++this.attempt;
    while (mine === this.attempt && !this.options.closed()) {
      try {
        const fetched = await this.options.session.document(this.board, this.doc);
        return mine === this.attempt ? fetched : undefined;
      } catch (err) {
        if (mine !== this.attempt) return undefined;
        console.warn("the document could not be fetched", err instanceof Refused ? err.code : err);
        problem();
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    return undefined;
  }
}
