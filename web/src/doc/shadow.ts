import type { ElementReport, ElementWrite } from "./messages";
import { sameValue, type Props, type Value } from "./values";

/**
 * The document's values as plain data on the main thread. A local write shows at once; until the worker has committed it, reports of the
 * same property are older than it and are left out. The worker's answer to the commit then says what the property really is.
 */
export class Shadow {
  // Owned by Page.
  private elements = new Map<string, Props>();
  private readonly pending = new Map<string, number>();

  get(id: string): Readonly<Props> | undefined {
    return this.elements.get(id);
  }

  ids(): IterableIterator<string> {
    return this.elements.keys();
  }

  all(): Readonly<Props>[] {
    return [...this.elements.values()];
  }

  get size(): number {
    return this.elements.size;
  }

  load(elements: Readonly<Record<string, Props>>): void {
    this.elements = new Map(Object.entries(elements));
    this.pending.clear();
  }

  write(writes: readonly ElementWrite[]): void {
    for (const { id, props } of writes) {
      const element = this.elements.get(id) ?? {};
      this.elements.set(id, element);
      for (const [key, value] of Object.entries(props)) {
        element[key] = value;
        const p = register(id, key);
        this.pending.set(p, (this.pending.get(p) ?? 0) + 1);
      }
    }
  }

  /** The worker committed these writes; ids whose value turned out different are returned. */
  committed(writes: readonly ElementWrite[], reports: readonly ElementReport[]): Set<string> {
    for (const { id, props } of writes) {
      for (const key of Object.keys(props)) {
        const p = register(id, key);
        const left = (this.pending.get(p) ?? 0) - 1;
        if (left > 0) this.pending.set(p, left);
        else this.pending.delete(p);
      }
    }
    return this.report(reports);
  }

  /** Takes over what the document says; returns the ids that changed. */
  report(reports: readonly ElementReport[]): Set<string> {
    const changed = new Set<string>();
    for (const { id, props } of reports) {
      let element = this.elements.get(id);
      if (!element) {
        if (Object.values(props).every((v) => v === undefined)) continue;
        this.elements.set(id, (element = {}));
        changed.add(id);
      }
      for (const [key, value] of Object.entries(props)) {
        if (this.pending.has(register(id, key)) || sameValue(element[key], value)) continue;
        if (value === undefined) {
          delete element[key];
        } else element[key] = value satisfies Value;
        changed.add(id);
      }
    }
    return changed;
  }
}

const register = (id: string, key: string) => `${id}\u0000${key}`;
