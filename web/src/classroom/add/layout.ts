/** Where Element shows widgets: `io.element.widgets.layout`. The top of a room has three places. */
import type { Content } from "./board";

export const LAYOUT_TYPE = "io.element.widgets.layout";
const PLACES = 3;
const HEIGHT = 60; // percent of the room

const record = (v: unknown): Content => (typeof v === "object" && v !== null && !Array.isArray(v) ? (v as Content) : {});
const number = (v: unknown, fallback: number): number => (typeof v === "number" && Number.isFinite(v) ? v : fallback);

/** The layout with these widgets on top as well, or null if nothing is to be written: they are there, or the top is full. `live` are the widgets of the room; places of others are given away. */
export function layoutWith(layout: Content | undefined, live: readonly string[], ids: readonly string[]): Content | null {
  const widgets = record(layout?.["widgets"]);
  const isTop = (w: unknown): boolean => record(w)["container"] === "top";
  const top = Object.keys(widgets)
    .filter((id) => isTop(widgets[id]) && (live.includes(id) || ids.includes(id)))
    .sort((a, b) => number(record(widgets[a])["index"], 0) - number(record(widgets[b])["index"], 0));
  const added = ids.filter((id) => !top.includes(id)).slice(0, Math.max(0, PLACES - top.length));
  if (added.length === 0) return null;
  const all = [...top, ...added];
  const next = Object.fromEntries(Object.entries(widgets).filter(([id, w]) => !isTop(w) || top.includes(id)));
  const height = number(record(widgets[top[0] ?? ""])["height"], HEIGHT); // one height for the whole row
  all.forEach((id, index) => {
    next[id] = { ...record(widgets[id]), container: "top", index, width: Math.floor(100 / all.length), height: number(record(widgets[id])["height"], height) };
  });
  return { ...layout, widgets: next };
}
