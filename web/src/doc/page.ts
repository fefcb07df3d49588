/**
 * One page as the main thread sees it: the shadow, the worker behind it, and the gestures that the server has not acknowledged. Knows no
 * sockets: `send` hands changes to whoever carries them, `acked` and `entries` come back.
 */
import type { Entry } from "../wire/frames";
import { Backlog, isChange } from "./backlog";
import type { Answer, ElementWrite, Request } from "./messages";
import { Shadow } from "./shadow";

/** The worker, or in tests the same code behind a queue. */
export interface Port {
  post(request: Request): void;
  onAnswer(handler: (answer: Answer) => void): void;
}

/** One gesture's changes, on their way to the server. */
export interface Authored {
  /** The same for a gesture that is authored again. 0: changes of long ago that a restored board lacks. */
  readonly gesture: number;
  readonly epoch: number;
  readonly writes: readonly ElementWrite[];
  /** `id` comes back in acked(). */
  readonly changes: readonly { readonly id: number; readonly bytes: Uint8Array }[];
}

export interface PageEvents {
  /** Changes to carry to the server. */
  send(authored: Authored): void;
  /** The document changed under these elements by something else than commit(). */
  changed(ids: ReadonlySet<string>): void;
  /** The whole document was replaced. */
  loaded(): void;
  /** The document can no longer be used: fetch it and load() it again. */
  broken(): void;
  /** Work that the server refuses as such and that was left out. */
  refused(gesture: number, writes: readonly ElementWrite[], code: string): void;
  /** A change of ours is in the restored document already. */
  have(change: number): void;
  /** While gestures wait (hold()): nothing of this epoch is on its way any more. */
  quiet(): void;
}

interface Gesture {
  readonly id: number;
  writes: readonly ElementWrite[];
  /** The worker has been asked to commit it. */
  asked: boolean;
  /** Its changes, by number, as long as they are not acknowledged. undefined: the worker has not committed it yet. */
  changes: Map<number, Uint8Array> | undefined;
  /** The one its changes were made for. */
  epoch: number;
  refusals: number;
}

/** A document as it was fetched. */
export interface Loaded {
  /** undefined: the genesis. */
  readonly bytes: Uint8Array | undefined;
  readonly epoch: number;
}

/** One batch of entries per this many ms. */
const BATCH_MS = 16;
const CONTENT = new Set(["bad_change", "not_canonical", "too_large", "too_many_ops", "grammar", "erase_guard"]);

export class Page {
  readonly shadow = new Shadow();
  // Owned by the page's one thread.
  private gestures = new Map<number, Gesture>(); // by the number of their latest commit
  private gestureOf = new Map<number, number>();
  private nextGesture = 1;
  private nextCommit = 1;
  private nextChange = 1;
  private loadNumber = 0;
  private held = 0; // epoch
  private live = false; // the worker holds the present document
  private offering = false; // the load under way is of a restored document
  private holding = false; // gestures wait for the document of the next epoch
  private behind = false; // entries that had been seen before are missing: the actor's own last changes may be among them
  private complete = false; // they are in
  private redo: Gesture[] = []; // to be authored again after the load under way
  private waiting: Uint8Array[] = [];
  private readonly backlog = new Backlog();
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
    return this.live && this.complete;
  }

  /** The epoch that the document is of. */
  get epoch(): number {
    return this.held;
  }

  /** From this number of the log on nothing is missing that a later epoch's document needs. */
  get keptFrom(): number {
    return this.backlog.from;
  }

  /** Gestures that are not safe at the server yet. */
  get unsaved(): number {
    return this.gestures.size + this.redo.length;
  }

  unsavedWrites(): ElementWrite[] {
    return [...this.redo, ...this.gestures.values()].flatMap((g) => g.writes);
  }

  /** Authors one gesture. Before the document is there, it waits for it. Answers its number. */
  commit(writes: readonly ElementWrite[]): number {
    if (writes.length === 0) return 0;
    this.shadow.write(writes);
    const gesture = { id: this.nextGesture++, writes, asked: false, changes: undefined, epoch: 0, refusals: 0 };
    this.author(gesture);
    return gesture.id;
  }

  /** Authors what somebody made elsewhere and that could not be taken as it was: shows it, too. */
  again(writes: readonly ElementWrite[]): number {
    const known = writes.filter((w) => w.create || this.shadow.get(w.id) !== undefined);
    const gesture = this.commit(known);
    if (this.live) this.events.changed(new Set(known.map((w) => w.id)));
    return gesture;
  }

  /** Committed entries of this page in the log's order, out of `count` entries of the log that begin with number `from`. */
  entries(entries: readonly Entry[], from: number, count = entries.length): void {
    this.backlog.follow(from, count);
    for (const e of entries) {
      if (!isChange(e)) continue;
      if (this.live && e.epoch === this.held) this.waiting.push(e.bytes);
      else if (!this.live || e.epoch > this.held) this.backlog.keep(e);
    }
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
    this.checkQuiet();
  }

  setActor(actor: Uint8Array): void {
    if (this.live) this.port.post({ type: "actor", actor });
  }

  /** From now on gestures wait, shown by the shadow, for the document of the next epoch; quiet() comes when nothing of this one is on its way. */
  hold(): void {
    this.holding = true;
    this.checkQuiet();
  }

  /** It does not come, for now: what waits is authored in this epoch. */
  release(): void {
    if (!this.holding) return;
    this.holding = false;
    for (const [number, gesture] of this.gestures) this.ask(number, gesture);
  }

  /** Another document takes this one's place: nothing of it is kept. Nothing must be on its way. */
  turn(): void {
    this.suspend();
    this.holding = false;
    this.held = 0;
    this.backlog.reset();
    this.shadow.load({});
  }

  /** The document was fetched as of an earlier place in the log than has been seen: it is ready after caughtUp(). */
  fallBehind(): void {
    this.behind = true;
  }

  /** Every entry that had been seen before is here again. */
  caughtUp(): void {
    if (!this.behind) return;
    this.behind = false;
    if (this.live) this.arrive();
  }

  /** The document is ready once the worker has taken in what waits. */
  private arrive(): void {
    const load = this.loadNumber;
    const ready = () => {
      if (!this.live || load !== this.loadNumber) return;
      this.complete = true;
      for (const [number, gesture] of this.gestures) this.ask(number, gesture);
      this.events.loaded();
    };
    if (this.waiting.length === 0) return ready();
    this.applyWaiting();
    void this.heads().then(ready); // answered in turn
  }

  /** The document is being fetched: entries wait until load(). */
  suspend(): void {
    this.live = this.complete = this.behind = false;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.waiting = []; // whoever fetches asks the log from there on
    this.loadNumber++;
  }

  /**
   * Takes a fetched document. Unacknowledged changes of its epoch are kept as they are. After a restore, `offer` names actors (hex) whose changes
   * of the old document are handed to the server again where the new one lacks them; of another epoch they would fit nowhere, and gestures are
   * authored anew, as after refuse().
   */
  load({ bytes, epoch }: Loaded, actor: Uint8Array, offer?: readonly string[]): void {
    this.suspend();
    if (offer && epoch !== this.held) {
      this.redo.push(...this.gestures.values());
      this.gestures.clear();
      this.gestureOf.clear();
      offer = undefined;
    }
    this.held = epoch;
    this.offering = offer !== undefined;
    const own = [...this.gestures.values()].filter((g) => g.epoch === epoch).flatMap((g) => [...(g.changes?.values() ?? [])]);
    const changes = [...this.backlog.take(epoch), ...(offer ? [] : own)];
    this.port.post({ type: "load", load: this.loadNumber, bytes, actor, changes, offer });
  }

  /**
   * The server refused a change (docs/protocol.md §4). Automerge cannot take it back: the document is dropped, and after the next load() the
   * gestures that were on their way are authored again, except one that can only be refused again.
   */
  refuse(isRefused: (chunk: Uint8Array) => boolean, code: string): void {
    this.suspend();
    const all = [...this.redo, ...this.gestures.values()];
    const culprit = all.find((g) => g.changes && [...g.changes.values()].some(isRefused));
    const hopeless = culprit !== undefined && (isHopeless(code) || ++culprit.refusals > 1);
    this.redo = all.filter((g) => !(hopeless && g === culprit));
    this.gestures.clear();
    this.gestureOf.clear();
    if (hopeless) this.events.refused(culprit.id, culprit.writes, code);
  }

  /** Gives up what is not saved, for example because the person may no longer write; returns it. */
  abandon(): ElementWrite[] {
    const writes = this.unsavedWrites();
    this.gestures.clear();
    this.gestureOf.clear();
    this.redo = [];
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
    const number = this.nextCommit++;
    gesture.changes = undefined;
    gesture.asked = false;
    this.gestures.set(number, gesture);
    this.ask(number, gesture);
  }

  private ask(number: number, gesture: Gesture): void {
    if (!this.ready || this.holding || gesture.asked) return;
    gesture.asked = true;
    this.port.post({ type: "commit", gesture: number, writes: gesture.writes });
  }

  private checkQuiet(): void {
    if (!this.ready || !this.holding) return;
    for (const gesture of this.gestures.values()) if (gesture.asked) return;
    this.events.quiet();
  }

  private applyWaiting(): void {
    clearTimeout(this.timer);
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
        if (this.ready && changed.size > 0) this.events.changed(changed);
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
    gesture.epoch = this.held;
    for (const c of changes) this.gestureOf.set(c.id, answer.gesture);
    if (changes.length === 0) this.gestures.delete(answer.gesture);
    const changed = this.shadow.committed(gesture.writes, answer.elements);
    this.events.send({ gesture: gesture.id, epoch: this.held, writes: gesture.writes, changes });
    if (changed.size > 0) this.events.changed(changed);
    this.checkQuiet();
  }

  private documentLoaded(elements: Record<string, ElementWrite["props"]>, offered: readonly Uint8Array[]): void {
    const again = [...this.redo];
    for (const [number, g] of this.gestures) {
      if (g.changes !== undefined) continue;
      this.gestures.delete(number);
      again.push(g);
    }
    for (const g of again) g.writes = g.writes.map((w) => this.revived(w, elements));
    this.live = true;
    this.holding = false;
    this.redo = [];
    this.shadow.load(elements);
    for (const gesture of again) {
      this.shadow.write(gesture.writes.filter((w) => w.create || this.shadow.get(w.id) !== undefined));
      this.author(gesture);
    }
    if (this.offering) this.offer(offered);
    this.waiting = this.backlog.take(this.held); // what came while the worker loaded
    if (!this.behind) this.arrive();
    else this.applyWaiting();
  }

  /** Taking back the erasing of an element that the new document does not even remember means to make it again. */
  private revived(write: ElementWrite, elements: Record<string, ElementWrite["props"]>): ElementWrite {
    const old = this.shadow.get(write.id);
    if (elements[write.id] || write.create || write.props.isDeleted !== false || !old) return write;
    return { id: write.id, create: true, props: { ...old, ...write.props } };
  }

  private offer(changes: readonly Uint8Array[]): void {
    const known = new Map<string, number>();
    for (const g of this.gestures.values()) for (const [id, bytes] of g.changes ?? []) known.set(String(bytes), id);
    const numbered = changes.map((bytes) => ({ id: known.get(String(bytes)) ?? this.nextChange++, bytes }));
    if (numbered.length > 0) this.events.send({ gesture: 0, epoch: this.held, writes: [], changes: numbered });
    const lacking = new Set(numbered.map((c) => c.id));
    for (const id of known.values()) if (!lacking.has(id)) this.events.have(id);
  }
}

/** Whether a refusal lies in the change itself: sending the same again would be refused again. */
export const isHopeless = (code: string) => CONTENT.has(code);
