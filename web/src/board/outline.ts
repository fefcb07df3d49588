/** The board in words, for who cannot see it: what is on the page, in reading order. Pure. */
import type { SceneElement } from "./element";

/** One thing on the page. */
export interface OutlineItem {
  readonly id: string;
  /** "text", "rectangle", "ellipse", "diamond", "arrow", "line", "freedraw", "frame", … */
  readonly kind: string;
  /** What stands on it; "": nothing. */
  readonly text: string;
  /** What an arrow connects, by their texts or kinds; "" for nothing. */
  readonly from: string;
  readonly to: string;
}

const ROW = 60; // px: what begins within so much of each other is read from left to right

type Read = SceneElement & {
  readonly x: number;
  readonly y: number;
  readonly text?: string;
  readonly originalText?: string;
  readonly containerId?: string | null;
  readonly startBinding?: { readonly elementId: string } | null;
  readonly endBinding?: { readonly elementId: string } | null;
};

export function outlineOf(elements: readonly SceneElement[], rtl = false): OutlineItem[] {
  const shown = (elements as readonly Read[]).filter((e) => !e.isDeleted);
  const byId = new Map(shown.map((e) => [e.id, e]));
  const labels = new Map<string, string>();
  for (const e of shown) if (e.type === "text" && e.containerId && byId.has(e.containerId)) labels.set(e.containerId, wordsOf(e));
  const textOf = (e: Read) => (e.type === "text" ? wordsOf(e) : (labels.get(e.id) ?? ""));
  const named = (id: string | undefined) => {
    const e = id === undefined ? undefined : byId.get(id);
    return e ? textOf(e) || e.type : "";
  };
  return shown
    .filter((e) => !(e.type === "text" && e.containerId && byId.has(e.containerId)))
    .sort((a, b) => Math.round(a.y / ROW) - Math.round(b.y / ROW) || (rtl ? b.x - a.x : a.x - b.x))
    .map((e) => ({ id: e.id, kind: e.type, text: textOf(e), from: named(e.startBinding?.elementId), to: named(e.endBinding?.elementId) }));
}

const wordsOf = (e: Read) => (e.originalText ?? e.text ?? "").trim();
