/** Questions to the person, one at a time, in the order they came. */
import type { RoomWidget } from "./widgets";
import type { Wording } from "./capabilities";

export interface CapabilityAnswer {
  readonly allowed: ReadonlySet<string>;
  readonly remember: boolean;
}

export interface IdentityAnswer {
  readonly allow: boolean;
  readonly remember: boolean;
}

export type Prompt =
  | { readonly kind: "capabilities"; readonly id: number; readonly widget: RoomWidget; readonly ask: readonly { capability: string; wording: Wording }[]; answer(a: CapabilityAnswer): void }
  | { readonly kind: "identity"; readonly id: number; readonly widget: RoomWidget; answer(a: IdentityAnswer): void };

/** Withdrawn: the widget went away before the person answered. */
export class Withdrawn extends Error {}

export class Prompts {
  private queue: readonly Prompt[] = [];
  private readonly listeners = new Set<() => void>();
  private next = 1;
  private holds = 0;

  readonly current = (): Prompt | null => (this.holds > 0 ? null : (this.queue[0] ?? null));

  /** A dialog of the page itself is open: questions wait until it is closed (the answer). */
  hold(): () => void {
    this.holds++;
    this.changed();
    return () => {
      this.holds--;
      this.changed();
    };
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  capabilities(widget: RoomWidget, ask: readonly { capability: string; wording: Wording }[], signal: AbortSignal): Promise<CapabilityAnswer> {
    return this.put<CapabilityAnswer>(signal, (id, answer) => ({ kind: "capabilities", id, widget, ask, answer }));
  }

  identity(widget: RoomWidget, signal: AbortSignal): Promise<IdentityAnswer> {
    return this.put<IdentityAnswer>(signal, (id, answer) => ({ kind: "identity", id, widget, answer }));
  }

  private put<T>(signal: AbortSignal, make: (id: number, answer: (a: T) => void) => Prompt): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal.aborted) return reject(new Withdrawn());
      const id = this.next++;
      const done = (): void => {
        signal.removeEventListener("abort", withdraw);
        this.queue = this.queue.filter((p) => p.id !== id);
        this.changed();
      };
      const withdraw = (): void => {
        done();
        reject(new Withdrawn());
      };
      signal.addEventListener("abort", withdraw);
      this.queue = [
        ...this.queue,
        make(id, (a) => {
          done();
          resolve(a);
        }),
      ];
      this.changed();
    });
  }

  private changed(): void {
    for (const l of this.listeners) l();
  }
}
