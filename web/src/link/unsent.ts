/**
 * Work that the server is not known to have. It stands in this browser's store until it is acknowledged, so that it outlives the tab: the next
 * tab of the same person on the same board takes it over. Which tabs live is told by Web Locks: each holds the lock of its actors. Without store
 * or locks everything stays in memory, and `durable` says so.
 */
import { authorOf } from "./chunk";
import type { Outgoing } from "./outbox";
import type { Key, Vault } from "./vault";

/** One gesture's changes. */
export interface Parcel<W> {
  readonly writes: W;
  readonly doc: string;
  readonly epoch: number;
  /** Hex; of its changes. */
  readonly actor: string;
  /** Unix ms. */
  readonly at: number;
  /** Not acknowledged yet, by number. */
  readonly changes: ReadonlyMap<number, Uint8Array>;
}

interface Kept<W> extends Parcel<W> {
  changes: Map<number, Uint8Array>;
  /** Of the page; 0: others' work. */
  gesture: number;
  readonly order: number;
  readonly size: number;
  /** Where it stands in the store now. */
  shelf: Key | undefined;
  gone: boolean;
}

/** Work of tabs that are gone. */
export interface Left<W> {
  /** To be sent as it is. */
  readonly parcels: readonly Parcel<W>[];
  /** Too old for that. */
  readonly old: readonly Parcel<W>[];
}

export interface UnsentOptions<W> {
  readonly open: (lost: () => void) => Promise<Pick<Vault<W>, "write" | "read" | "keys" | "olderThan">>;
  readonly locks: Pick<LockManager, "request"> | undefined;
  /** `durable` or `stored` changed. */
  readonly changed: () => void;
  /** Somebody's left work was found. */
  readonly found: (left: Left<W>) => void;
}

/** Of one tab; beyond that work stays in memory. */
const MAX_ITEMS = 20_000;
const MAX_BYTES = 64 << 20;
const BATCH = 256;
const RETRY_MS = 10_000;
const LOOK_AGAIN_MS = 10_000;
const MAX_AGE_MS = 90 * 24 * 3_600_000;

export class Unsent<W> {
  // Owned by Board.
  private person = "";
  private board = "";
  private vault: Awaited<ReturnType<UnsentOptions<W>["open"]>> | undefined;
  private opening: Promise<void> | undefined;
  private opened = false;
  private readonly own = new Map<number, Kept<W>>(); // by gesture
  private readonly others = new Set<Kept<W>>(); // of tabs that are gone, or given up here
  private readonly byChange = new Map<number, Kept<W>>();
  private readonly locked = new Set<string>(); // actors whose lock this tab holds
  private readonly waiting = new Set<Kept<W>>(); // to be written
  private removals: Key[] = [];
  private writing = false;
  private failed = false;
  private items = 0; // in the store
  private bytes = 0;
  private nextOrder = 1;
  private nextChange = -1; // changes of others have negative numbers: the page counts its own from 1
  private skew = 0; // of the server's clock against ours, ms
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: UnsentOptions<W>) {}

  /** Whether work is kept on this device. True until it is known. */
  get durable(): boolean {
    return (!this.opened || (this.vault !== undefined && !this.failed)) && this.options.locks !== undefined;
  }

  /** Own gestures that stand in the store. */
  get stored(): number {
    let n = 0;
    for (const p of this.own.values()) if (p.shelf) n++;
    return n;
  }

  /** The parcel that a change is in. */
  holder(change: number): Parcel<W> | undefined {
    return this.byChange.get(change);
  }

  /** This tab authors under that actor from now on. */
  hold(actor: string): void {
    if (actor !== "") void this.lock(actor, false).then(() => this.flush());
  }

  /** Who this is was verified. Opens the store the first time, and looks for what dead tabs left behind every time. `skew`: how much the server's clock is ahead of ours. */
  async identified(person: string, board: string, skew: number): Promise<void> {
    [this.person, this.board, this.skew] = [person, board, skew];
    if (this.options.locks) await (this.opening ??= this.openStore());
    await this.look();
    this.flush();
  }

  private async openStore(): Promise<void> {
    try {
      this.vault = await this.options.open(() => this.lost());
    } catch (err) {
      console.warn("unsent work is kept in this tab only", err);
    }
    this.opened = true;
    this.options.changed();
  }

  /** A gesture's changes set out; authored again, they replace what they were before. */
  keep(gesture: number, writes: W, doc: string, epoch: number, changes: readonly { readonly id: number; readonly bytes: Uint8Array }[]): void {
    if (changes.length === 0) return this.drop(gesture);
    const before = this.own.get(gesture);
    const parcel: Kept<W> = {
      writes, doc, epoch, gesture, actor: authorOf(changes[0]!.bytes), at: Date.now(), order: this.nextOrder++, size: sizeOf(changes.map((c) => c.bytes)),
      changes: new Map(changes.map((c) => [c.id, c.bytes])), shelf: before?.shelf, gone: false,
    };
    if (before) {
      this.forget(before);
      before.shelf = undefined;
    }
    this.own.set(gesture, parcel);
    for (const { id } of changes) this.byChange.set(id, parcel);
    this.waiting.add(parcel);
    this.flush();
  }

  /** A change is at the server. */
  acked(change: number): void {
    const parcel = this.byChange.get(change);
    if (!parcel) return;
    this.byChange.delete(change);
    parcel.changes.delete(change);
    if (parcel.changes.size > 0) return;
    this.own.delete(parcel.gesture);
    this.discard([parcel]);
  }

  /** A gesture that came to nothing. */
  drop(gesture: number): void {
    const parcel = this.own.get(gesture);
    this.own.delete(gesture);
    if (parcel) this.discard([parcel]);
  }

  /** Own gestures (all, or this one) that the page gave up. They stay stored until somebody discards or sends them. */
  giveUp(gesture?: number): Parcel<W>[] {
    const given = [...this.own].filter(([g]) => gesture === undefined || g === gesture);
    for (const [g, parcel] of given) {
      this.own.delete(g);
      parcel.gesture = 0;
      this.others.add(parcel);
    }
    return given.map(([, parcel]) => parcel);
  }

  /** The page authors left work anew: from now on it is that gesture's. */
  reauthored(parcel: Parcel<W>, gesture: number): void {
    const kept = parcel as Kept<W>;
    if (gesture === 0) return this.discard([kept]);
    this.others.delete(kept);
    kept.gesture = gesture;
    this.own.set(gesture, kept);
  }

  /** Left work in the form that the link sends. Given up here before, it gets numbers of its own. */
  outgoing(parcels: readonly Parcel<W>[]): Outgoing[] {
    return (parcels as readonly Kept<W>[]).flatMap((p) => {
      const chunks = [...p.changes.values()];
      for (const id of p.changes.keys()) this.byChange.delete(id);
      p.changes = new Map(chunks.map((bytes) => [this.nextChange--, bytes]));
      for (const id of p.changes.keys()) this.byChange.set(id, p);
      return [...p.changes].map(([id, bytes]) => ({ id, doc: p.doc, epoch: p.epoch, bytes, adopted: true as const }));
    });
  }

  /** Nobody needs these any more. */
  discard(parcels: readonly Parcel<W>[]): void {
    for (const parcel of parcels as readonly Kept<W>[]) {
      this.others.delete(parcel);
      this.forget(parcel);
      if (parcel.shelf) this.remove(parcel.shelf, parcel);
      parcel.shelf = undefined;
    }
    this.flush();
  }

  private forget(parcel: Kept<W>): void {
    parcel.gone = true;
    this.waiting.delete(parcel);
    for (const id of parcel.changes.keys()) this.byChange.delete(id);
  }

  // ---- other tabs ----

  /** Holds an actor's lock for the life of this page, or, `free`, only if nobody else holds it. */
  private lock(actor: string, free: boolean): Promise<boolean> {
    if (this.locked.has(actor)) return Promise.resolve(true);
    const { locks } = this.options;
    if (!locks) return Promise.resolve(false);
    return new Promise((resolve) => {
      const held = (lock: Lock | null) => {
        if (lock) this.locked.add(actor);
        resolve(lock !== null);
        return lock ? new Promise<void>(() => undefined) : undefined;
      };
      locks.request(`lectern ${actor}`, { ifAvailable: free }, held).catch(() => resolve(false));
    });
  }

  private async look(): Promise<void> {
    clearTimeout(this.timer);
    try {
      if (this.vault) await this.search(this.vault);
    } catch (err) {
      console.warn("the store of unsent work cannot be read", err);
    }
  }

  private async search(vault: NonNullable<typeof this.vault>): Promise<void> {
    const oldest = Date.now() + this.skew - MAX_AGE_MS;
    const foreign = (await vault.olderThan(oldest)).filter(([person, board]) => person !== this.person || board !== this.board);
    if (foreign.length > 0) {
      console.warn(`${foreign.length} pieces of unsent work on other boards are older than 90 days and were removed`);
      this.removals.push(...foreign);
    }
    const actors = new Set((await vault.keys(this.person, this.board)).map(([, , actor]) => actor));
    const found: Kept<W>[] = [];
    let living = false;
    for (const actor of actors) {
      if (this.locked.has(actor)) continue; // our own
      if (!(await this.lock(actor, true))) {
        living = true;
        continue;
      }
      for (const [key, row] of await vault.read(this.person, this.board, actor)) {
        const size = sizeOf(row.chunks);
        found.push({ ...row, actor, gesture: 0, order: key[3], size, changes: new Map(row.chunks.map((bytes) => [this.nextChange--, bytes])), shelf: key, gone: false });
        this.count(size, 1);
      }
    }
    // A tab that was closed a moment ago may hold its lock still.
    if (living) this.timer = setTimeout(() => void this.look(), LOOK_AGAIN_MS);
    if (found.length === 0) return;
    for (const parcel of found) this.others.add(parcel);
    const left = { parcels: found.filter((p) => p.at > oldest), old: found.filter((p) => p.at <= oldest) };
    this.options.found(left);
  }

  // ---- the store ----

  private lost(): void {
    this.vault = undefined;
    for (const parcel of [...this.own.values(), ...this.others]) {
      if (parcel.shelf) this.waiting.add(parcel);
      parcel.shelf = undefined;
    }
    this.options.changed();
  }

  private count(size: number, sign: 1 | -1): void {
    this.items += sign;
    this.bytes += sign * size;
  }

  private remove(key: Key, parcel: Kept<W>): void {
    this.removals.push(key);
    this.count(parcel.size, -1);
  }

  /** One transaction at a time; what comes meanwhile goes into the next together. */
  private flush(): void {
    const { vault } = this;
    if (!vault || this.writing) return;
    const batch: Kept<W>[] = [];
    for (const parcel of this.waiting) {
      if (batch.length >= BATCH || this.items + batch.length >= MAX_ITEMS || this.bytes >= MAX_BYTES) break;
      if (this.locked.has(parcel.actor)) batch.push(parcel); // otherwise another tab could take it for a dead one's
    }
    const removals = this.removals.splice(0, BATCH);
    if (batch.length + removals.length === 0) return;
    this.writing = true;
    const put = batch.map((p) => [[this.person, this.board, p.actor, p.order], { doc: p.doc, epoch: p.epoch, chunks: [...p.changes.values()], writes: p.writes, at: p.at }] as const);
    const moved = batch.flatMap((p) => (p.shelf ? [p.shelf] : []));
    for (const parcel of batch) this.waiting.delete(parcel);
    vault.write(put, [...removals, ...moved]).then(
      () => {
        this.written(batch, put.map(([key]) => key));
        this.flush();
      },
      (err: unknown) => {
        this.writing = false;
        if (!this.failed) console.warn("unsent work cannot be stored", err);
        this.failed = true;
        this.removals.push(...removals);
        for (const parcel of batch) if (!parcel.gone) this.waiting.add(parcel);
        this.options.changed();
        setTimeout(() => this.flush(), RETRY_MS);
      },
    );
  }

  private written(batch: readonly Kept<W>[], keys: readonly Key[]): void {
    this.writing = this.failed = false;
    batch.forEach((parcel, i) => {
      if (!parcel.shelf) this.count(parcel.size, 1);
      if (parcel.gone) this.remove(keys[i]!, parcel);
      else parcel.shelf = keys[i]!;
    });
    this.options.changed();
  }
}

/** About: what a gesture wrote is as long as its changes. */
const sizeOf = (chunks: readonly Uint8Array[]) => chunks.reduce((sum, chunk) => sum + 2 * chunk.length, 200);
