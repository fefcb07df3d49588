/**
 * How an element's properties look in the document. The table is the server's grammar (crdt/schema): what it does not know is refused
 * there, so nothing else is written here.
 */
import grammar from "../../../crdt/schema/testdata/properties.json";
import { packPoints, unpackPoints, type Point } from "./points";

/** A property as the document holds it. Structured ones are "\u0000" + JSON; points and pressures are bytes. */
export type Value = string | number | boolean | null | Uint8Array;
export type Props = Record<string, Value>;

interface Rule {
  readonly kinds: readonly string[];
  readonly min?: number;
  readonly max?: number;
  readonly whole?: boolean;
  readonly numbers?: readonly number[];
  readonly words?: readonly string[];
  readonly format?: string;
  readonly maxBytes?: number;
  readonly maxChars?: number;
}

export const rules: Readonly<Record<string, Rule>> = grammar.properties;
export const elementTypes: ReadonlySet<string> = new Set(grammar.types);
export const notStored: ReadonlySet<string> = new Set(grammar.notStored);
export const TEXT = "originalText";
/** Room for points and pressures together, so that one stroke is one change of at most 32 KiB. */
const STROKE_BYTES = 28_000;
const patterns: Record<string, RegExp> = Object.fromEntries(
  Object.entries(grammar.formats).flatMap(([name, p]) => (p.startsWith("^") ? [[name, new RegExp(p)]] : [])),
);
const refusedIDs = new Set(grammar.ids.refused);
const COORDINATES = new Set(["x", "y", "width", "height"]);

export function validID(id: string): boolean {
  return patterns.id!.test(id) && !refusedIDs.has(id);
}

/** The document's form of a property, or undefined where it has none: unknown property, or a value that the grammar would refuse. */
export function encodeValue(key: string, value: unknown): Value | undefined {
  const rule = rules[key];
  if (!rule || value === undefined) return undefined;
  const nullable = rule.kinds.includes("null");
  if (value === null) return nullable ? null : undefined;
  const fallback = nullable ? null : undefined;
  if (key === "points") return packPoints(value as Point[]);
  if (key === "pressures") return Uint8Array.from(value as number[], (p) => Math.max(0, Math.min(255, Math.round(p * 255))));
  switch (typeof value) {
    case "boolean":
      return rule.kinds.includes("bool") ? value : fallback;
    case "number":
      return rule.kinds.includes("number") ? encodeNumber(key, value, rule) : fallback;
    case "string":
      return encodeString(value, rule) ?? fallback;
    case "object": {
      const array = Array.isArray(value);
      if (rule.format !== (array ? "json-array" : "json-object")) return fallback;
      const text = `\u0000${JSON.stringify(value)}`;
      return byteLength(text) <= (rule.maxBytes ?? Infinity) ? text : fallback;
    }
    default:
      return fallback;
  }
}

function encodeNumber(key: string, value: number, rule: Rule): number | undefined {
  if (!Number.isFinite(value)) return undefined;
  let n = rule.whole ? Math.round(value) : COORDINATES.has(key) ? Math.round(value * 100) / 100 : value;
  n = Math.max(rule.min ?? -Infinity, Math.min(rule.max ?? Infinity, n));
  if (rule.numbers && !rule.numbers.includes(n)) return undefined;
  return n + 0; // -0 becomes 0
}

function encodeString(value: string, rule: Rule): string | undefined {
  if (rule.kinds.includes("text") || rule.maxChars !== undefined) return cutText(value, rule.maxChars ?? Infinity, rule.maxBytes ?? 31_000);
  if (!rule.kinds.includes("string")) return undefined;
  if (rule.words) return rule.words.includes(value) ? value : undefined;
  const pattern = rule.format ? patterns[rule.format] : undefined;
  if (rule.format?.startsWith("json") || (pattern && !pattern.test(value))) return undefined;
  if (rule.format === undefined) return cutText(value, Infinity, rule.maxBytes ?? Infinity);
  return byteLength(value) <= (rule.maxBytes ?? Infinity) ? value : undefined;
}

/** Text within the document's limits; lone surrogates, which are no Unicode text, become U+FFFD. */
function cutText(text: string, chars: number, bytes: number): string {
  const whole = text.isWellFormed?.() === false ? text.toWellFormed() : text;
  if (whole.length <= chars && whole.length * 3 <= bytes) return whole;
  let out = "";
  let size = 0;
  let n = 0;
  for (const c of whole) {
    size += byteLength(c);
    if (++n > chars || size > bytes) break;
    out += c;
  }
  return out;
}

/** What Excalidraw takes for a property of the document, or undefined where the value cannot be read. */
export function decodeValue(key: string, value: Value): unknown {
  if (value instanceof Uint8Array) {
    if (key === "points") return unpackPoints(value);
    return key === "pressures" ? Array.from(value, (p) => p / 255) : undefined;
  }
  if (typeof value === "string" && value.startsWith("\u0000")) {
    try {
      return JSON.parse(value.slice(1)) as unknown;
    } catch {
      return undefined;
    }
  }
  return value;
}

export type AnyElement = Readonly<Record<string, unknown>> & { readonly id: string; readonly type: string; readonly isDeleted: boolean };

/** All stored properties of an element; undefined for one that the document cannot hold (embeds, and strokes without points). */
export function encodeElement(element: AnyElement): Props | undefined {
  if (!elementTypes.has(element.type) || !validID(element.id)) return undefined;
  const e = thin(element);
  if (Array.isArray(e.points) && e.points.length === 0) return undefined;
  const props: Props = {};
  for (const key of Object.keys(rules)) {
    const value = encodeValue(key, e[key]);
    if (value !== undefined) props[key] = value;
  }
  return props;
}

/** Drops every second point until a stroke fits into one change: that is minutes of drawing without lifting the pen. */
function thin(element: AnyElement): AnyElement {
  let e = element;
  while (Array.isArray(e.points) && e.points.length > STROKE_BYTES / 8) {
    const points = e.points as Point[];
    const pressures = Array.isArray(e.pressures) ? (e.pressures as number[]) : [];
    if (packPoints(points).length + pressures.length <= STROKE_BYTES) break;
    const keep = (_: unknown, i: number) => i % 2 === 0 || i === points.length - 1;
    e = { ...e, points: points.filter(keep), ...(pressures.length ? { pressures: pressures.filter(keep) } : {}) };
  }
  return e;
}

export function sameValue(a: Value | undefined, b: Value | undefined): boolean {
  if (a === b) return true;
  if (!(a instanceof Uint8Array) || !(b instanceof Uint8Array) || a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

const encoder = new TextEncoder();
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}
