/** Between the document's values and Excalidraw's elements. Pure. */
import { decodeValue, elementTypes, rules, validID, type AnyElement, type Props } from "../doc/values";

/** An element of the scene. `versionNonce` tells Excalidraw, and the binding, that it is another one. */
export type SceneElement = AnyElement & {
  readonly version: number;
  readonly versionNonce: number;
  readonly index: string | null;
  readonly boundElements: readonly { readonly id: string; readonly type: "arrow" | "text" }[] | null;
};

export const nonce = () => Math.floor(Math.random() * 2 ** 31);

/** What the document says of an element, in Excalidraw's terms; undefined where it cannot be drawn. Bad parts are left out. */
export function decodeElement(id: string, props: Readonly<Props>): Record<string, unknown> | undefined {
  if (typeof props.type !== "string" || !elementTypes.has(props.type)) return undefined;
  const element: Record<string, unknown> = { id, isDeleted: false, ...decodeProps(props) };
  if (props.type === "freedraw" || props.type === "line" || props.type === "arrow") {
    if (!Array.isArray(element.points)) return undefined;
    if (props.type === "freedraw") element.pressures ??= [];
  }
  if (props.type === "text") element.text ??= typeof element.originalText === "string" ? element.originalText : "";
  return element;
}

/** Single properties, without what an element needs around them. */
export function decodeProps(props: Readonly<Props>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(props)) {
    const decoded = decodeValue(key, value);
    const shape = shapes[key];
    if (decoded !== undefined && (decoded === null || !shape || shape(decoded))) out[key] = decoded;
  }
  return out;
}

// The server checks that structured values are JSON objects or lists; what is inside is checked here, before Excalidraw trusts it.
const num = (v: unknown) => typeof v === "number" && Number.isFinite(v);
const rec = (v: unknown): v is Record<string, unknown> => v !== null && typeof v === "object" && !Array.isArray(v);
const pair = (v: unknown) => Array.isArray(v) && v.length === 2 && v.every(num);
const binding = (v: unknown) => rec(v) && typeof v.elementId === "string" && num(v.focus) && num(v.gap) && (v.fixedPoint === undefined || v.fixedPoint === null || pair(v.fixedPoint));
const shapes: Readonly<Record<string, (v: unknown) => boolean>> = {
  roundness: (v) => rec(v) && num(v.type) && (v.value === undefined || num(v.value)),
  startBinding: binding,
  endBinding: binding,
  groupIds: (v) => Array.isArray(v) && v.every((g) => typeof g === "string"),
  scale: pair,
  crop: (v) => rec(v) && ["x", "y", "width", "height", "naturalWidth", "naturalHeight"].every((k) => num(v[k])),
  fixedSegments: (v) => Array.isArray(v) && v.every((s) => rec(s) && pair(s.start) && pair(s.end) && num(s.index)),
};

/** Properties of a live payload that the document could hold as well (docs/protocol.md §5): other people's clients are not trusted. */
export function validProps(map: Readonly<Record<string, unknown>>): Props | undefined {
  if (typeof map.id !== "string" || !validID(map.id)) return undefined;
  const props: Props = {};
  for (const [key, value] of Object.entries(map)) {
    const rule = rules[key];
    if (!rule) continue;
    if (value === null) {
      if (rule.kinds.includes("null")) props[key] = null;
    } else if (typeof value === "number") {
      const inRange = Number.isFinite(value) && value >= (rule.min ?? -Infinity) && value <= (rule.max ?? Infinity);
      if (rule.kinds.includes("number") && inRange && (!rule.numbers || rule.numbers.includes(value))) props[key] = value;
    } else if (typeof value === "boolean") {
      if (rule.kinds.includes("bool")) props[key] = value;
    } else if (typeof value === "string") {
      if ((rule.kinds.includes("string") || rule.kinds.includes("text")) && (!rule.words || rule.words.includes(value))) props[key] = value;
    } else if (value instanceof Uint8Array && rule.kinds.includes("bytes")) props[key] = value;
  }
  return props;
}

/** Drawing order: by index, then id. What has no index yet comes last, in its order. */
export function byIndex(a: SceneElement, b: SceneElement): number {
  if (a.index === b.index) return a.index === null ? 0 : a.id < b.id ? -1 : 1;
  if (a.index === null) return 1;
  if (b.index === null) return -1;
  return a.index < b.index ? -1 : 1;
}

/** Recomputes boundElements, which is not stored: it follows from arrows' bindings and texts' containers. Returns ids that changed. */
export function deriveBound(elements: SceneElement[]): string[] {
  const bound = new Map<string, { id: string; type: "arrow" | "text" }[]>();
  const known = new Set(elements.map((e) => e.id));
  const add = (to: unknown, what: { id: string; type: "arrow" | "text" }) => {
    if (typeof to !== "string" || !known.has(to)) return;
    const list = bound.get(to) ?? [];
    bound.set(to, list);
    if (!list.some((b) => b.id === what.id)) list.push(what);
  };
  for (const e of elements) {
    if (e.isDeleted) continue;
    if (e.type === "arrow") {
      for (const end of [e.startBinding, e.endBinding]) add((end as { elementId?: unknown } | null | undefined)?.elementId, { id: e.id, type: "arrow" });
    }
    if (e.type === "text") add(e.containerId, { id: e.id, type: "text" });
  }
  const changed: string[] = [];
  elements.forEach((e, i) => {
    const want = bound.get(e.id) ?? [];
    const have = e.boundElements ?? [];
    if (want.length === have.length && want.every((w) => have.some((h) => h.id === w.id && h.type === w.type))) return;
    elements[i] = { ...e, boundElements: want.length > 0 ? want : null, version: e.version + 1, versionNonce: nonce() };
    changed.push(e.id);
  });
  return changed;
}

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/**
 * An index that two people who add an element at the same moment will hardly share: fractional indices are computed, so without this both
 * get the same one, and every client then repairs the order. Three base-62 characters; the last is not 0, which no valid index ends in.
 * `above` is the next index in the order, which stays above.
 */
export function jitterIndex(index: string, above: string | undefined, random: () => number = Math.random): string {
  const digit = (from: number) => DIGITS[from + Math.floor(random() * (62 - from))]!;
  const jittered = index + digit(0) + digit(0) + digit(1);
  return above === undefined || jittered < above ? jittered : index;
}
