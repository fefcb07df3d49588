/**
 * One page as the main thread sees it: the shadow, the worker behind it, and the gestures that the server has not acknowledged. Knows no
 * sockets: `send` hands changes to whoever carries them, `acked` and `entries` come back.
 */
import type { Entry } from "../wire/frames";
import type { Answer, ElementWrite, Request } from "./messages";
import { Shadow } from "./shadow";

/** The worker, or in tests the same code behind a queue. */
export interface Port {
  post(request: Request): void;
  onAnswer(handler: (answer: Answer) => void): void;
}

export interface PageEvents {
  /** Changes to carry to the server; `id` comes back in acked(). */
  send(changes: readonly { id: number; bytes: Uint8Array }[]): void;
  /** The document changed under these elements by something else than commit(). */
  changed(ids: ReadonlySet<string>): void;
  /** The whole document was replaced. */
  loaded(): void;
  /** The document can no longer be used: fetch it and load() it again. */
  broken(): void;
  /** Work that the server refuses as such and that was left out. */
  refused(writes: readonly ElementWrite[], code: string): void;
}

interface Gesture {
  readonly writes: readonly ElementWrite[];
  /** Its changes, by number, as long as they are not acknowledged. undefined: the worker has not committed it yet. */
  changes: Map<number, Uint8Array> | undefined;
  refusals: number;
}

/** One batch of entries per this many ms. */
const BATCH_MS = 16;
/** Refusals that lie in the change itself: sending the same again would be refused again. */
const CONTENT = new Set(["bad_change", "not_canonical", "too_large", "too_many_ops", "grammar"]);

export class Page {
  readonly shadow = new Shadow();
  // Owned by the page's one thread.
  private gestures = new Map<number, Gesture>();
  private gestureOf = new Map<number, number>();
  private nextGesture = 1;
  private nextChange = 1;
  private loadNumber = 0;
  private live = false; // the worker holds the present document
  private redo: Gesture[] | undefined; // to be authored again after the load under way
  private waiting: Uint8Array[] = [];
  private lastBatch = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly asks = new Map<number, (heads: { heads: readonly string[]; changes: number }) => void>();

  constructor(
    private readonly port: Port,
    private readonly events: PageEvents,
  ) {
    port.onAnswer((answer) => this.answered(answer));
  }

  get ready(): boolean {
    return this.live;
  }

  /** Gestures that are not safe at the server yet. */
  get unsaved(): number {
    return this.gestures.size + (this.redo?.length ?? 0);
  }

  unsavedWrites(): ElementWrite[] {
    return [...(this.redo ?? []), ...this.gestures.values()].flatMap((g) => g.writes);
  }

  /** Authors one gesture. Before the document is there, it waits for it. */
  commit(writes: readonly ElementWrite[]): void {
    if (writes.length === 0) return;
    this.shadow.write(writes);
    this.author({ writes, changes: undefined, refusals: 0 });
  }

  entries(entries: readonly Entry[]): void {
    for (const e of entries) if (e.kind === 1) this.waiting.push(e.bytes);
    if (!this.live || this.timer !== undefined || this.waiting.length === 0) return;
    const wait = this.lastBatch + BATCH_MS - performance.now();
    this.timer = setTimeout(() => this.applyWaiting(), Math.max(0, wait));
  }

  acked(change: number): void {
    const number = this.gestureOf.get(change);
    this.gestureOf.delete(change);
    const gesture = number === undefined ? undefined : this.gestures.get(number);
    gesture?.changes?.delete(change);
    if (number !== undefined && gesture?.changes?.size === 0) this.gestures.delete(number);
  }

  setActor(actor: Uint8Array): void {
    if (this.live) this.port.post({ type: "actor", actor });
  }

  /** The document is being fetched: entries wait until load(). */
  suspend(): void {
    this.live = false;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.loadNumber++;
  }

  /**
   * Takes a fetched document. Unacknowledged changes are kept as they are; `offer` names actors (hex) whose changes of the old document
   * are handed to the server again where the new one lacks them. After refuse(), gestures are authored anew instead.
   */
  load(bytes: Uint8Array | undefined, actor: Uint8Array, offer?: readonly string[]): void {
    this.suspend();
    const own = [...this.gestures.values()].flatMap((g) => [...(g.changes?.values() ?? [])]);
    this.port.post({ type: "load", load: this.loadNumber, bytes, actor, own: offer ? [] : own, offer });
  }

  /**
   * The server refused a change of ours (docs/protocol.md §4). Automerge cannot take it back: the document is dropped, and after the next
   * load() the gestures that were on their way are authored again, except one that can only be refused again. Returns false when `mayWrite` is.
   */
  refuse(hash: Uint8Array, code: string): void {
    this.suspend();
    const all = [...(this.redo ?? []), ...this.gestures.values()];
    const culprit = all.find((g) => g.changes && [...g.changes.values()].some((c) => startsWith(hash, c.subarray(4, 8))));
    const hopeless = culprit !== undefined && (CONTENT.has(code) || ++culprit.refusals > 1);
    this.redo = all.filter((g) => !(hopeless && g === culprit));
    this.gestures.clear();
    this.gestureOf.clear();
    if (hopeless) this.events.refused(culprit.writes, code);
  }

  /** Gives up what is not saved, for example because the person may no longer write; returns it. */
  abandon(): ElementWrite[] {
    const writes = this.unsavedWrites();
    this.gestures.clear();
    this.gestureOf.clear();
    this.redo = undefined;
    return writes;
  }

  heads(): Promise<{ heads: readonly string[]; changes: number }> {
    return new Promise((resolve) => {
      const ask = this.nextChange++;
      this.asks.set(ask, resolve);
      this.port.post({ type: "heads", ask });
    });
  }

  private author(gesture: Gesture): void {
    const number = this.nextGesture++;
    gesture.changes = undefined;
    this.gestures.set(number, gesture);
    if (this.live) this.port.post({ type: "commit", gesture: number, writes: gesture.writes });
  }

  private applyWaiting(): void {
    this.timer = undefined;
    this.lastBatch = performance.now();
    const changes = this.waiting;
    this.waiting = [];
    if (changes.length > 0) this.port.post({ type: "apply", changes });
  }

  private answered(answer: Answer): void {
    switch (answer.type) {
      case "ready":
        return;
      case "loaded":
        if (answer.load === this.loadNumber) this.documentLoaded(answer.elements, answer.offered);
        return;
      case "report": {
        const changed = this.shadow.report(answer.elements);
        if (this.live && changed.size > 0) this.events.changed(changed);
        return;
      }
      case "committed":
        return this.committed(answer);
      case "heads":
        this.asks.get(answer.ask)?.(answer);
        this.asks.delete(answer.ask);
        return;
      case "broken":
        console.error("the document engine stopped", answer.during, answer.message);
        return this.events.broken();
    }
  }

  private committed(answer: Extract<Answer, { type: "committed" }>): void {
    const gesture = this.gestures.get(answer.gesture);
    if (!gesture || !this.live) return; // authored before the document was dropped: it is authored again
    const changes = answer.changes.map((bytes) => ({ id: this.nextChange++, bytes }));
    gesture.changes = new Map(changes.map((c) => [c.id, c.bytes]));
    for (const c of changes) this.gestureOf.set(c.id, answer.gesture);
    if (changes.length === 0) this.gestures.delete(answer.gesture);
    const changed = this.shadow.committed(gesture.writes, answer.elements);
    if (changes.length > 0) this.events.send(changes);
    if (changed.size > 0) this.events.changed(changed);
  }

  private documentLoaded(elements: Record<string, ElementWrite["props"]>, offered: readonly Uint8Array[]): void {
    this.live = true;
    this.shadow.load(elements);
    const again = this.redo ?? [...this.gestures.values()].filter((g) => g.changes === undefined);
    this.redo = undefined;
    for (const [number, g] of this.gestures) if (g.changes === undefined) this.gestures.delete(number);
    for (const gesture of again) {
      this.shadow.write(gesture.writes.filter((w) => w.create || this.shadow.get(w.id) !== undefined));
      this.author(gesture);
    }
    if (offered.length > 0) this.offer(offered);
    this.applyWaiting();
    this.events.loaded();
  }

  private offer(changes: readonly Uint8Array[]): void {
    const known = new Map<string, number>();
    for (const g of this.gestures.values()) for (const [id, bytes] of g.changes ?? []) known.set(String(bytes), id);
    this.events.send(changes.map((bytes) => ({ id: known.get(String(bytes)) ?? this.nextChange++, bytes })));
  }
}

function startsWith(a: Uint8Array, start: Uint8Array): boolean {
  return start.length > 0 && start.every((b, i) => a[i] === b);
}
