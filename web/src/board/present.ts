/** Presenting: a moderator's view is everybody's, for as long as they want to follow. Everything of it is on the live lane; nothing is kept. */
import { encodeShown, PRESENT, type LiveSender, type Shown } from "./live";
import type { Pages } from "./pages";
import type { Presence } from "./presence";
import { areaOf, lookAt, type Eye, type Sight } from "./sight";

export interface PresentOptions {
  readonly sender: Pick<LiveSender, "set" | "clear">;
  readonly presence: Pick<Presence, "presenter">;
  readonly pages: Pick<Pages, "list" | "open" | "turning">;
  readonly sight: Pick<Sight, "aim">;
  surface(): (Eye & { busy(): boolean }) | undefined;
  turn(page: number): void;
  changed(state: Presenting): void;
}

/** What the page shows of it. */
export interface Presenting {
  /** Everybody follows this person's own view. */
  readonly self: boolean;
  /** Who presents; "": nobody, or this person. */
  readonly name: string;
  readonly following: boolean;
}

export const NOBODY: Presenting = { self: false, name: "", following: false };

const LOOK_MS = 250;
const AGAIN_MS = 2_000; // others forget who is silent for 5 s

export class Present {
  // Owned by Board.
  private state: Presenting = NOBODY;
  private began = 0;
  private sent = "";
  private sentAt = 0;
  private leader = -1; // session
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly options: PresentOptions) {}

  /** This person begins or ends. Whoever presented before hands over. */
  present(on: boolean): void {
    clearInterval(this.timer);
    this.timer = undefined;
    if (on) {
      this.began = performance.now();
      this.sent = "";
      this.timer = setInterval(() => this.tell(), LOOK_MS);
      this.tell();
    } else if (this.state.self) this.options.sender.clear(PRESENT);
    this.set(on ? { ...NOBODY, self: true } : NOBODY);
    if (!on) this.look();
  }

  follow(on: boolean): void {
    if (this.state.name === "") return;
    this.set({ ...this.state, following: on });
    this.look();
  }

  /** Something may have come from whoever presents, or they are gone. */
  look(): void {
    const now = this.options.presence.presenter();
    if (this.state.self) {
      if (!now || now.since < this.began) return;
      this.present(false); // somebody else has taken over
      return;
    }
    if (!now) {
      this.leader = -1;
      if (this.state.name !== "") this.set(NOBODY);
      return;
    }
    if (now.who.session !== this.leader) {
      this.leader = now.who.session;
      this.set({ self: false, name: now.who.label, following: true });
    }
    if (this.state.following) this.go(now.shown);
  }

  close(): void {
    clearInterval(this.timer);
  }

  private go(shown: Shown): void {
    const { pages, sight } = this.options;
    const surface = this.options.surface();
    const doc = pages.list[shown.page];
    if (!surface || doc === undefined || surface.busy() || pages.turning) return; // the next one comes within two seconds
    const look = lookAt(shown, surface);
    if (doc === pages.open) return surface.look(look);
    sight.aim(doc, look);
    this.options.turn(shown.page);
  }

  private tell(): void {
    const surface = this.options.surface();
    if (!surface) return;
    const { pages, sender } = this.options;
    const shown: Shown = { page: Math.max(0, pages.list.indexOf(pages.open)), ...areaOf(surface) };
    const now = JSON.stringify(shown);
    if (now === this.sent && performance.now() - this.sentAt < AGAIN_MS) return;
    [this.sent, this.sentAt] = [now, performance.now()];
    sender.set(PRESENT, () => encodeShown(shown));
  }

  private set(state: Presenting): void {
    if (JSON.stringify(state) === JSON.stringify(this.state)) return;
    this.state = state;
    this.options.changed(state);
  }
}
