/** The pages of a board: which there are, which one is open, and turning to another (docs/SPEC.md WG90-WG95). Knows no editor and no document. */
import { Refused, type DocRef, type Session } from "../link/session";

export interface PagesOptions {
  readonly session: Pick<Session, "addPage">;
  /** Nothing that was made on the open page is on its way. */
  settled(): boolean;
  /** Another page is open from now on. */
  turned(from: string): void;
  changed(): void;
  /** A page could not be turned to, or added. */
  failed(why: "unsent" | "full" | "failed"): void;
}

/** Whoever waits longer than this for the server to take what was drawn stays on the page. */
const SETTLE_MS = 5_000;

export class Pages {
  /** Documents in the order of the pages. */
  list: readonly string[] = [];
  /** The document of the open page; "": not known yet. */
  open = "";
  // Owned by Board.
  private board = "";
  private target = ""; // turning there
  private adding = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: PagesOptions) {}

  /** 0 for the first page. */
  get index(): number {
    return Math.max(0, this.list.indexOf(this.open));
  }

  /** On the way to another page: nothing can be drawn. */
  get turning(): boolean {
    return this.target !== "";
  }

  /** Who comes to the board, or again, is on the page that was open before, else on the first. */
  welcomed(board: string, docs: readonly DocRef[]): void {
    this.board = board;
    this.list = pagesOf(docs);
    if (!this.list.includes(this.open)) this.open = pageToOpen(board, docs);
    this.options.changed();
  }

  /** Somebody added a page. */
  added(doc: string): void {
    if (this.list.includes(doc)) return;
    this.list = [...this.list, doc];
    this.options.changed();
  }

  /** Turns to a page as soon as the server has everything of this one, so that no gesture is ever made on the wrong page. */
  turn(doc: string): void {
    if (doc === this.open || !this.list.includes(doc)) return;
    this.target = doc;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.stay() && this.options.failed("unsent"), SETTLE_MS);
    this.options.changed();
    this.settle();
  }

  /** Something of the open page has reached the server. */
  settle(): void {
    if (!this.turning || !this.options.settled()) return;
    const from = this.open;
    this.open = this.target;
    remember(this.board, this.open);
    this.stay();
    this.options.turned(from);
  }

  /** Turns no page; true if it was about to. */
  stay(): boolean {
    clearTimeout(this.timer);
    if (!this.turning) return false;
    this.target = "";
    this.options.changed();
    return true;
  }

  /** Adds a page behind the others and turns to it. */
  async add(): Promise<void> {
    if (this.adding || this.turning) return;
    this.adding = true;
    try {
      const doc = await this.options.session.addPage();
      this.added(doc);
      this.turn(doc);
    } catch (err) {
      console.warn("a page could not be added", err);
      this.options.failed(err instanceof Refused && err.code === "too_large" ? "full" : "failed");
    } finally {
      this.adding = false;
    }
  }
}

const pagesOf = (docs: readonly DocRef[]) => docs.map((d) => d.doc).filter((doc) => doc !== "index");

const key = (board: string) => `lectern page ${board}`;

/** The page that this tab had open last, else the first; "" where there is none. */
export function pageToOpen(board: string, docs: readonly DocRef[]): string {
  const pages = pagesOf(docs);
  try {
    const last = sessionStorage.getItem(key(board));
    if (last !== null && pages.includes(last)) return last;
  } catch {
    // the browser stores nothing for us: then the first page opens
  }
  return pages[0] ?? "";
}

function remember(board: string, doc: string): void {
  try {
    sessionStorage.setItem(key(board), doc);
  } catch {
    // as above
  }
}
