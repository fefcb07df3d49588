/**
 * What the server does not have yet, of this page and of tabs that are gone: sent, authored anew after a refusal, or offered as a file where
 * the server cannot take it (docs/protocol.md §4). It ties together Page, which authors, Link, which sends, and Unsent, which keeps.
 */
import type { ElementWrite } from "../doc/messages";
import { isHopeless, type Authored, type Page } from "../doc/page";
import { hasHash } from "../link/chunk";
import type { Link } from "../link/link";
import type { Outgoing } from "../link/outbox";
import { Unsent, type Parcel, type UnsentOptions } from "../link/unsent";

type Writes = readonly ElementWrite[];
type Work = Parcel<Writes>;

/** Work that did not reach the board, for the person to save. */
export interface Lost {
  readonly kind: "refused" | "unsent" | "stale";
  readonly code: string;
  readonly writes: Writes;
  /** The person does not want it any more. */
  readonly discard: () => void;
}

export interface OutstandingOptions extends Pick<UnsentOptions<Writes>, "open" | "locks"> {
  readonly page: Page;
  readonly link: () => Link;
  /** The page the person has open. */
  readonly doc: () => string;
  /** On that page. */
  readonly mayWrite: (doc: string) => boolean;
  readonly changed: () => void;
  readonly offer: (lost: Lost) => void;
  /** The erase guard did not let the person: there is nothing to keep. */
  readonly guarded: () => void;
  /** An offer that no longer holds. */
  readonly withdraw: (lost: Lost) => void;
}

/** Of a refusal: a moderator has decided that the person does not draw there now. */
const LOCKED = "locked";
/** Too much at once of what others drew (SPEC ER1). */
const GUARD = "erase_guard";

export class Outstanding {
  // Owned by Board.
  private readonly unsent: Unsent<Writes>;
  private readonly sending = new Set<Work>(); // others' work, on its way
  private shelved: Work[] = []; // others' and own work that waits for the right to write
  private again: Work[] = []; // to be authored anew once the document is there
  private readonly void = new WeakSet<Work>(); // shelved, and of an actor of which this session is told nothing more, not even what is in the log already
  private offered: Lost | undefined; // the shelved work
  private closed: Lost | undefined;

  constructor(private readonly options: OutstandingOptions) {
    this.unsent = new Unsent({
      open: options.open,
      locks: options.locks,
      changed: options.changed,
      found: ({ parcels, old }) => {
        this.shelved.push(...parcels);
        this.sendShelved();
        if (old.length > 0) this.lost("stale", "", old);
        options.changed();
      },
    });
  }

  /** Gestures that the server does not have. */
  get count(): number {
    return this.options.page.unsaved + this.sending.size + this.again.length;
  }

  /** Of these, how many would be gone if this tab were. */
  get atRisk(): number {
    return Math.max(0, this.options.page.unsaved - this.unsent.stored);
  }

  /** Whether this device keeps unsent work at all. */
  get durable(): boolean {
    return this.unsent.durable;
  }

  welcomed(person: string | undefined, board: string, skew: number): void {
    if (this.closed) this.options.withdraw(this.closed);
    this.closed = undefined;
    this.sendShelved(true);
    if (person !== undefined) void this.unsent.identified(person, board, skew);
  }

  /** The actor to author under. */
  hold(actor: string): void {
    this.unsent.hold(actor);
  }

  send({ gesture, epoch, writes, changes }: Authored): void {
    const doc = this.options.doc();
    if (gesture > 0) this.unsent.keep(gesture, writes, doc, epoch, changes);
    this.options.link().send(changes.map((c) => ({ ...c, doc, epoch })));
  }

  acked(change: Outgoing): void {
    const work = change.adopted && this.unsent.holder(change.id);
    this.safe(change.id);
    if (work && work.changes.size === 0) this.sending.delete(work);
  }

  /** A change of this page is at the server. */
  safe(change: number): void {
    this.unsent.acked(change);
    this.options.page.acked(change);
  }

  /** The page will not make this gesture a second time. */
  refused(gesture: number, writes: Writes, code: string): void {
    const given = this.unsent.giveUp(gesture);
    if (code === GUARD) {
      this.unsent.discard(given);
      return this.options.guarded();
    }
    this.options.offer({ kind: "refused", code, writes, discard: () => this.unsent.discard(given) });
  }

  /** A change was refused. All that was authored under its actor and under our own is void; `mayWrite`: there is a new actor to author it under. */
  reset(hash: Uint8Array, code: string, mayWrite: boolean): void {
    const { page } = this.options;
    const isRefused = (chunk: Uint8Array) => hasHash(chunk, hash);
    const link = this.options.link();
    link.forget((change) => !change.adopted);
    page.refuse(isRefused, code);
    if (!mayWrite || code === LOCKED) return this.shelve();
    const culprit = [...this.sending].find((w) => [...w.changes.values()].some(isRefused));
    const dead = culprit ? [...this.sending].filter((w) => w.actor === culprit.actor) : [];
    link.forget((change) => dead.some((w) => w.changes.has(change.id)));
    for (const work of dead) {
      this.sending.delete(work);
      if (work === culprit && isHopeless(code)) this.lost("refused", code, [work]);
      else this.again.push(work);
    }
    if (this.sending.size > 0) link.reconnect(); // the server may have refused more without saying so; a new session is told
  }

  /** The document is there. */
  loaded(): void {
    const here = this.again.filter((work) => work.doc === this.options.doc()); // the others wait until their page is open
    this.again = this.again.filter((work) => !here.includes(work));
    for (const work of here) this.unsent.reauthored(work, this.options.page.again(work.writes));
  }

  /** The person may write now, or not. */
  roleChanged(): void {
    if (this.shelved.some((w) => this.void.has(w) && this.options.mayWrite(w.doc))) this.options.link().reconnect();
    else this.sendShelved();
  }

  /** The board is closed for this person: what was not sent is theirs to save. */
  ended(): void {
    if (this.closed) this.options.withdraw(this.closed);
    this.closed = undefined;
    const writes = [...this.options.page.unsavedWrites(), ...[...this.sending].flatMap((w) => w.writes)];
    if (writes.length === 0) return;
    this.closed = {
      kind: "unsent", code: "", writes,
      discard: () => {
        this.options.link().forget(() => true);
        this.options.page.abandon();
        this.unsent.discard([...this.unsent.giveUp(), ...this.sending]);
        this.sending.clear();
      },
    };
    this.options.offer(this.closed);
  }

  /** Nobody may write: everything that was on its way waits, and can be saved. */
  private shelve(): void {
    const { page } = this.options;
    this.options.link().forget(() => true);
    const abandoned = page.abandon();
    const own = this.unsent.giveUp();
    for (const w of own) this.void.add(w);
    this.shelved.push(...this.sending, ...this.again.splice(0), ...own);
    this.sending.clear();
    const loose = abandoned.filter((write) => !own.some((w) => w.writes.includes(write)));
    if (loose.length > 0) this.options.offer({ kind: "unsent", code: "", writes: loose, discard: () => undefined });
    this.sendShelved();
  }

  /** `fresh`: the session has refused nothing yet. */
  private sendShelved(fresh = false): void {
    if (this.offered) this.options.withdraw(this.offered);
    this.offered = undefined;
    if (this.shelved.length === 0) return;
    const work = this.shelved.filter((w) => this.options.mayWrite(w.doc) && (fresh || !this.void.has(w)));
    const rest = this.shelved.filter((w) => !work.includes(w));
    this.shelved = rest;
    for (const w of work) this.sending.add(w);
    if (work.length > 0) this.options.link().send(this.unsent.outgoing(work));
    if (rest.length > 0) this.offered = this.lost("unsent", "", rest, () => (this.shelved = []));
  }

  private lost(kind: Lost["kind"], code: string, work: readonly Work[], also: () => void = () => undefined): Lost {
    const lost = { kind, code, writes: work.flatMap((w) => w.writes), discard: () => (this.unsent.discard(work), also()) };
    this.options.offer(lost);
    return lost;
  }
}
