/** The call that this page is in, if any: one at a time, whatever room is being looked at. */

import { reasonOf } from "../reason";

/** `open`: in front of the person, not in it yet (lobby). `leaving`: hanging up, for at most a few seconds. */
export type CallPhase = "opening" | "open" | "joined" | "leaving";

export interface CallState {
  readonly roomId: string;
  readonly phase: CallPhase;
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
    if (this.value && this.value.phase !== "leaving") this.set({ ...this.value, phase });
  }

  /** Leaves the call, then removes it. Everybody who asks waits for the same. */
  leave(): Promise<void> {
    if (!this.value) return Promise.resolve();
    this.left ??= this.end();
    return this.left;
  }

  /** Removes the call without a goodbye: the client is gone. */
  drop(): void {
    this.hangUp = null;
    if (this.value) this.set(null);
  }

  private async end(): Promise<void> {
    if (this.value) this.set({ ...this.value, phase: "leaving" });
    try {
      await this.hangUp?.();
    } catch (err) {
      console.warn("leaving the call:", reasonOf(err));
    }
    this.left = null;
    this.drop();
  }

  private set(value: CallState | null): void {
    this.value = value;
    for (const l of this.listeners) l();
  }
}
