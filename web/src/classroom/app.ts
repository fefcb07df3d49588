/** The life of the page outside React: signed out, starting, open, in the way of another tab, failed. */
import { forgetSession, loadSession, saveSession, signIn, signOut, type Session } from "./account";
import { Calls } from "./call/calls";
import type { Config, Homeserver } from "./config";
import { Grants } from "./grants";
import { acquire, type Held } from "./lock";
import type { Classroom, StartStage } from "./matrix";
import { Prompts } from "./prompts";
import type { SettingsStore } from "./settings";
import type { Memory } from "./storage";

/** Memory key of the room that was open last. */
export const LAST_ROOM = "room";

export type AppState =
  | { readonly kind: "signedOut"; readonly ended: boolean }
  | { readonly kind: "starting"; readonly stage: StartStage | "code" }
  | { readonly kind: "open"; readonly classroom: Classroom; readonly grants: Grants }
  | { readonly kind: "busy"; readonly takenOver: boolean }
  | { readonly kind: "failed"; readonly stage: StartStage | "code"; readonly detail: string; readonly session: Session };

export class App {
  readonly prompts = new Prompts();
  readonly calls = new Calls();
  private value: AppState = { kind: "signedOut", ended: false };
  private readonly listeners = new Set<() => void>();
  private session: Session | null = null;
  private held: Held | null = null;

  constructor(
    readonly config: Config,
    readonly memory: Memory,
    readonly settings: SettingsStore,
  ) {
    this.session = loadSession(memory);
    // A session of a homeserver that is no longer configured cannot be used: the content policy refuses the connection.
    if (this.session && !config.homeservers.some((h) => h.url === this.session?.homeserver)) {
      forgetSession(memory);
      this.session = null;
    }
  }

  readonly get = (): AppState => this.value;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Goes on with the session of this browser, if there is one. */
  async resume(takeOver = false): Promise<void> {
    if (this.session) await this.open(this.session, takeOver, false);
  }

  /** Signs in and opens the classroom. Throws SignInError: then nothing has changed. */
  async signIn(homeserver: Homeserver, user: string, password: string): Promise<void> {
    const session = await signIn(homeserver, user, password);
    this.session = session;
    saveSession(this.memory, session);
    await this.open(session, true, true);
  }

  async signOut(): Promise<void> {
    await this.calls.leave(); // while the session can still say so
    const { session } = this;
    this.close();
    this.session = null;
    forgetSession(this.memory);
    // Shared computers: neither where this person was nor what they allowed is left behind.
    this.memory.remove(LAST_ROOM);
    if (session) new Grants(this.memory, session.userId).clear();
    this.set({ kind: "signedOut", ended: false });
    if (!session) return;
    await signOut(session);
    const { clearStores } = await import("./matrix");
    await clearStores();
  }

  /** `fresh`: the device is new, so whatever an earlier one left in this browser goes first. */
  private async open(session: Session, takeOver: boolean, fresh: boolean): Promise<void> {
    this.set({ kind: "starting", stage: "code" });
    let stage: StartStage | "code" = "code";
    try {
      this.held ??= await acquire(takeOver);
      if (!this.held) return this.set({ kind: "busy", takenOver: false });
      const { held } = this;
      void held.lost.then(() => {
        if (this.held === held) this.lost();
      });
      const { Classroom, clearStores } = await import("./matrix");
      if (fresh) await clearStores();
      const classroom = await Classroom.start(session, (s) => {
        stage = s;
        this.set({ kind: "starting", stage: s });
      });
      if (this.held !== held) return classroom.close(); // taken over while we started
      if (classroom.get().ended) {
        classroom.close();
        return this.ended();
      }
      classroom.subscribe(() => {
        if (classroom.get().ended) this.ended();
      });
      this.set({ kind: "open", classroom, grants: new Grants(this.memory, session.userId) });
    } catch (err) {
      this.close();
      const detail = err instanceof Error ? ("detail" in err ? String(err.detail) : err.message) : String(err);
      this.set({ kind: "failed", stage, detail, session });
    }
  }

  private lost(): void {
    this.close();
    this.set({ kind: "busy", takenOver: true });
  }

  private ended(): void {
    this.close();
    this.session = null;
    forgetSession(this.memory);
    this.set({ kind: "signedOut", ended: true });
  }

  private close(): void {
    this.calls.drop();
    if (this.value.kind === "open") this.value.classroom.close();
    this.held?.release();
    this.held = null;
  }

  private set(state: AppState): void {
    this.value = state;
    for (const l of this.listeners) l();
  }
}
