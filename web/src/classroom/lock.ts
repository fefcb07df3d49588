/** One tab at a time uses this browser's device: two would corrupt each other's encryption keys. */

export interface Held {
  release(): void;
  /** Resolves when another tab took over. Never otherwise. */
  readonly lost: Promise<void>;
}

const NAME = "lectern.classroom.device";

/** Takes the lock; null if another tab holds it and `steal` is false. Where the browser has no locks, everybody gets it. */
export function acquire(steal: boolean): Promise<Held | null> {
  if (!("locks" in navigator)) return Promise.resolve({ release: () => {}, lost: new Promise(() => {}) });
  return new Promise((resolve, reject) => {
    let release = (): void => {};
    let lose = (): void => {};
    const lost = new Promise<void>((r) => (lose = r));
    const until = new Promise<void>((r) => (release = r));
    navigator.locks
      .request(NAME, steal ? { steal: true } : { ifAvailable: true }, (lock) => {
        if (!lock) {
          resolve(null);
          return undefined;
        }
        resolve({ release, lost });
        return until;
      })
      .catch((err: unknown) => {
        if (err instanceof DOMException && err.name === "AbortError") lose();
        else reject(err instanceof Error ? err : new Error(String(err)));
      });
  });
}
