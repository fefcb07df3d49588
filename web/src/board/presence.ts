/** Who is here and what their hands do: people, cursors, elements in progress. Fed by the link, drained once per animation frame. */
import type { LiveUpdate, Person } from "../wire/frames";
import type { Props } from "../doc/values";
import { CURSOR, decodeCursor, decodeElements, decodeShown, ELEMENTS, PRESENT, type Cursor, type Shown } from "./live";

/** Slots of a sender that fell silent are dropped after this (docs/protocol.md §5). */
const SILENT_MS = 5_000;

export interface Participant {
  readonly session: number;
  /** The person: two sessions of one have one colour. */
  readonly id: string;
  readonly name: string;
  /** Name with the server for people of other homeservers. */
  readonly label: string;
  readonly external: string;
  readonly role: string;
  readonly self: boolean;
  /** A hand is up. */
  readonly hand: boolean;
  readonly color: { readonly background: string; readonly stroke: string };
}

/** Others' cursors: with names, without, or not at all. */
export const CURSORS = ["names", "plain", "none"] as const;
export type Cursors = (typeof CURSORS)[number];

export class Presence {
  // Owned by the page's one thread.
  private people = new Map<number, Participant>();
  private readonly cursors = new Map<number, { cursor: Cursor; at: number }>();
  private readonly elements = new Map<number, { page: number; elements: Map<string, Props>; at: number }>();
  private readonly shown = new Map<number, { shown: Shown; at: number; since: number }>();
  /** The open one, 0 for the first: what hands do on others is not shown. */
  page = 0;
  private self = -1;

  constructor(private readonly now: () => number = () => performance.now()) {}

  welcome(session: number): void {
    this.self = session;
    this.people.clear();
    this.cursors.clear();
    this.elements.clear();
    this.shown.clear();
  }

  update(full: boolean, joined: readonly Person[], left: readonly number[]): { joined: Participant[]; left: Participant[] } {
    const before = this.people;
    if (full) this.people = new Map();
    for (const p of joined) this.people.set(p.session, this.participant(p));
    for (const session of left) this.people.delete(session);
    for (const map of [this.cursors, this.elements, this.shown]) for (const s of map.keys()) if (!this.people.has(s)) map.delete(s);
    if (full) return { joined: [], left: [] };
    return {
      joined: joined.filter((p) => !before.has(p.session)).map((p) => this.people.get(p.session)!),
      left: left.map((s) => before.get(s)).filter((p) => p !== undefined),
    };
  }

  list(): Participant[] {
    return [...this.people.values()].sort((a, b) => Number(b.self) - Number(a.self) || a.label.localeCompare(b.label));
  }

  live(updates: readonly LiveUpdate[]): { cursors: boolean; elements: boolean } {
    const changed = { cursors: false, elements: false };
    for (const { session, slot, payload } of updates) {
      if (session === this.self) continue;
      if (slot === CURSOR) {
        const cursor = payload.length > 0 ? decodeCursor(payload) : undefined;
        if (cursor) this.cursors.set(session, { cursor, at: this.now() });
        else this.cursors.delete(session);
        changed.cursors = true;
      } else if (slot === ELEMENTS) {
        const shown = payload.length > 0 ? decodeElements(payload) : undefined;
        if (shown && shown.elements.size > 0) this.elements.set(session, { ...shown, at: this.now() });
        else this.elements.delete(session);
        changed.elements = true;
      } else if (slot === PRESENT) {
        const shown = payload.length > 0 ? decodeShown(payload) : undefined;
        if (shown) this.shown.set(session, { shown, at: this.now(), since: this.shown.get(session)?.since ?? this.now() });
        else this.shown.delete(session);
      }
    }
    return changed;
  }

  /** The document has these now: what was shown of them is over, until their author moves them again. */
  settled(ids: ReadonlySet<string>): void {
    for (const { elements } of this.elements.values()) for (const id of ids) elements.delete(id);
  }

  /** Drops what is silent; says whether anything was. */
  sweep(): { cursors: boolean; elements: boolean } {
    const old = this.now() - SILENT_MS;
    const drop = (map: Map<number, { at: number }>) => [...map].filter(([s, v]) => v.at < old && map.delete(s)).length > 0;
    drop(this.shown);
    return { cursors: drop(this.cursors), elements: drop(this.elements) };
  }

  /** The moderator who has begun to present last, and what they see. */
  presenter(): { readonly who: Participant; readonly shown: Shown; readonly since: number } | undefined {
    let newest: { who: Participant; shown: Shown; since: number } | undefined;
    for (const [session, { shown, since }] of this.shown) {
      const who = this.people.get(session);
      if (who?.role === "moderator" && (!newest || since > newest.since)) newest = { who, shown, since };
    }
    return newest;
  }

  /** Everything in progress on the open page, by element id. */
  liveElements(): Map<string, Props> {
    const all = new Map<string, Props>();
    for (const { page, elements } of this.elements.values()) if (page === this.page) for (const [id, props] of elements) all.set(id, props);
    return all;
  }

  /** Cursors on the open page as Excalidraw's collaborators. */
  collaborators(show: Cursors = "names"): Map<string, Record<string, unknown>> {
    const map = new Map<string, Record<string, unknown>>();
    if (show === "none") return map;
    for (const [session, { cursor }] of this.cursors) {
      const who = cursor.page === this.page ? this.people.get(session) : undefined;
      if (!who) continue; // no name, no cursor: people arrives first
      map.set(String(session), {
        id: who.id,
        username: show === "plain" ? "" : who.label,
        color: who.color,
        button: cursor.down ? "down" : "up",
        pointer: { x: cursor.x, y: cursor.y, tool: cursor.tool },
        selectedElementIds: Object.fromEntries(cursor.selected.map((id) => [id, true])),
      });
    }
    return map;
  }

  private participant(p: Person): Participant {
    const name = cleanName(p.name) || cleanName(p.user_id) || "?";
    const hue = hueOf(p.user_id);
    return {
      session: p.session,
      id: p.user_id,
      name,
      label: p.external ? `${name} (${cleanName(p.external)})` : name,
      external: cleanName(p.external),
      role: p.role,
      self: p.session === this.self,
      hand: p.hand === true,
      color: { background: `hsl(${hue}, 100%, 83%)`, stroke: `hsl(${hue}, 70%, 45%)` },
    };
  }
}

/** Names come from strangers: no control or direction characters, at most 64 characters (security.md §5.3). */
export function cleanName(name: string): string {
  return [...name.replace(/[\p{Cc}\p{Cf}]/gu, "").trim()].slice(0, 64).join("");
}

/** The hue that Excalidraw 0.18 draws a collaborator of this id in, so that the list shows the same colour. Its hash does not wrap at 32 bits. */
function hueOf(id: string): number {
  let h = 0;
  for (let i = 0; i < id.length; i++) h = (h << 5) - h + id.charCodeAt(i);
  return (Math.abs(h) % 37) * 10;
}
