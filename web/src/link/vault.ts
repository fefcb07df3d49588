/** This browser's store of work that is not known to be at the server (IndexedDB). It knows rows and transactions, and nothing of what they mean. */

/** Whose work on which board, under which actor, in its author's order. */
export type Key = readonly [person: string, board: string, actor: string, order: number];

/** One gesture. */
export interface Row<W> {
  readonly doc: string;
  readonly epoch: number;
  readonly chunks: readonly Uint8Array[];
  /** What it wrote, for authoring it anew. */
  readonly writes: W;
  /** Unix ms. */
  readonly at: number;
}

const OPEN_MS = 5_000;
const ROWS = "unsent";

export class Vault<W> {
  private constructor(private readonly db: IDBDatabase) {}

  /** Rejects where the browser refuses: no such thing, private mode, full, blocked by another tab, or written by a newer version of this page. `lost`: later on. */
  static open<W>(lost: () => void): Promise<Vault<W>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("IndexedDB does not answer")), OPEN_MS);
      const request = indexedDB.open("lectern", 1);
      request.onupgradeneeded = () => request.result.createObjectStore(ROWS).createIndex("at", "at");
      request.onblocked = () => reject(new Error("IndexedDB is blocked by another tab"));
      request.onerror = () => reject(request.error ?? new Error("IndexedDB was refused"));
      request.onsuccess = () => {
        clearTimeout(timer);
        const db = request.result;
        db.onversionchange = () => {
          db.close(); // a newer page wants it
          lost();
        };
        db.onclose = lost;
        resolve(new Vault(db));
      };
    });
  }

  /** All or nothing. */
  write(put: readonly (readonly [Key, Row<W>])[], remove: readonly Key[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const tx = this.db.transaction(ROWS, "readwrite");
      tx.oncomplete = () => resolve();
      tx.onabort = () => reject(tx.error ?? new Error("the transaction was aborted"));
      const rows = tx.objectStore(ROWS);
      for (const key of remove) rows.delete([...key]);
      for (const [key, row] of put) rows.put(row, [...key]);
      tx.commit?.(); // goes through even if the page ends now
    });
  }

  /** Rows whose keys begin like this, in order. */
  async read(...prefix: string[]): Promise<[Key, Row<W>][]> {
    const rows = this.rows();
    const range = within(prefix);
    const [keys, values] = await Promise.all([answer(rows.getAllKeys(range)), answer(rows.getAll(range))]);
    return keys.map((key, i) => [key as unknown as Key, values[i] as Row<W>]);
  }

  async keys(...prefix: string[]): Promise<Key[]> {
    return (await answer(this.rows().getAllKeys(within(prefix)))) as unknown as Key[];
  }

  async olderThan(at: number): Promise<Key[]> {
    return (await answer(this.rows().index("at").getAllKeys(IDBKeyRange.upperBound(at)))) as unknown as Key[];
  }

  private rows(): IDBObjectStore {
    return this.db.transaction(ROWS).objectStore(ROWS);
  }
}

const within = (prefix: readonly string[]) => IDBKeyRange.bound([...prefix], [...prefix, []]); // a list is greater than any text or number

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB did not answer"));
  });
}
