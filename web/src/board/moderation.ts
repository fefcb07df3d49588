/** What moderators decide on the board, and what it asks of everybody's page (docs/protocol.md §1.6). */
import type { RulesChange, Session } from "../link/session";
import type { ServerFrame } from "../wire/frames";
import type { Pages } from "./pages";
import type { Participant } from "./presence";
import type { Rules } from "./rules";
import { areaOf, lookAt, type Eye, type Sight } from "./sight";
import type { Notice } from "./view";

type Gather = Extract<ServerFrame, { type: "gather" }>;

export interface ModerationOptions {
  readonly session: Pick<Session, "rule" | "gather" | "hand" | "letErase">;
  readonly pages: Pick<Pages, "list" | "open" | "turning">;
  readonly sight: Pick<Sight, "aim">;
  /** The editor, when it is there. */
  surface(): (Eye & { busy(): boolean }) | undefined;
  people(): readonly Participant[];
  turn(page: number): void;
  notify(notice: Notice): void;
  withdraw(notice: Notice): void;
}

const BUSY_MS = 200;
const TOLD_MS = 6_000; // then everybody knows where they are

export class Moderation {
  // Owned by Board.
  private to: Gather | undefined;

  constructor(private readonly options: ModerationOptions) {}

  /** Who may draw. */
  rule(change: RulesChange): void {
    this.command(this.options.session.rule(change));
  }

  hand(up: boolean): void {
    this.command(this.options.session.hand(up));
  }

  /** Somebody was not let remove that much at once. */
  held(person: string, count: number): void {
    const name = this.nameOf(person);
    this.options.notify({ kind: "held", name, count, let: () => this.command(this.options.session.letErase(person)) });
  }

  private nameOf(person: string): string {
    return this.options.people().find((p) => p.id === person)?.label ?? person;
  }

  /** Lets somebody draw who may not as the rules are. */
  givePen(user_id: string, draw: Rules["draw"]): void {
    const { session } = this.options;
    // Chosen before the choice counts, so that nobody else gets the pen for a moment.
    const steps = draw === "" ? [{ person: { user_id, may: "" } } as const] : [{ person: { user_id, may: "draw" } } as const, ...(draw === "moderators" ? [{ draw: "chosen" } as const] : [])];
    this.command(steps.reduce((before, step) => before.then(() => session.rule(step)), Promise.resolve()));
  }

  /** Brings everybody to what this person sees. */
  gather(): void {
    const surface = this.options.surface();
    if (surface) this.command(this.options.session.gather({ doc: this.options.pages.open, ...areaOf(surface) }));
  }

  /** A moderator wants everybody to look there. */
  gathered(to: Gather): void {
    this.to = to;
    this.go();
  }

  private go(): void {
    const { to, options } = this;
    const { pages, sight } = options;
    const surface = options.surface();
    if (!surface || !to || !pages.list.includes(to.doc)) return;
    if (surface.busy() || pages.turning) return void setTimeout(() => this.go(), BUSY_MS);
    this.to = undefined;
    const look = lookAt(to, surface);
    if (to.doc === pages.open) surface.look(look);
    else {
      sight.aim(to.doc, look);
      options.turn(pages.list.indexOf(to.doc));
    }
    const notice = { kind: "gathered", name: this.nameOf(to.by) } as const;
    options.notify(notice);
    setTimeout(() => options.withdraw(notice), TOLD_MS);
  }

  private command(done: Promise<void>): void {
    done.catch((err: unknown) => {
      console.warn("the server did not take a moderator's decision", err);
      this.options.notify({ kind: "rules.failed" });
    });
  }
}
