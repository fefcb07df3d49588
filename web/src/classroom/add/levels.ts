/** Power levels: what adding boards needs, and the one rewrite that gives Lectern its own. */
import { MEMBER } from "../call/allow";
import { powerOf, stateLevel, type Powers } from "../roles";
import type { Content } from "./board";

/** What Lectern's account gets. It writes saved boards as encrypted state, whose outer type `m.room.encrypted` is not listed in `events`: that takes `state_default`. */
export const LECTERN_LEVEL = 50;

const record = (v: unknown): Content | null => (typeof v === "object" && v !== null && !Array.isArray(v) ? (v as Content) : null);

/** The level Lectern's account needs in this room. */
export const neededLevel = (powers: Powers): number => (powers.powerLevels ? Math.max(LECTERN_LEVEL, stateLevel(powers, "m.room.encrypted")) : 0);

export type Grant =
  | { readonly kind: "enough" }
  | { readonly kind: "rewrite"; readonly level: number; readonly content: Content }
  /** `by` may not; `atLeast` is what somebody needs who may. */
  | { readonly kind: "cannot"; readonly level: number; readonly atLeast: number };

/** How `who` comes to the needed level when `by` writes. Only that one number changes; nothing is ever lowered. */
export function grant(powers: Powers, who: string, by: string): Grant {
  const level = neededLevel(powers);
  if (powerOf(powers, who) >= level) return { kind: "enough" };
  const content = powers.powerLevels ?? {};
  const users = "users" in content ? record(content["users"]) : {};
  const present = users?.[who];
  // Rooms of old versions may hold numbers as texts. The homeserver counts them, so writing over one could lower it.
  if (typeof present === "string" && Number.parseInt(present, 10) >= level) return { kind: "enough" };
  const atLeast = Math.max(stateLevel(powers, "m.room.power_levels"), level);
  if (users === null || powerOf(powers, by) < atLeast) return { kind: "cannot", level, atLeast };
  return { kind: "rewrite", level, content: { ...content, users: { ...users, [who]: level } } };
}

/** Homeservers' own levels, which a list of events replaces; and everybody may take part in calls. */
const EVENTS: Content = {
  "m.room.name": 50,
  "m.room.avatar": 50,
  "m.room.canonical_alias": 50,
  "m.room.power_levels": 100,
  "m.room.history_visibility": 100,
  "m.room.tombstone": 100,
  "m.room.server_acl": 100,
  "m.room.encryption": 100,
  [MEMBER]: 0,
};

/** The power levels of a new classroom, as `lectern dev` makes them (SPEC DV5). Creators stand above all since room version 12 and must not be listed. */
export function classroomLevels(creator: string, companion: string, roomVersion: string): Content {
  const creatorsListed = !(Number(roomVersion) >= 12);
  return {
    users: { ...(creatorsListed && { [creator]: 100 }), [companion]: LECTERN_LEVEL },
    users_default: 0,
    events_default: 0,
    state_default: 50,
    events: EVENTS,
    invite: 50,
    kick: 50,
    ban: 50,
    redact: 50,
  };
}
