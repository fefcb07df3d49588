/**
 * Keeps Excalidraw's scene and the document in step. Three rules are load-bearing (SPEC WG20-WG23):
 * a local change is the difference to what was last *rendered* (base), not to the present document;
 * what the user holds, or has changed and not yet committed, is not touched by others' changes until that is done (stale);
 * nothing is committed while something is in progress.
 */
import type { ElementWrite } from "../doc/messages";
import type { Shadow } from "../doc/shadow";
import { encodeElement, sameValue, TEXT, type Props } from "../doc/values";
import { Reversals } from "./reversal";
import { byIndex, decodeElement, decodeProps, deriveBound, jitterIndex, nonce, type SceneElement } from "./element";

/** Excalidraw as the binding needs it; simulated in tests. */
export interface Scene {
  /** All elements, deleted ones too, in drawing order. */
  elements(): readonly SceneElement[];
  /** Shows these elements. Must not enter the undo history. */
  replace(elements: readonly SceneElement[]): void;
  /** Ids in the user's hands: drawn, dragged, resized, typed into now. */
  held(): ReadonlySet<string>;
  /** Fills in what Excalidraw wants and the document does not have. */
  complete(element: Record<string, unknown>): SceneElement | undefined;
}

/** The document side: Page, or a fake. */
export interface Target {
  readonly shadow: Pick<Shadow, "get" | "ids">;
  commit(writes: readonly ElementWrite[]): void;
}

export interface BindingOptions {
  /** Off only in the test that must fail without it. */
  readonly holdElements?: boolean;
  readonly random?: () => number;
  /** Elements that boards cannot hold were taken out of the scene. */
  readonly unsupported?: (types: ReadonlySet<string>) => void;
}

export class Binding {
  // Owned by the page's one thread.
  private readonly seen = new Map<string, number>(); // id -> versionNonce last told to the document or taken from it
  private readonly base = new Map<string, Props>(); // id -> document values last rendered
  private readonly stale = new Set<string>(); // changed by others while held
  private readonly ghosts = new Set<string>(); // shown from the live lane, not in the document
  private readonly overlay = new Map<string, Props>(); // live values shown over an element of the document
  private readonly tidied = new Map<string, number>(); // id -> when it was last put into canonical form
  private readonly reversals = new Reversals();
  private rendering = false;

  constructor(
    private readonly scene: Scene,
    private readonly target: Target,
    private readonly options: BindingOptions = {},
  ) {}

  /** Elements that differ from what the document was last told, and are the user's own doing. */
  dirty(elements: readonly SceneElement[]): SceneElement[] {
    return elements.filter((e) => this.seen.get(e.id) !== e.versionNonce && !this.ghosts.has(e.id));
  }

  /** Writes what the user did since the last call as one gesture. Call it when nothing is in progress. Returns whether anything was written. */
  commit(elements: readonly SceneElement[]): boolean {
    if (this.rendering) return false;
    const dirty = this.dirty(elements);
    const writes: ElementWrite[] = [];
    const changed = new Map<string, SceneElement | undefined>(); // undefined: take it out of the scene
    const refused = new Set<string>();
    for (const e of dirty) {
      this.seen.set(e.id, e.versionNonce);
      const write = this.difference(e, elements);
      if (write === "unsupported") {
        refused.add(e.type);
        changed.set(e.id, undefined);
      } else if (write) {
        writes.push(write);
        this.base.set(e.id, { ...this.base.get(e.id), ...write.props });
      }
      const base = this.base.get(e.id);
      const canonical = write !== "unsupported" && base && !this.overlay.has(e.id) && !this.stale.has(e.id) && this.canonical(e, base, write !== undefined);
      if (canonical) changed.set(e.id, canonical);
    }
    this.target.commit(writes);
    const stale = [...this.stale];
    this.stale.clear();
    const lost = elements.length < this.base.size ? [...this.base.keys()].filter((id) => !elements.some((e) => e.id === id)) : [];
    // What hangs on what is derived for the user's own doing too: the editor's undo gives an arrow its shape back, and not always the shape its arrow.
    const hangs = dirty.some((e) => e.type === "arrow" || e.type === "text" || (e.boundElements?.length ?? 0) > 0) && deriveBound([...elements]).length > 0;
    if (changed.size > 0 || stale.length > 0 || lost.length > 0 || hangs) this.render([...stale, ...lost], changed, hangs);
    if (refused.size > 0) this.options.unsupported?.(refused);
    return writes.length > 0;
  }

  /**
   * The user may not write, so what the editor changed by itself (repaired indices, texts laid out anew) is no work of theirs: others' goes over
   * it. What they had in the hand when the right was taken from them goes.
   */
  disown(elements: readonly SceneElement[]): void {
    for (const e of this.dirty(elements)) this.seen.set(e.id, e.versionNonce);
    const stale = [...this.stale];
    this.stale.clear();
    const loose = elements.filter((e) => !this.base.has(e.id) && !this.ghosts.has(e.id));
    if (stale.length + loose.length > 0) this.render(stale, new Map(loose.map((e) => [e.id, undefined])));
  }

  /** The document changed under these ids. */
  remote(ids: Iterable<string>): void {
    const list = [...ids];
    for (const id of list) this.overlay.delete(id); // the real thing is here
    this.render(list);
  }

  /**
   * The document was replaced: shows exactly what it holds, besides what the user is drawing just now. What is the same is not touched. Of more
   * than `most` elements the topmost are shown (a new one finds its place above them), and the others answered, for remote().
   */
  reload(most = Infinity): string[] {
    const { shadow } = this.target;
    const gone = new Map<string, undefined>();
    for (const [id, base] of this.base) {
      if (shadow.get(id)) continue;
      this.base.delete(id);
      if (base.isDeleted === true) continue; // a squash forgets what was erased; the editor does not, because undo may make it again
      this.seen.delete(id);
      gone.set(id, undefined);
    }
    for (const id of this.ghosts) if (!shadow.get(id)) gone.set(id, undefined);
    for (const id of gone.keys()) this.ghosts.delete(id);
    const changed = [...shadow.ids()].filter((id) => this.overlay.has(id) || !sameProps(this.base.get(id), shadow.get(id)!));
    this.overlay.clear();
    const place = (id: string) => String(shadow.get(id)?.index ?? "~");
    const rest = changed.length > most ? changed.sort((a, b) => (place(a) < place(b) ? 1 : -1)).splice(most) : [];
    this.render(changed, gone);
    return rest;
  }

  /** Shows elements that others are drawing or moving now; replaces what was shown before. They never reach the document or the undo history. */
  showLive(all: ReadonlyMap<string, Props>): void {
    // Not a text that somebody is typing into: who types into it as well would begin with words that are not in the document, and write them.
    const live = new Map([...all].filter(([id, props]) => !(TEXT in props && this.target.shadow.get(id))));
    const held = this.scene.held();
    const changed = new Map<string, SceneElement | undefined>();
    const back: string[] = [];
    for (const id of this.ghosts) {
      if (live.has(id)) continue;
      this.ghosts.delete(id);
      this.seen.delete(id);
      changed.set(id, undefined);
    }
    for (const id of [...this.overlay.keys()]) {
      if (live.has(id)) continue;
      this.overlay.delete(id);
      back.push(id);
    }
    const scene = new Map(this.scene.elements().map((e) => [e.id, e]));
    for (const [id, values] of live) {
      const inDocument = this.target.shadow.get(id);
      if (held.has(id) || (!inDocument && this.base.has(id))) continue;
      const { index: _index, isDeleted: _deleted, ...props } = values;
      if (inDocument) {
        const old = scene.get(id);
        if (!old || old.isDeleted || this.uncommitted(old)) continue;
        const decoded = decodeElement(id, { ...inDocument, ...props });
        if (!decoded) continue;
        this.overlay.set(id, props);
        changed.set(id, { ...old, ...decoded, index: old.index, version: old.version + 1, versionNonce: nonce() } as SceneElement);
      } else {
        const decoded = decodeElement(id, props);
        const ghost = decoded && this.scene.complete({ ...decoded, locked: true });
        if (!ghost) continue;
        this.ghosts.add(id);
        changed.set(id, { ...ghost, index: scene.get(id)?.index ?? null, versionNonce: nonce() });
      }
    }
    if (changed.size > 0 || back.length > 0) this.render(back, changed);
  }

  /** Elements that others changed while the user holds them or before the user's own change was committed. */
  get waiting(): number {
    return this.stale.size;
  }

  /** The values of an element that differ from the document, for the live lane. */
  inProgress(e: SceneElement): Props | undefined {
    const props = encodeElement(e);
    const base = this.base.get(e.id);
    if (!props || !base) return props;
    const changed: Props = { type: props.type! };
    for (const [key, value] of Object.entries(props)) if (!sameValue(base[key] ?? null, value)) changed[key] = value;
    return changed;
  }

  /** Changed by the user, and the document has not heard of it: Excalidraw tells of a change some time after making it. */
  private uncommitted(e: SceneElement | undefined): boolean {
    return this.options.holdElements !== false && e !== undefined && this.base.has(e.id) && this.seen.get(e.id) !== e.versionNonce;
  }

  private difference(e: SceneElement, elements: readonly SceneElement[]): ElementWrite | "unsupported" | undefined {
    const base = this.base.get(e.id);
    const props = e.type === "image" && !base ? undefined : encodeElement(e);
    if (!props) return e.isDeleted || isUnfinished(e) ? undefined : "unsupported";
    if (!base) {
      if (e.isDeleted) return undefined; // made and taken back before anybody saw it
      if (typeof props.index === "string") {
        const at = elements.indexOf(e);
        const above = elements.slice(at + 1).find((o) => o.index !== null)?.index ?? undefined;
        props.index = jitterIndex(props.index, above, this.options.random);
      }
      const given = Object.entries(props).filter(([, value]) => value !== null); // what is missing reads as null
      return { id: e.id, create: true, props: Object.fromEntries(given) };
    }
    const overlay = this.overlay.get(e.id);
    const changed: Props = {};
    for (const [key, value] of Object.entries(props)) {
      if (sameValue(base[key] ?? null, value)) continue;
      if (overlay && key in overlay && sameValue(overlay[key], value)) continue; // somebody else's move, only shown here
      changed[key] = value;
    }
    if (Object.keys(changed).length === 0) return undefined;
    const [before, after] = [base[TEXT], changed[TEXT]];
    if (typeof before !== "string" || typeof after !== "string") return { id: e.id, create: false, props: changed };
    const meant = this.reversals.edit(e.id, before, after);
    if (meant.base !== before || meant.wanted !== after) this.stale.add(e.id); // shown as it comes out, not as the editor has it
    return { id: e.id, create: false, props: { ...changed, [TEXT]: meant.wanted }, textBase: meant.base };
  }

  /**
   * The element as everybody else sees it, if that differs from the author's: rounded, thinned, with its final index. Excalidraw also
   * recomputes sizes by itself (undo, bound arrows) to values that round to the same; those are put back at most once a second, so that no
   * loop can come of it.
   */
  private canonical(e: SceneElement, base: Readonly<Props>, written: boolean): SceneElement | undefined {
    const decoded = decodeProps(base);
    const differs = Object.keys(base).some((k) => k !== TEXT && JSON.stringify(decoded[k]) !== JSON.stringify(e[k] ?? null));
    if (!differs || (!written && Date.now() - (this.tidied.get(e.id) ?? 0) < TIDY_MS)) return undefined;
    this.tidied.set(e.id, Date.now());
    return { ...e, ...decoded, version: e.version + 1, versionNonce: nonce() } as SceneElement;
  }

  private render(ids: Iterable<string>, changed: Map<string, SceneElement | undefined> = new Map(), bindings = false): void {
    const held = this.options.holdElements === false ? none : this.scene.held();
    const map = new Map(this.scene.elements().map((e) => [e.id, e]));
    let touched = changed.size > 0 || bindings;
    for (const [id, element] of changed) {
      if (element) map.set(id, element);
      else map.delete(id);
      if (element) this.seen.set(id, element.versionNonce);
    }
    for (const id of ids) {
      if (held.has(id) || this.uncommitted(map.get(id))) {
        this.stale.add(id);
        continue;
      }
      const props = this.target.shadow.get(id);
      const element = props && this.element(id, props, this.ghosts.has(id) ? undefined : map.get(id));
      if (!element) continue;
      this.ghosts.delete(id);
      this.stale.delete(id);
      map.set(id, element);
      this.seen.set(id, element.versionNonce);
      this.base.set(id, { ...props });
      touched = true;
      bindings ||= element.type === "arrow" || element.type === "text" || element.boundElements === null;
    }
    if (!touched) return;
    const sorted = [...map.values()].sort(byIndex);
    if (bindings) for (const id of deriveBound(sorted)) this.seen.set(id, sorted.find((e) => e.id === id)!.versionNonce);
    this.rendering = true; // Excalidraw may call onChange from inside
    try {
      this.scene.replace(sorted);
    } finally {
      this.rendering = false;
    }
  }

  private element(id: string, props: Readonly<Props>, old: SceneElement | undefined): SceneElement | undefined {
    const decoded = decodeElement(id, props);
    if (!decoded) return undefined;
    mergeText(decoded);
    if (old) return { ...old, ...decoded, version: old.version + 1, versionNonce: nonce() } as SceneElement;
    const complete = this.scene.complete({ ...decoded, version: 1, versionNonce: nonce() });
    return complete && ({ ...complete, ...decoded, index: (decoded.index as string | undefined) ?? null, versionNonce: nonce() } as SceneElement);
  }
}

/** `text` is a register and holds one of two concurrent edits; `originalText` holds both. Free text shows the latter. */
function mergeText(e: Record<string, unknown>): void {
  if (e.type !== "text" || typeof e.originalText !== "string" || typeof e.text !== "string") return;
  const letters = (s: string) => s.replace(/\s+/g, "");
  if (letters(e.text) !== letters(e.originalText)) e.text = e.originalText;
}

function sameProps(a: Readonly<Props> | undefined, b: Readonly<Props>): boolean {
  if (!a) return false;
  return Object.keys({ ...a, ...b }).every((key) => sameValue(a[key] ?? null, b[key] ?? null));
}

function isUnfinished(e: SceneElement): boolean {
  return Array.isArray(e.points) && e.points.length === 0;
}

const TIDY_MS = 1_000;
const none: ReadonlySet<string> = new Set();
