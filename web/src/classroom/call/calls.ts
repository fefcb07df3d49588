/** The call that this page is in, if any: one at a time, whatever room is being looked at. */

import { reasonOf } from "../reason";

/** `open`: in front of the person, not in it yet (lobby). `leaving`: hanging up, for at most a few seconds. `over`: left, and still saying why. */
export type CallPhase = "opening" | "open" | "joined" | "leaving" | "over";

/** Why somebody is out of a call who did not leave it. */
export interface Over {
  /** Removed from it by a moderator; ended for everybody; out of its room; not let in for another reason. */
  readonly kind: "removed" | "ended" | "out" | "refused";
  /** User id of who decided it, "" if not known. */
  readonly by: string;
  /** The token service's sentence, for `refused`. */
  readonly message: string;
  /** A moderator has taken it back. */
  readonly again: boolean;
}

export interface CallState {
  readonly roomId: string;
  readonly phase: CallPhase;
  /** While it is `leaving` by somebody else's decision, and `over`. */
  readonly why?: Over;
}

export class Calls {
  private value: CallState | null = null;
  private readonly listeners = new Set<() => void>();
  private hangUp: (() => Promise<void>) | null = null;
  private left: Promise<void> | null = null;

  readonly get = (): CallState | null => this.value;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Opens the call of a room. False if the person is in another room's call, which nothing but themselves ends. */
  open(roomId: string): boolean {
    if (this.value) return this.value.roomId === roomId;
    this.set({ roomId, phase: "opening" });
    return true;
  }

  /** The frame is there; `hangUp` leaves the call and resolves within seconds, whatever happens. */
  attach(hangUp: () => Promise<void>): void {
    this.hangUp = hangUp;
  }

  phase(phase: "open" | "joined"): void {
    if (this.value && this.value.phase !== "leaving" && this.value.phase !== "over") this.set({ ...this.value, phase });
  }

  /** Leaves the call, then removes it. Everybody who asks waits for the same. */
  leave(): Promise<void> {
    if (!this.value) return Promise.resolve();
    if (this.value.phase === "over") this.drop();
    else this.left ??= this.end();
    return this.left ?? Promise.resolve();
  }

  /** Leaves the call because it is over for this person, and says why until they close it. */
  over(why: Omit<Over, "again">): Promise<void> {
    if (!this.value || this.left || this.value.phase === "over") return Promise.resolve();
    this.left = this.end({ ...why, again: false });
    return this.left;
  }

  /** A moderator has taken back what was said to be over. */
  again(kind: Over["kind"]): void {
    if (this.value?.why?.kind === kind) this.set({ ...this.value, why: { ...this.value.why, again: true } });
  }

  /** Removes the call without a goodbye: the client is gone. */
  drop(): void {
    this.hangUp = null;
    if (this.value) this.set(null);
  }

  private async end(why?: Over): Promise<void> {
    if (this.value) this.set({ ...this.value, phase: "leaving", ...(why && { why }) });
    try {
      await this.hangUp?.();
    } catch (err) {
      console.warn("leaving the call:", reasonOf(err));
    }
    this.left = null;
    if (this.value?.why) this.set({ ...this.value, phase: "over" });
    else this.drop();
  }

  private set(value: CallState | null): void {
    this.value = value;
    for (const l of this.listeners) l();
  }
}
