/** Small persistent memory that works, for as long as the page lives, where the browser refuses storage. */
export interface Memory {
  get(key: string): string | null;
  set(key: string, value: string): void;
  remove(key: string): void;
  keys(): string[];
  /** False where nothing survives a reload. */
  readonly durable: boolean;
}

const PREFIX = "lectern.classroom.";

export function mapMemory(): Memory {
  const map = new Map<string, string>();
  return {
    durable: false,
    get: (key) => map.get(key) ?? null,
    set: (key, value) => void map.set(key, value),
    remove: (key) => void map.delete(key),
    keys: () => [...map.keys()],
  };
}

/** localStorage under our own prefix, or plain memory if the browser refuses it. */
export function openMemory(): Memory {
  try {
    const store = window.localStorage;
    store.setItem(`${PREFIX}probe`, "1");
    store.removeItem(`${PREFIX}probe`);
    return {
      durable: true,
      get: (key) => store.getItem(PREFIX + key),
      set: (key, value) => {
        try {
          store.setItem(PREFIX + key, value);
        } catch {
          // Full storage: the choice is asked again next time, nothing of the user's work depends on it.
        }
      },
      remove: (key) => store.removeItem(PREFIX + key),
      keys: () =>
        Array.from({ length: store.length }, (_, i) => store.key(i) ?? "")
          .filter((k) => k.startsWith(PREFIX))
          .map((k) => k.slice(PREFIX.length)),
    };
  } catch {
    return mapMemory();
  }
}
