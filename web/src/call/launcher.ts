/** The page's conversation with Lectern: who is in the call, and what moderators decide. No DOM. */
import { backoff } from "../link/backoff";
import { Refused } from "../link/session";
import { Store } from "../ui/store";
import type { CallSession } from "./session";
import type { Act, Answer, Call, Result, Source } from "./wire";

/** What there is to say of the last decision. */
export type Said =
  | { readonly kind: "result"; readonly act: Act; readonly result: Result; readonly names: Readonly<Record<string, string>> }
  /** `status`: HTTP's; 0: not reached. */
  | { readonly kind: "failed"; readonly status: number; readonly message: string }
  | { readonly kind: "notLet" };

/** Why the list is not the newest. */
export type Problem = "" | "network" | "homeserver" | "busy";

export interface View {
  /** undefined: nothing was heard yet. */
  readonly call: Answer | undefined;
  /** When it was heard, by Date.now(). */
  readonly at: number;
  readonly problem: Problem;
  /** The page has given up. */
  readonly closed: { readonly code: string; readonly message: string } | undefined;
  readonly said: Said | undefined;
  /** Acts under way, by their key. */
  readonly busy: ReadonlySet<string>;
  /** What people (or "*") are to be allowed, while that is under way. */
  readonly wanted: Readonly<Record<string, readonly Source[]>>;
}

export interface LauncherOptions {
  readonly session: Pick<CallSession, "token" | "call" | "act" | "forget">;
  readonly random?: () => number;
}

const CALM_MS = 300; // between two answers, however fast they come
const SAME_MS = 5_000; // between two answers that are the same and were not waited for
const SEEN_MS = 2_500; // how long an act waits until the list shows what has come of it
const PATIENCE = 3; // refusals that may be a race with the homeserver

/** Refusals that another try does not change, but for a race with the homeserver. */
const PERMANENT = new Set(["not_joined", "server_denied", "no_widget", "board_elsewhere", "room_upgraded", "openid_blocked", "forbidden", "bad_json"]);
const HOMESERVER = new Set(["sync_stale", "homeserver_unreachable", "openid_server"]);

export class Launcher {
  readonly view = new Store<View>({ call: undefined, at: 0, problem: "", closed: undefined, said: undefined, busy: new Set(), wanted: {} });
  // Owned by run.
  private running = false;
  private stopped = false;
  private wake: () => void = () => undefined;

  constructor(private readonly options: LauncherOptions) {}

  /** Follows the call until the page is closed for this person, calls are not set up, or stop. */
  async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    this.stopped = false;
    this.view.set({ closed: undefined, problem: "" });
    let seen = 0;
    let failures = 0;
    let refusals = 0;
    while (!this.stopped) {
      const began = Date.now();
      try {
        const answer = await this.orHurried(this.options.session.call(seen));
        if (answer === "hurried") continue; // what it waited for is gone with the network: ask anew
        failures = refusals = 0;
        if (this.stopped) break;
        this.view.set({ call: answer, at: Date.now(), problem: "" });
        if (!answer.configured) break;
        const waited = Date.now() - began;
        const calm = answer.revision === seen ? SAME_MS : CALM_MS;
        seen = answer.revision;
        if (waited < calm) await this.nap(calm - waited);
      } catch (err) {
        if (this.stopped) break;
        const refused = err instanceof Refused ? err : new Refused("failed", err instanceof Error ? err.message : String(err), 0);
        if (refused.status === 401) this.options.session.forget();
        if (PERMANENT.has(refused.code) && (++refusals >= PATIENCE || refused.code === "openid_blocked")) {
          this.view.set({ closed: { code: refused.code, message: refused.message }, problem: "" });
          break;
        }
        // A session that ended is no failure yet: signing in again usually works.
        const first401 = refused.status === 401 && failures === 0;
        if (!first401) this.view.set({ problem: refused.status === 0 ? "network" : HOMESERVER.has(refused.code) ? "homeserver" : "busy" });
        await this.nap(backoff(failures++, this.options.random ?? Math.random, refused.retryMs));
      }
    }
    this.running = false;
  }

  stop(): void {
    this.stopped = true;
    this.wake();
  }

  /** The network may be back, or the page is looked at again: do not wait. `lost`: what was asked before is gone. */
  hurry(lost = false): void {
    if (lost || this.view.get().problem !== "") this.wake();
  }

  private orHurried<T>(asked: Promise<T>): Promise<T | "hurried"> {
    asked.catch(() => undefined); // nobody may listen any more
    return Promise.race([asked, new Promise<"hurried">((resolve) => (this.wake = () => resolve("hurried")))]);
  }

  private nap(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Carries out a decision. One at a time of the same key; a second one is dropped. */
  async act(key: string, act: Act): Promise<void> {
    if (this.view.get().busy.has(key)) return;
    await this.busy(key, () => this.send(act, (call, before) => call !== before));
  }

  /** Decides what somebody (or "*") may publish. What is asked for meanwhile follows. `send` names the whole list to send for what is wanted. */
  async allow(user_id: string, wanted: readonly Source[], send: (wanted: readonly Source[]) => readonly Source[] = (all) => all): Promise<void> {
    const key = `sources ${user_id}`;
    this.view.set({ wanted: { ...this.view.get().wanted, [user_id]: wanted } });
    if (this.view.get().busy.has(key)) return;
    await this.busy(key, async () => {
      for (;;) {
        const now = this.view.get().wanted[user_id] ?? [];
        const shows = (call: Answer) => call.configured && same(allowed(call, user_id), now);
        const worked = await this.send({ action: "sources", user_id, sources: send(now) }, shows);
        const next = this.view.get().wanted[user_id];
        if (!worked || !next || same(next, now)) break;
      }
      const { [user_id]: _, ...wanted } = this.view.get().wanted;
      this.view.set({ wanted });
    });
  }

  private async busy(key: string, work: () => Promise<unknown>): Promise<void> {
    this.view.set({ busy: new Set([...this.view.get().busy, key]) });
    await work();
    this.view.set({ busy: new Set([...this.view.get().busy].filter((k) => k !== key)) });
  }

  /** True when it was carried out, and the list shows it (or has had the time to). */
  private async send(act: Act, shows: (call: Answer, before: Answer | undefined) => boolean): Promise<boolean> {
    const before = this.view.get().call;
    this.view.set({ said: undefined });
    try {
      const result = await this.options.session.act(act);
      this.view.set({ said: { kind: "result", act, result, names: before?.configured ? namesIn(before) : {} } });
    } catch (err) {
      this.view.set({ said: err instanceof Refused ? { kind: "failed", status: err.status, message: err.message } : { kind: "notLet" } });
      return false;
    }
    await this.until((call) => shows(call, before));
    return true;
  }

  private until(done: (call: Answer) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        const { call } = this.view.get();
        if (call && done(call)) finish();
      };
      const stop = this.view.subscribe(check);
      const timer = setTimeout(() => finish(), SEEN_MS);
      const finish = () => {
        clearTimeout(timer);
        stop();
        resolve();
      };
      check();
    });
  }
}

/** What somebody (or "*") may publish, by the list. */
export function allowed(call: Call, user_id: string): readonly Source[] {
  return user_id === "*" ? call.sources : (call.members.find((m) => m.user_id === user_id)?.sources ?? []);
}

const same = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((x) => b.includes(x));

const namesIn = (call: Call): Readonly<Record<string, string>> => Object.fromEntries(call.members.map((m) => [m.user_id, m.name]));
