/** One open board: link, page, binding and presence wired together, and the state that the page shows. Knows no React. */
import { Page, type Port } from "../doc/page";
import { Link, type LinkOptions } from "../link/link";
import { hex } from "../link/chunk";
import type { Session } from "../link/session";
import { kinds, type LiveUpdate, type ServerFrame, type Welcome } from "../wire/frames";
import { Store } from "../ui/store";
import { Binding, type Scene } from "./binding";
import { Crowd } from "./crowd";
import { Documents } from "./documents";
import type { SceneElement } from "./element";
import { CURSOR, ELEMENTS, encodeCursor, encodeElements, LiveSender, type Cursor } from "./live";
import { History } from "./history";
import { Filler, FIRST_ELEMENTS } from "./filler";
import { Moderation } from "./moderation";
import { Outstanding, type OutstandingOptions } from "./outstanding";
import { Pages } from "./pages";
import { Present } from "./present";
import { Presence, type Cursors } from "./presence";
import type { FirstScene } from "../first/first";
import { readScene } from "../first/scene";
import { Rights } from "./rights";
import { parseRules } from "./rules";
import { Sight, type Eye } from "./sight";
import { FIRST_VIEW, type Notice, type View } from "./view";
import { Watch } from "./watch";

/** Excalidraw, as far as the board drives it. */
export interface Surface extends Scene, Eye {
  /** A gesture is under way. */
  busy(): boolean;
  /** Another page: nothing is drawn, selected or to be undone. */
  empty(): void;
  showCollaborators(people: ReadonlyMap<string, Record<string, unknown>>): void;
}

export interface BoardOptions extends Omit<LinkOptions, "session"> {
  readonly session: Pick<Session, "token" | "forget" | "iceServers" | "document" | "scene" | "info" | "skew" | "home" | "takeOver" | "addPage" | "rule" | "gather" | "hand" | "letErase" | "versions" | "version" | "drew" | "roles" | "setRole" | "setup" | "signIns" | "endSignIn">;
  readonly port: Port;
  /** What was painted before anything else was there; undefined: nothing. Absent: nobody painted. */
  readonly first?: Promise<FirstScene | undefined>;
  /** Absent: unsent work stays in memory. */
  readonly keep?: Pick<OutstandingOptions, "open" | "locks">;
  readonly holdElements?: boolean;
}

const CLEAR_LIVE_MS = 400; // after a commit: its entry reaches the others first
const CATCH_UP_MS = 100;
const STORE_MS = 400; // writing to the store takes milliseconds: nobody needs to hear of them

export class Board {
  readonly view = new Store<View>(FIRST_VIEW);
  readonly link: Link;
  readonly page: Page;
  readonly pages: Pages;
  readonly moderation: Moderation;
  readonly history: History;
  readonly documents: Documents;
  readonly outstanding: Outstanding;
  readonly watch: Watch;
  private readonly presence = new Presence();
  private readonly rights = new Rights({
    view: this.view,
    person: () => this.options.session.info?.user_id ?? "",
    open: () => this.pages.open,
    lost: () => this.surface && this.binding?.disown(this.surface.elements()),
    mayWrite: () => this.mayWrite,
  });
  private readonly sight = new Sight();
  readonly present: Present;
  private readonly sender: LiveSender;
  private readonly filler = new Filler({
    render: (ids) => this.binding?.remote(ids),
    busy: () => this.surface?.busy() === true,
    done: () => this.view.set({ whole: true }),
  });
  private readonly begun: Promise<unknown>; // the first painting is there, or will not be
  // Owned by the page's one thread.
  private surface: Surface | undefined;
  private binding: Binding | undefined;
  private welcome: Welcome | undefined;
  private actor: Uint8Array = new Uint8Array();
  private readonly actors = new Set<string>(); // hex, all that were ours
  private wasBusy = false;
  private clearing: ReturnType<typeof setTimeout> | undefined;
  private readonly crowd = new Crowd(({ cursors, elements }) => {
    if (elements && this.current) this.binding?.showLive(this.presence.liveElements());
    if (cursors) this.surface?.showCollaborators(this.presence.collaborators(this.view.get().cursors));
  });
  private readonly sweeper = setInterval(() => {
    this.crowd.changed(this.presence.sweep());
    this.present.look();
  }, 1_000);

  constructor(private readonly options: BoardOptions) {
    this.page = new Page(options.port, {
      send: (authored) => {
        this.outstanding.send(authored);
        this.pages.settle();
      },
      changed: (ids) => this.changed(ids),
      loaded: () => {
        this.loaded();
        this.documents.loaded();
        this.outstanding.loaded();
      },
      broken: () => void this.documents.refetch(),
      refused: (gesture, writes, code) => this.outstanding.refused(gesture, writes, code),
      have: (change) => this.outstanding.safe(change),
      quiet: () => this.documents.quiet(),
    });
    this.pages = new Pages({
      session: options.session,
      settled: () => this.page.unsaved === 0,
      turned: (from) => this.turned(from),
      changed: () => {
        this.view.set({ docs: this.pages.list, page: this.pages.index, turning: this.pages.turning });
        this.rights.look();
      },
      failed: (why) => this.notify({ kind: `pages.${why}` }),
    });
    this.moderation = new Moderation({
      session: options.session,
      pages: this.pages,
      sight: this.sight,
      surface: () => this.surface,
      people: () => this.view.get().people,
      turn: (page) => this.turn(page),
      notify: (notice) => this.notify(notice),
      withdraw: (notice) => this.withdraw(notice),
    });
    this.history = new History({ session: options.session, page: this.page, doc: () => this.pages.open });
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
    this.outstanding = new Outstanding({
      open: () => Promise.reject(new Error("nothing is kept here")),
      locks: undefined,
      ...options.keep,
      page: this.page,
      link: () => this.link,
      doc: () => this.documents.doc,
      mayWrite: (doc) => this.mayDraw(doc),
      changed: () => this.count(),
      offer: (lost) => this.notify(lost),
      withdraw: (lost) => this.withdraw(lost),
      guarded: () => this.notify({ kind: "guarded" }),
    });
    this.watch = new Watch({
      shadow: this.page.shadow,
      session: options.session,
      loaded: () => this.loaded(),
      changed: (ids) => this.changed(ids),
      problem: () => this.view.set({ documentProblem: true }),
    });
    this.link = new Link(options, {
      state: (link) => {
        if (link.kind !== "open") {
          this.pages.stay();
          this.documents.disconnected();
        }
        this.view.set({ link });
        if (link.kind === "closed" && link.code !== "left") this.outstanding.ended();
      },
      welcome: (w, foreign) => this.welcomed(w, foreign),
      entries: (entries, from) => {
        for (const [i, e] of entries.entries()) {
          if (e.kind === kinds.page) this.pages.added(e.doc);
          if (e.kind === kinds.rules && this.rights.ruled(e.bytes, from + i)) this.outstanding.roleChanged();
        }
        if (this.watch.on) this.watch.grown(from + entries.length - 1);
        else this.documents.entries(entries, from);
        this.count();
      },
      acked: (change) => {
        this.documents.acked(change.epoch);
        this.outstanding.acked(change);
        this.pages.settle();
        this.count();
      },
      live: (updates) => this.live(updates),
      event: (frame) => this.event(frame),
    });
    this.begun = (options.first ?? Promise.resolve(undefined)).then((scene) => scene && this.preview(scene));
    this.sender = new LiveSender((slot, payload) => this.link.sendLive(slot, payload));
    this.present = new Present({
      sender: this.sender,
      presence: this.presence,
      pages: this.pages,
      sight: this.sight,
      surface: () => this.surface,
      turn: (page) => this.turn(page),
      changed: (presenting) => this.view.set({ presenting }),
    });
  }

  /** Excalidraw is there. */
  attach(surface: Surface): void {
    this.surface = surface;
    this.bind(surface);
    if (this.current) this.reload();
    else this.showFirst();
  }

  private bind(surface: Surface): void {
    this.binding = new Binding(surface, this.page, {
      ...(this.options.holdElements === undefined ? {} : { holdElements: this.options.holdElements }),
      unsupported: () => this.notify({ kind: "unsupported" }),
    });
  }

  /** The page shows the board as it is: by its document, or by the scene for who only watches. */
  get current(): boolean {
    return this.page.ready || this.watch.shown;
  }

  private loaded(): void {
    this.reload();
    this.view.set({ ready: true, shown: true, documentProblem: false });
    this.count();
  }

  private changed(ids: ReadonlySet<string>): void {
    this.presence.settled(ids);
    this.binding?.remote(ids);
    this.catchUp();
    this.reveal();
    this.count();
  }

  // ---- before the document is there ----

  private first: FirstScene | undefined;
  /** What was painted before anything else was there: the editor shows it, until the document replaces it without anybody noticing. */
  private preview(scene: FirstScene): void {
    this.first = scene;
    this.sight.painted(scene.look);
    if (!this.current) {
      this.watch.begin(scene);
      this.page.shadow.load(Object.fromEntries(scene.elements.map((e) => [e.id, e.props])));
      this.count();
    }
    this.showFirst();
  }

  private showFirst(): void {
    if (!this.first || !this.surface || !this.binding) return;
    this.sight.show(this.surface, () => []); // before there is anything to draw, so that it is drawn once
    if (!this.current) this.filler.begin(this.binding.reload(FIRST_ELEMENTS));
    this.reveal();
    this.view.set({ shown: true });
  }

  private reload(): void {
    if (!this.binding || !this.surface) return;
    if (this.first && !this.view.get().ready) this.binding.disown(this.surface.elements()); // what the editor tidied in the preview is nobody's work
    this.filler.begin(this.binding.reload(FIRST_ELEMENTS));
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

  private reveal(): void {
    const arrived = this.first !== undefined || this.link.sequence.have >= (this.welcome?.seq ?? 0);
    if (this.surface && arrived) this.sight.show(this.surface, () => this.page.shadow.all());
  }

  // ---- pages ----

  /** Turns to the page with this number, 0 for the first, when the server has what was drawn on this one. Not while offline or in the middle of a gesture. */
  turn(page: number): void {
    const { surface } = this;
    if (!surface || surface.busy() || this.link.state.kind !== "open") return;
    this.sceneChanged(surface.elements(), false); // Excalidraw tells of a change some time after making it
    this.pages.turn(this.pages.list[page] ?? "");
  }

  private turned(from: string): void {
    const { surface, pages, view } = this;
    if (!surface) return;
    this.sight.turn(surface, from, pages.open);
    this.presence.page = pages.index;
    for (const slot of [CURSOR, ELEMENTS]) this.sender.clear(slot);
    this.first = undefined;
    this.page.turn();
    this.bind(surface);
    surface.empty();
    view.set({ ready: false, shown: false, whole: false, elements: 0, announcement: { kind: "page", page: pages.index } });
    this.crowd.changed({ cursors: true, elements: true });
    if (this.watch.on && this.welcome) return this.watchFrom(this.welcome);
    this.documents.turned(pages.open);
    void this.previewPage();
  }

  /** Something to look at until the document is there. */
  private async previewPage(): Promise<void> {
    const { doc } = this.documents;
    if (!this.welcome) return;
    const answer = await this.options.session.scene(this.welcome.board, doc).catch(() => undefined);
    if (answer && doc === this.documents.doc && !this.current) this.preview({ ...answer, doc, elements: readScene(answer), look: undefined });
  }

  close(): void {
    clearInterval(this.sweeper);
    this.present.close();
    this.link.close("left", "");
  }

  // ---- the user's hand ----

  /** The scene changed; busy: a gesture is under way, and the document hears of it when it ends. */
  sceneChanged(elements: readonly SceneElement[], busy: boolean): void {
    const { binding } = this;
    if (!binding || !this.view.get().ready || this.pages.turning) return;
    if (!this.mayWrite) return binding.disown(elements);
    if (busy) {
      this.sight.taken();
      const dirty = binding.dirty(elements).slice(-8);
      clearTimeout(this.clearing);
      if (dirty.length > 0) {
        this.wasBusy = true;
        const limit = this.welcome?.limits.live ?? 8_192;
        this.sender.set(ELEMENTS, () => encodeElements(dirty.flatMap((e) => this.inProgress(e)), limit, this.pages.index));
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

  /** How others' cursors are shown, here and for as long as the page is open. */
  showCursors(cursors: Cursors): void {
    this.view.set({ cursors });
    this.crowd.changed({ cursors: true, elements: false });
  }

  /** What is selected; "" for nothing or several. */
  selected(id: string): void {
    if (id !== this.view.get().selected) this.view.set({ selected: id });
  }

  pointerMoved(cursor: Omit<Cursor, "page">): void {
    this.sender.set(CURSOR, () => encodeCursor({ ...cursor, page: this.pages.index }));
  }

  /** What the person's dialogs ask the server. */
  get ask(): Pick<Session, "home" | "takeOver" | "roles" | "setRole" | "setup" | "signIns" | "endSignIn"> {
    return this.options.session;
  }

  dismiss(notice: Notice): void {
    this.withdraw(notice);
    if ("discard" in notice) notice.discard();
    this.count();
  }

  private withdraw(notice: Notice): void {
    this.view.set({ notices: this.view.get().notices.filter((n) => n !== notice) });
  }

  notify(notice: Notice): void {
    const subject = (n: Notice) => n.kind.split(".")[0]; // "you may only watch" gives way to "you may draw now"
    const kept = this.view.get().notices.filter((n) => subject(n) !== subject(notice) || "writes" in n);
    this.view.set({ notices: [...kept, notice] });
  }

  /** On the open page. */
  get mayWrite(): boolean {
    return this.mayDraw(this.pages.open);
  }

  private mayDraw(doc: string): boolean {
    return this.actor.length > 0 && this.rights.hindrance(doc) === "";
  }

  private inProgress(e: SceneElement) {
    const props = this.binding?.inProgress(e);
    return props ? [{ ...props, id: e.id }] : [];
  }

  // ---- the server ----

  private welcomed(w: Welcome, foreign: boolean): void {
    this.welcome = w;
    this.rights.welcomed(w.seq);
    this.setActor(w.actor);
    this.presence.welcome(w.session);
    this.view.set({ role: w.role, rules: parseRules(w.rules), encrypted: w.encrypted, companion: w.companion, saved: w.saved });
    this.pages.welcomed(w.board, w.docs);
    this.presence.page = this.pages.index;
    if (w.role === "viewer" && !this.page.ready) this.watchFrom(w);
    else {
      this.watch.stop();
      this.documents.welcomed(w, foreign, this.pages.open);
    }
    this.outstanding.welcomed(this.options.session.info?.user_id, w.board, this.options.session.skew);
  }

  private watchFrom(w: Welcome): void {
    this.watch.on = true;
    void this.begun.then(() => this.watch.on && this.welcome === w && this.watch.start(w.board, this.pages.open, w.log, Math.max(w.seq, this.link.sequence.have)));
  }

  /** Who only watched may write: now the document is needed. */
  private stopWatching(): void {
    if (!this.watch.on || !this.welcome) return;
    this.watch.stop();
    this.view.set({ ready: false });
    const docs = this.welcome.docs;
    if (docs.some((d) => d.seq === 0)) this.link.rewind(0); // its entries went by
    this.documents.welcomed({ ...this.welcome, resume: false }, false, this.pages.open);
  }

  private setActor(actor: Uint8Array): void {
    this.actor = actor;
    if (actor.length > 0) this.actors.add(hex(actor));
    this.outstanding.hold(hex(actor));
  }

  private event(frame: Extract<ServerFrame, { type: "people" | "role" | "reset" | "saved" | "gather" | "held" | "error" }>): void {
    switch (frame.type) {
      case "people": {
        const { joined, left } = this.presence.update(frame.full, frame.joined, frame.left);
        this.view.set({ people: this.presence.list() });
        const last = joined.filter((p) => !p.self).at(-1) ?? left.at(-1);
        if (last) this.view.set({ announcement: { kind: joined.includes(last) ? "joined" : "left", name: last.label } });
        return this.crowd.changed({ cursors: true, elements: true });
      }
      case "role": {
        const could = this.mayWrite;
        this.view.set({ role: frame.role });
        this.rights.look();
        if (frame.role !== "viewer") this.stopWatching();
        if (frame.role !== "viewer" && this.actor.length === 0) this.link.reconnect(); // the actor to write under comes with a welcome
        if (frame.role !== "moderator") this.present.present(false);
        if (could !== (frame.role !== "viewer")) this.notify({ kind: could ? "viewer.demoted" : "viewer.promoted" });
        return this.outstanding.roleChanged();
      }
      case "reset":
        if (frame.actor.length > 0) this.setActor(frame.actor);
        this.outstanding.reset(frame.hash, frame.code, frame.actor.length > 0);
        return this.watch.on ? undefined : void this.documents.refetch();
      case "gather":
        return this.moderation.gathered(frame);
      case "held":
        return this.moderation.held(frame.by, frame.count);
      case "saved":
        return this.view.set({ saved: { seq: frame.seq, at: frame.at, problem: frame.problem, since: frame.since } });
      case "error":
        return;
    }
  }

  // ---- presence ----

  private live(updates: readonly LiveUpdate[]): void {
    this.crowd.changed(this.presence.live(updates));
    this.present.look();
  }

  private counting: ReturnType<typeof setTimeout> | undefined;
  private count(): void {
    const { count: unsaved, durable, atRisk } = this.outstanding;
    this.view.set({ unsaved, durable, elements: this.page.shadow.size, ...(atRisk === 0 ? { tabOnly: false } : {}) });
    if (atRisk === 0 || this.counting !== undefined) return;
    this.counting = setTimeout(() => {
      this.counting = undefined;
      if (this.outstanding.atRisk > 0) this.view.set({ tabOnly: true });
    }, STORE_MS);
  }

  /** Something would be lost if the tab were closed now. */
  get wouldLose(): boolean {
    return this.outstanding.atRisk > 0;
  }
}
