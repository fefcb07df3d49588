/** Live payloads of docs/protocol.md §5: cursors in slot 0, elements in progress in slot 1, what a presenter sees in slot 2. Pure but for the sender's timer. */
import { decodeItem, encodeItem } from "../wire/cbor";
import { packPoints, unpackPoints } from "../doc/points";
import { validID, type Props } from "../doc/values";
import { validProps } from "./element";

export const CURSOR = 0;
export const ELEMENTS = 1;
export const PRESENT = 2;
const MAX_ELEMENTS = 8;
const MAX_SELECTED = 32;

export interface Cursor {
  readonly x: number;
  readonly y: number;
  readonly tool: "pointer" | "laser";
  readonly down: boolean;
  readonly selected: readonly string[];
  /** 0 for the board's first page. */
  readonly page: number;
}

export function encodeCursor(c: Cursor): Uint8Array {
  const sel = c.selected.slice(0, MAX_SELECTED);
  return encodeItem({ x: c.x, y: c.y, t: c.tool, b: c.down ? 1 : 0, ...(sel.length > 0 ? { sel } : {}), ...(c.page > 0 ? { p: c.page } : {}) });
}

/** Undefined for what this version does not understand: it is not drawn. */
export function decodeCursor(payload: Uint8Array): Cursor | undefined {
  const m = decodeMaybe(payload);
  if (m === null || typeof m !== "object" || Array.isArray(m)) return undefined;
  const { x, y, t, b, sel, p } = m as Record<string, unknown>;
  if (!coordinate(x) || !coordinate(y) || (t !== "pointer" && t !== "laser")) return undefined;
  const selected = Array.isArray(sel) ? sel.filter((id): id is string => typeof id === "string" && validID(id)).slice(0, MAX_SELECTED) : [];
  return { x, y, tool: t, down: b === 1, selected, page: pageNumber(p) };
}

/** What a presenter sees: an area of a page, 0 for the first. */
export interface Shown {
  readonly page: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export const encodeShown = ({ page, x, y, width, height }: Shown): Uint8Array => encodeItem({ p: page, x, y, w: width, h: height });

export function decodeShown(payload: Uint8Array): Shown | undefined {
  const m = decodeMaybe(payload);
  if (m === null || typeof m !== "object" || Array.isArray(m)) return undefined;
  const { p, x, y, w, h } = m as Record<string, unknown>;
  const page = pageNumber(p);
  if (page < 0 || !coordinate(x) || !coordinate(y) || !coordinate(w) || !coordinate(h) || w < 1 || h < 1) return undefined;
  return { page, x, y, width: w, height: h };
}

/** At most 8 elements in at most `limit` bytes: the last ones are left out, a long stroke loses points, and at worst nothing is shown. */
export function encodeElements(elements: readonly (Props & { id: string })[], limit: number, page: number): Uint8Array {
  let list = elements.slice(0, MAX_ELEMENTS);
  for (let tries = 0; tries < 24 && list.length > 0; tries++) {
    const payload = encodeItem([page, ...list]);
    if (payload.length <= limit) return payload;
    if (list.length > 1) list = list.slice(0, Math.ceil(list.length / 2));
    else {
      const only = list[0]!;
      const points = only.points instanceof Uint8Array ? unpackPoints(only.points) : undefined;
      if (!points || points.length < 4) return new Uint8Array();
      const { pressures: _pressures, ...rest } = only;
      list = [{ ...rest, simulatePressure: true, points: packPoints(points.filter((_, i) => i % 2 === 0 || i === points.length - 1)) } as Props & { id: string }];
    }
  }
  return new Uint8Array();
}

export interface InProgress {
  /** 0 for the board's first page. */
  readonly page: number;
  readonly elements: Map<string, Props>;
}

export function decodeElements(payload: Uint8Array): InProgress {
  const out = new Map<string, Props>();
  const [page, ...list] = asArray(decodeMaybe(payload));
  for (const item of list.slice(0, MAX_ELEMENTS)) {
    if (item === null || typeof item !== "object" || Array.isArray(item) || item instanceof Uint8Array) continue;
    const map = item as Record<string, unknown>;
    const props = validProps(map);
    if (props && typeof map.id === "string") out.set(map.id, props);
  }
  return { page: pageNumber(page), elements: out };
}

const asArray = (v: unknown): unknown[] => (Array.isArray(v) ? v : []);
/** What is no page number belongs to no page. */
const pageNumber = (v: unknown) => (v === undefined ? 0 : typeof v === "number" && Number.isInteger(v) && v >= 0 ? v : -1);

function decodeMaybe(payload: Uint8Array): unknown {
  try {
    return decodeItem(payload);
  } catch {
    return undefined;
  }
}

function coordinate(v: unknown): v is number {
  return typeof v === "number" && Number.isFinite(v) && Math.abs(v) <= 1e9;
}

const TICK_MS = 36; // 28 frames a second in all slots together: the server drops what exceeds 30
const CURSOR_EVERY = 3; // while something is drawn, the cursor goes with every third tick: the stroke shows where the hand is

/** Sends the newest payload of each slot at a bounded rate. */
export class LiveSender {
  private readonly waiting = new Map<number, () => Uint8Array>();
  private ticks = 0;
  private last = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly send: (slot: number, payload: Uint8Array) => void) {}

  /** `payload` is called when its turn has come, so that only what is sent is encoded. */
  set(slot: number, payload: () => Uint8Array): void {
    this.waiting.set(slot, payload);
    this.timer ??= setTimeout(() => this.tick(), Math.max(0, this.last + TICK_MS - performance.now()));
  }

  /** Forgets what waits in a slot. */
  drop(slot: number): void {
    this.waiting.delete(slot);
  }

  clear(slot: number): void {
    this.set(slot, () => new Uint8Array());
  }

  private tick(): void {
    this.timer = undefined;
    this.last = performance.now();
    const cursorTurn = ++this.ticks % CURSOR_EVERY === 0 && this.waiting.has(CURSOR);
    const slot = this.waiting.has(PRESENT) ? PRESENT : cursorTurn || !this.waiting.has(ELEMENTS) ? CURSOR : ELEMENTS; // the presenter's view is rare
    const payload = this.waiting.get(slot);
    this.waiting.delete(slot);
    if (payload) this.send(slot, payload());
    if (this.waiting.size > 0) this.timer = setTimeout(() => this.tick(), TICK_MS);
  }
}
