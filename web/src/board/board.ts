/** One open board: link, page, binding and presence wired together, and the state that the page shows. Knows no React. */
import type { ElementWrite } from "../doc/messages";
import { Page, type Port } from "../doc/page";
import { Link, type LinkOptions, type LinkState } from "../link/link";
import { hasHash, hex } from "../link/chunk";
import type { Home, Session } from "../link/session";
import type { LiveUpdate, Saved, ServerFrame, Welcome } from "../wire/frames";
import { Store } from "../ui/store";
import { Binding, type Scene } from "./binding";
import { Documents } from "./documents";
import type { SceneElement } from "./element";
import { CURSOR, ELEMENTS, encodeCursor, encodeElements, LiveSender, type Cursor } from "./live";
import { Presence, type Participant } from "./presence";

export type Notice =
  | { readonly kind: "refused"; readonly code: string; readonly writes: readonly ElementWrite[] }
  | { readonly kind: "unsent"; readonly writes: readonly ElementWrite[] }
  | { readonly kind: "unsupported" | "drop" | "viewer.demoted" | "viewer.promoted" };

/** What the page shows besides the drawing. */
export interface View {
  readonly link: LinkState;
  readonly ready: boolean;
  readonly role: string;
  readonly encrypted: boolean | undefined;
  readonly companion: string;
  readonly saved: Saved;
  readonly unsaved: number;
  readonly people: readonly Participant[];
  readonly elements: number;
  readonly notices: readonly Notice[];
  /** Spoken by screen readers when it changes. */
  readonly announcement: { readonly kind: "joined" | "left"; readonly name: string } | undefined;
  readonly documentProblem: boolean;
}

/** Excalidraw, as far as the board drives it. */
export interface Surface extends Scene {
  /** A gesture is under way. */
  busy(): boolean;
  /** Brings what is drawn into view. */
  reveal(): void;
  showCollaborators(people: ReadonlyMap<string, Record<string, unknown>>): void;
}

export interface BoardOptions extends Omit<LinkOptions, "session"> {
  readonly session: Pick<Session, "token" | "forget" | "document" | "home" | "takeOver">;
  readonly port: Port;
  readonly holdElements?: boolean;
}

const CLEAR_LIVE_MS = 400; // after a commit: its entry reaches the others first
const CATCH_UP_MS = 100;

export class Board {
  readonly view = new Store<View>({
    link: { kind: "connecting", problem: "" },
    ready: false,
    role: "",
    encrypted: undefined,
    companion: "",
    saved: { seq: 0, at: 0, problem: "", since: 0 },
    unsaved: 0,
    people: [],
    elements: 0,
    notices: [],
    announcement: undefined,
    documentProblem: false,
  });
  readonly link: Link;
  readonly page: Page;
  readonly documents: Documents;
  private readonly presence = new Presence();
  private readonly sender: LiveSender;
  // Owned by the page's one thread.
  private surface: Surface | undefined;
  private binding: Binding | undefined;
  private welcome: Welcome | undefined;
  private actor: Uint8Array = new Uint8Array();
  private readonly actors = new Set<string>(); // hex, all that were ours
  private wasBusy = false;
  private clearing: ReturnType<typeof setTimeout> | undefined;
  private drawing = false; // presence waits for the next animation frame
  private readonly sweeper = setInterval(() => this.showPresence(this.presence.sweep()), 1_000);

  constructor(private readonly options: BoardOptions) {
    this.page = new Page(options.port, {
      send: ({ changes, epoch }) => this.link.send(changes.map((c) => ({ ...c, doc: this.documents.doc, epoch }))),
      changed: (ids) => {
        this.presence.settled(ids);
        this.binding?.remote(ids);
        this.catchUp();
        this.reveal();
        this.count();
      },
      loaded: () => {
        this.reload();
        this.view.set({ ready: true, documentProblem: false });
        this.count();
        this.documents.loaded();
      },
      broken: () => void this.documents.refetch(),
      refused: (_gesture, writes, code) => this.notify({ kind: "refused", code, writes }),
      quiet: () => this.documents.quiet(),
    });
    this.documents = new Documents({
      page: this.page,
      session: options.session,
      rewind: (seq) => this.link.rewind(seq),
      have: () => this.link.sequence.have,
      actor: () => this.actor,
      actors: () => [...this.actors],
      closed: () => this.link.state.kind === "closed",
      problem: () => this.view.set({ documentProblem: true }),
      ...(options.random ? { random: options.random } : {}),
    });
    this.link = new Link(options, {
      state: (link) => {
        if (link.kind !== "open") this.documents.disconnected();
        this.view.set({ link });
      },
      welcome: (w, foreign) => this.welcomed(w, foreign),
      entries: (entries, from) => {
        this.documents.entries(entries, from);
        this.count();
      },
      acked: (change) => {
        this.documents.acked(change.epoch);
        this.page.acked(change.id);
        this.count();
      },
      live: (updates) => this.live(updates),
      event: (frame) => this.event(frame),
    });
    this.sender = new LiveSender((slot, payload) => this.link.sendLive(slot, payload));
  }

  /** Excalidraw is there. */
  attach(surface: Surface): void {
    this.surface = surface;
    this.binding = new Binding(surface, this.page, {
      ...(this.options.holdElements === undefined ? {} : { holdElements: this.options.holdElements }),
      unsupported: () => this.notify({ kind: "unsupported" }),
    });
    if (this.page.ready) this.reload();
  }

  private revealed = false;
  private reload(): void {
    if (!this.binding || !this.surface) return;
    this.binding.reload();
    this.catchUp();
    this.reveal();
  }

  private catching: ReturnType<typeof setTimeout> | undefined;
  /** Others' changes may wait behind something the editor did quietly (it lays out texts and arrows without telling): they need not wait for the next gesture. */
  private catchUp(): void {
    if (!this.binding?.waiting || this.catching !== undefined) return;
    this.catching = setTimeout(() => {
      this.catching = undefined;
      if (this.surface && !this.surface.busy()) this.sceneChanged(this.surface.elements(), false);
    }, CATCH_UP_MS);
  }

  /** Once, when what was there at the start has arrived: later the view belongs to the user. */
  private reveal(): void {
    if (this.revealed || !this.surface || this.page.shadow.size === 0 || this.link.sequence.have < (this.welcome?.seq ?? 0)) return;
    this.revealed = true;
    this.surface.reveal();
  }

  close(): void {
    clearInterval(this.sweeper);
    this.link.close("left", "");
  }

  // ---- the user's hand ----

  /** The scene changed; busy: a gesture is under way, and the document hears of it when it ends. */
  sceneChanged(elements: readonly SceneElement[], busy: boolean): void {
    const { binding } = this;
    if (!binding || !this.view.get().ready) return;
    if (!this.mayWrite) return binding.disown(elements);
    if (busy) {
      this.revealed = true;
      const dirty = binding.dirty(elements).slice(-8);
      clearTimeout(this.clearing);
      if (dirty.length > 0) {
        this.wasBusy = true;
        const limit = this.welcome?.limits.live ?? 8_192;
        this.sender.set(ELEMENTS, () => encodeElements(dirty.flatMap((e) => this.inProgress(e)), limit));
      }
      return;
    }
    const wrote = binding.commit(elements);
    if (this.wasBusy) {
      this.wasBusy = false;
      this.sender.drop(ELEMENTS); // it would be told as the difference to what has just been committed
      this.clearing = setTimeout(() => this.sender.clear(ELEMENTS), wrote ? CLEAR_LIVE_MS : 0);
    }
    if (wrote) this.count();
  }

  pointerMoved(cursor: Cursor): void {
    this.sender.set(CURSOR, () => encodeCursor(cursor));
  }

  /** Who keeps this board, when it is another Lectern; undefined when that cannot be had now. */
  async home(): Promise<Home | undefined> {
    return this.options.session.home().catch(() => undefined);
  }

  /** Makes this Lectern the board's home and opens it here. Throws Refused. */
  async takeOver(): Promise<void> {
    await this.options.session.takeOver();
    this.link.connect();
  }

  dismiss(notice: Notice): void {
    this.view.set({ notices: this.view.get().notices.filter((n) => n !== notice) });
  }

  notify(notice: Notice): void {
    const subject = (n: Notice) => n.kind.split(".")[0]; // "you may only watch" gives way to "you may draw now"
    const kept = this.view.get().notices.filter((n) => subject(n) !== subject(notice) || "writes" in n);
    this.view.set({ notices: [...kept, notice] });
  }

  get mayWrite(): boolean {
    const { role } = this.view.get();
    return (role === "participant" || role === "moderator") && this.actor.length > 0;
  }

  private inProgress(e: SceneElement) {
    const props = this.binding?.inProgress(e);
    return props ? [{ ...props, id: e.id }] : [];
  }

  // ---- the server ----

  private welcomed(w: Welcome, foreign: boolean): void {
    this.welcome = w;
    this.setActor(w.actor);
    this.presence.welcome(w.session);
    this.view.set({ role: w.role, encrypted: w.encrypted, companion: w.companion, saved: w.saved });
    this.documents.welcomed(w, foreign);
  }

  private setActor(actor: Uint8Array): void {
    this.actor = actor;
    if (actor.length > 0) this.actors.add(hex(actor));
  }

  private event(frame: Extract<ServerFrame, { type: "people" | "role" | "reset" | "saved" | "error" }>): void {
    switch (frame.type) {
      case "people": {
        const { joined, left } = this.presence.update(frame.full, frame.joined, frame.left);
        this.view.set({ people: this.presence.list() });
        const last = joined.filter((p) => !p.self).at(-1) ?? left.at(-1);
        if (last) this.view.set({ announcement: { kind: joined.includes(last) ? "joined" : "left", name: last.label } });
        return this.showPresence({ cursors: true, elements: true });
      }
      case "role": {
        const could = this.mayWrite;
        this.view.set({ role: frame.role });
        if (frame.role !== "viewer" && this.actor.length === 0) this.link.reconnect(); // the actor to write under comes with a welcome
        if (could !== (frame.role !== "viewer")) this.notify({ kind: could ? "viewer.demoted" : "viewer.promoted" });
        return;
      }
      case "reset": {
        if (frame.doc !== this.documents.doc) return;
        this.link.forget((change) => change.doc === frame.doc);
        this.page.refuse((chunk) => hasHash(chunk, frame.hash), frame.code);
        if (frame.actor.length === 0) {
          const writes = this.page.abandon();
          if (writes.length > 0) this.notify({ kind: "unsent", writes });
        } else this.setActor(frame.actor);
        return void this.documents.refetch();
      }
      case "saved":
        return this.view.set({ saved: { seq: frame.seq, at: frame.at, problem: frame.problem, since: frame.since } });
      case "error":
        return;
    }
  }

  // ---- presence ----

  private live(updates: readonly LiveUpdate[]): void {
    this.showPresence(this.presence.live(updates));
  }

  private show = { cursors: false, elements: false };
  private showPresence(changed: { cursors: boolean; elements: boolean }): void {
    this.show.cursors ||= changed.cursors;
    this.show.elements ||= changed.elements;
    if (this.drawing || (!this.show.cursors && !this.show.elements)) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      const { cursors, elements } = this.show;
      this.show = { cursors: false, elements: false };
      if (elements && this.page.ready) this.binding?.showLive(this.presence.liveElements());
      if (cursors) this.surface?.showCollaborators(this.presence.collaborators());
    });
  }

  private count(): void {
    const { unsaved } = this.page;
    const elements = this.page.shadow.size;
    this.view.set({ unsaved, elements });
  }
}
