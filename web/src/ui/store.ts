/** A value with listeners, for React's useSyncExternalStore. Updates replace it. */
export class Store<T extends object> {
  private readonly listeners = new Set<() => void>();
  constructor(private value: T) {}

  readonly get = (): T => this.value;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  set(change: Partial<T>): void {
    if (Object.entries(change).every(([k, v]) => this.value[k as keyof T] === v)) return;
    this.value = { ...this.value, ...change };
    for (const listener of this.listeners) listener();
  }
}
