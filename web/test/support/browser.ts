import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import { vi } from "vitest";
import type { ElementWrite } from "../../src/doc/messages";
import { Vault } from "../../src/link/vault";

type Writes = readonly ElementWrite[];
type Held = (lock: Lock | null) => unknown;

/** One person's browser: a store and locks that all its tabs share. */
export class Browser {
  readonly held = new Map<string, Tab>();
  readonly queue: { name: string; tab: Tab; held: Held; resolve: (v: unknown) => void }[] = [];
  private readonly store = new IDBFactory();

  /** Makes it the browser that the page runs in. */
  install(): this {
    vi.stubGlobal("indexedDB", this.store);
    vi.stubGlobal("IDBKeyRange", IDBKeyRange);
    return this;
  }

  tab(): Tab {
    return new Tab(this);
  }

  async rows(...prefix: string[]) {
    const vault = await Vault.open<Writes>(() => undefined);
    return vault.read(...prefix);
  }
}

/** What one tab of it gives to the board: Web Locks as far as they are used. */
export class Tab {
  constructor(private readonly browser: Browser) {}

  readonly open = (lost: () => void) => Vault.open<Writes>(lost);

  readonly locks = {
    request: (name: string, options: LockOptions, held: Held): Promise<unknown> =>
      new Promise((resolve) => {
        if (!this.browser.held.has(name)) {
          this.browser.held.set(name, this);
          resolve(held({ name, mode: "exclusive" }));
        } else if (options.ifAvailable) resolve(held(null));
        else this.browser.queue.push({ name, tab: this, held, resolve });
      }),
  } as unknown as LockManager;

  /** The tab is gone, and its locks are free. */
  die(): void {
    for (const [name, tab] of this.browser.held) if (tab === this) this.browser.held.delete(name);
  }
}
