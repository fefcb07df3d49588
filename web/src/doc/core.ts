/** The Automerge document of one page: the only place that calls Automerge. Runs in the worker; tests run it directly. */
import * as A from "@automerge/automerge/slim";
import type { ElementReport, ElementWrite } from "./messages";
import { splitWrites, type Unit } from "./split";
import { TEXT, type Props, type Value } from "./values";

interface PageDoc {
  v: number;
  elements: Record<string, Record<string, unknown>>;
  files: Record<string, unknown>;
}

const hex = (bytes: Uint8Array) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

/** The first four bytes of a change's hash stand in its header; with the length it tells two changes of one document apart. */
const checksum = (change: Uint8Array) => `${hex(change.subarray(4, 8))}:${change.length}:${hex(change.subarray(-8))}`;

export class PageDocument {
  private doc: A.Doc<PageDoc>;

  /** Throws when the bytes are no document. An empty actor is for people who only watch. */
  constructor(bytes: Uint8Array, actor: Uint8Array) {
    this.doc = A.load<PageDoc>(bytes, actor.length > 0 ? { actor: hex(actor) } : {});
  }

  /** Goes on under another actor. */
  setActor(actor: Uint8Array): void {
    if (actor.length > 0 && A.getActorId(this.doc) !== hex(actor)) this.doc = A.clone(this.doc, { actor: hex(actor) });
  }

  /** Applies changes and tells what they changed; applying one twice does nothing. Throws on what the engine refuses. */
  apply(changes: readonly Uint8Array[]): ElementReport[] {
    const touched = new Map<string, Set<string>>();
    const patchCallback = (patches: A.Patch[]) => {
      for (const { path } of patches) {
        if (path[0] !== "elements" || path.length < 2) continue;
        const id = String(path[1]);
        const keys = touched.get(id) ?? new Set();
        touched.set(id, keys);
        if (path.length > 2) keys.add(String(path[2]));
      }
    };
    [this.doc] = A.applyChanges(this.doc, [...changes], { patchCallback });
    return [...touched].map(([id, keys]) => this.report(id, keys));
  }

  /** Writes one gesture as one or more changes, each within the server's limits. */
  commit(writes: readonly ElementWrite[]): { changes: Uint8Array[]; elements: ElementReport[] } {
    const changes: Uint8Array[] = [];
    for (const group of splitWrites(writes, (id) => this.doc.elements[id] !== undefined, (id) => this.text(id))) {
      const before = this.doc;
      this.doc = A.change(this.doc, { time: 0 }, (d) => group.forEach((unit) => perform(d, unit)));
      const change = this.doc === before ? undefined : A.getLastLocalChange(this.doc);
      if (change) changes.push(change);
    }
    return { changes, elements: writes.map((w) => this.report(w.id, Object.keys(w.props))) };
  }

  /** Every element with its winning values. */
  elements(): Record<string, Props> {
    const all: Record<string, Props> = {};
    for (const [id, element] of Object.entries(this.doc.elements)) {
      const props: Props = {};
      for (const key of Object.keys(element)) {
        const value = plain(element[key]);
        if (value !== undefined) props[key] = value;
      }
      all[id] = props;
    }
    return all;
  }

  heads(): string[] {
    return [...A.getHeads(this.doc)].sort();
  }

  changeCount(): number {
    return A.stats(this.doc).numChanges;
  }

  /** Changes by these actors (hex) that `other` has and this document lacks, in an order in which they apply. */
  missing(other: PageDocument, actors: readonly string[]): Uint8Array[] {
    const mine = new Set(actors);
    const have = new Set(A.getAllChanges(this.doc).map(checksum));
    return A.getAllChanges(other.doc).filter((c) => !have.has(checksum(c)) && mine.has(A.decodeChange(c).actor));
  }

  private text(id: string): string | undefined {
    const value = this.doc.elements[id]?.[TEXT];
    return typeof value === "string" ? value : undefined;
  }

  private report(id: string, keys: Iterable<string>): ElementReport {
    const element = this.doc.elements[id];
    const props: Record<string, Value | undefined> = {};
    for (const key of keys) props[key] = element ? plain(element[key]) : undefined;
    return { id, props };
  }
}

function perform(d: PageDoc, unit: Unit): void {
  switch (unit.type) {
    case "make": {
      const element: Record<string, unknown> = {};
      for (const [key, value] of Object.entries(unit.props)) element[key] = stored(key, value);
      d.elements[unit.id] = element;
      return;
    }
    case "put": {
      const element = d.elements[unit.id];
      if (element) element[unit.key] = stored(unit.key, unit.value);
      return;
    }
    case "text":
      A.splice(d as A.Doc<PageDoc>, ["elements", unit.id, TEXT], unit.at, unit.remove, unit.insert);
  }
}

/** Every string but originalText is one register, not collaborative text. */
function stored(key: string, value: Value): unknown {
  return typeof value === "string" && key !== TEXT ? new A.ImmutableString(value) : value;
}

function plain(value: unknown): Value | undefined {
  if (A.isImmutableString(value)) return value.val;
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  return value instanceof Uint8Array ? value : undefined;
}
