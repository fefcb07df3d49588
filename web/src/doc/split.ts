/** Cutting a gesture into changes that the server takes: at most 32 KiB and 5,000 operations each (docs/protocol.md §2.1, §4). */
import type { ElementWrite } from "./messages";
import { TEXT, byteLength, type Props, type Value } from "./values";

export type Unit =
  | { readonly type: "make"; readonly id: string; readonly props: Props }
  | { readonly type: "put"; readonly id: string; readonly key: string; readonly value: Value }
  /** A splice of originalText in UTF-16 units. */
  | { readonly type: "text"; readonly id: string; readonly at: number; readonly remove: number; readonly insert: string };

// Estimates are upper bounds, so the sums stay well below the real limits.
const MAX_OPS = 4_000;
const MAX_BYTES = 24_000;
const OP_BYTES = 24;
/** Values above this go into a change of their own. */
const LARGE = 6_000;
const TEXT_STEP = 1_500;

/** Groups of units, each one change. `exists` and `text` describe the document before the gesture. */
export function splitWrites(writes: readonly ElementWrite[], exists: (id: string) => boolean, text: (id: string) => string | undefined): Unit[][] {
  const groups: Unit[][] = [];
  let group: Unit[] = [];
  let ops = 0;
  let bytes = 0;
  const made = new Set<string>();
  const add = (unit: Unit) => {
    const [o, b] = cost(unit);
    if (group.length > 0 && (ops + o > MAX_OPS || bytes + b > MAX_BYTES)) {
      groups.push(group);
      [group, ops, bytes] = [[], 0, 0];
    }
    group.push(unit);
    ops += o;
    bytes += b;
  };
  for (const write of writes) {
    const isNew = !exists(write.id) && !made.has(write.id);
    if (isNew && !write.create) continue; // nobody knows this element: there is nothing to write to
    const { [TEXT]: wanted, ...rest } = write.props;
    const later: [string, Value][] = [];
    if (isNew) {
      const first: Props = {};
      for (const [key, value] of Object.entries(rest)) {
        if (size(value) > LARGE) later.push([key, value]);
        else first[key] = value;
      }
      if (typeof wanted === "string") first[TEXT] = "";
      add({ type: "make", id: write.id, props: first });
      made.add(write.id);
    } else later.push(...Object.entries(rest));
    for (const [key, value] of later) add({ type: "put", id: write.id, key, value });
    if (typeof wanted === "string") {
      const now = isNew ? "" : text(write.id);
      if (now === undefined) add({ type: "put", id: write.id, key: TEXT, value: "" });
      for (const splice of rebase(write.textBase ?? now ?? "", wanted, now ?? "")) for (const s of steps(splice)) add({ type: "text", id: write.id, ...s });
    }
  }
  if (group.length > 0) groups.push(group);
  return groups;
}

interface Splice {
  readonly at: number;
  readonly remove: number;
  readonly insert: string;
}

/** The one span in which two texts differ. Surrogate pairs stay whole. */
export function difference(from: string, to: string): Splice | undefined {
  if (from === to) return undefined;
  const most = Math.min(from.length, to.length);
  let start = 0;
  while (start < most && from[start] === to[start]) start++;
  if (start > 0 && isHigh(from, start - 1)) start--;
  let end = 0;
  while (end < most - start && from[from.length - 1 - end] === to[to.length - 1 - end]) end++;
  if (end > 0 && (isLow(from, from.length - end) || isLow(to, to.length - end))) end--;
  return { at: start, remove: from.length - start - end, insert: to.slice(start, to.length - end) };
}

/** The author's edit base -> wanted, moved to where it belongs in the text as others have left it by now. */
export function rebase(base: string, wanted: string, now: string): Splice[] {
  const mine = difference(base, wanted);
  if (!mine) return [];
  const theirs = difference(base, now);
  if (!theirs) return [mine];
  const shift = theirs.insert.length - theirs.remove;
  if (mine.at + mine.remove <= theirs.at) return [mine];
  if (mine.at >= theirs.at + theirs.remove) return [{ ...mine, at: mine.at + shift }];
  // Both changed the same place: theirs stays, ours is put behind it and takes away only what they left of our span.
  const before = Math.max(0, theirs.at - mine.at);
  const after = Math.max(0, mine.at + mine.remove - (theirs.at + theirs.remove));
  const splices: Splice[] = [{ at: theirs.at + theirs.insert.length, remove: after, insert: mine.insert }];
  if (before > 0) splices.push({ at: mine.at, remove: before, insert: "" });
  return splices;
}

/** A splice in pieces of bounded length. */
function steps(s: Splice): Splice[] {
  const out: Splice[] = [];
  for (let left = s.remove; left > 0; left -= TEXT_STEP) out.push({ at: s.at, remove: Math.min(left, TEXT_STEP), insert: "" });
  let at = s.at;
  let rest = s.insert;
  while (rest.length > 0) {
    let n = Math.min(TEXT_STEP, rest.length);
    if (n < rest.length && isHigh(rest, n - 1)) n--;
    out.push({ at, remove: 0, insert: rest.slice(0, n) });
    at += n;
    rest = rest.slice(n);
  }
  return out;
}

function isHigh(s: string, i: number): boolean {
  const c = s.charCodeAt(i);
  return c >= 0xd800 && c <= 0xdbff;
}
function isLow(s: string, i: number): boolean {
  const c = s.charCodeAt(i);
  return c >= 0xdc00 && c <= 0xdfff;
}

function cost(unit: Unit): [ops: number, bytes: number] {
  switch (unit.type) {
    case "make": {
      const entries = Object.entries(unit.props);
      return [entries.length + 1, entries.reduce((sum, [key, value]) => sum + key.length + size(value) + OP_BYTES, unit.id.length + OP_BYTES)];
    }
    case "put":
      return [1, unit.key.length + size(unit.value) + OP_BYTES];
    case "text":
      return [unit.remove + unit.insert.length, unit.remove * 8 + byteLength(unit.insert) + unit.insert.length * 4 + OP_BYTES];
  }
}

function size(value: Value): number {
  if (typeof value === "string") return byteLength(value);
  return value instanceof Uint8Array ? value.length : 9;
}
