/** What is written into a room for a board: the widget event (as `lectern dev` writes it), its removal, and its way back. */
import { shownName } from "../names";
import { isKind, type Kind } from "./kinds";

export type Content = Readonly<Record<string, unknown>>;

export const WIDGET_TYPE = "im.vector.modular.widgets";

/** Where a removed board is remembered, in the event that took its widget away. */
export const REMOVED = "com.educationpub.removed";

/** A board on its way into a room. */
export interface NewBoard {
  /** Widget id, the state key. Random: clients remember what they allowed by it. */
  readonly id: string;
  readonly kind: Kind;
  readonly name: string;
  /** Board id: 128 random bits. */
  readonly board: string;
}

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const BOARD_ID = /^[a-z2-7]{26}$/;

function randomText(length: number): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => BASE32[byte & 31]).join("");
}

export const newBoard = (kind: Kind, name: string): NewBoard => ({ id: `lectern-${randomText(10)}`, kind, name, board: randomText(26) });

/** The widget event. Who somebody is never comes from an address: it asks the client for the room, theme and language only (SPEC DV6). */
export function widgetContent(b: NewBoard, lectern: string, creator: string, icon = ""): Content {
  return {
    id: b.id,
    creatorUserId: creator,
    type: "m.custom",
    name: b.name,
    url: `${lectern}/widgets/${b.kind}?room_id=$matrix_room_id&theme=$org.matrix.msc2873.client_theme&lang=$org.matrix.msc2873.client_language`,
    data: { board: b.board, kind: b.kind, title: "" },
    ...(icon === "" ? {} : { avatar_url: icon }),
  };
}

const record = (v: unknown): Content => (typeof v === "object" && v !== null && !Array.isArray(v) ? (v as Content) : {});

/** The board that a widget event shows, if it is one of this Lectern's. */
export function boardOf(id: string, content: Content, lectern: string): NewBoard | null {
  const { url, name } = content;
  const { kind, board } = record(content["data"]);
  if (typeof url !== "string" || url.split(/[?#]/)[0] !== `${lectern}/widgets/${String(kind)}`) return null;
  return known(id, { kind, board, name });
}

/** What takes a widget out of the room: no address, so that no client shows it; a board of ours is remembered. */
export function removal(board: NewBoard | null): Content {
  return board ? { [REMOVED]: { kind: board.kind, board: board.board, name: board.name } } : {};
}

/** A widget event: of one that was removed, or of the past. */
export interface WidgetState {
  readonly id: string;
  readonly content: Content;
}

/** Removed by another client, which remembers nothing: what it was must be looked up in the room's history. */
export const isForgotten = ({ content }: WidgetState): boolean => !(REMOVED in content);

/** The boards that can be put back: remembered in the removal, or found in the past (newest first). Everything is built anew from kind, board and name: no address of a removed event is ever used. */
export function removedBoards(empty: readonly WidgetState[], past: readonly WidgetState[], lectern: string): NewBoard[] {
  const was = (id: string): NewBoard | null => {
    const last = past.find((e) => e.id === id && typeof e.content["url"] === "string");
    return last ? boardOf(id, last.content, lectern) : null;
  };
  return empty
    .map((e) => (isForgotten(e) ? was(e.id) : known(e.id, record(e.content[REMOVED]))))
    .filter((b) => b !== null)
    .sort((a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id));
}

function known(id: string, { kind, board, name }: Content): NewBoard | null {
  if (id === "" || !isKind(kind) || typeof board !== "string" || !BOARD_ID.test(board)) return null;
  const shown = typeof name === "string" ? shownName(name) : "";
  return { id, kind, board, name: shown === "" ? id : shown };
}
