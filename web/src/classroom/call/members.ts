/** Who is in a room's call, by its state. */
import { MEMBER, ownKeys } from "./allow";
import { powerOf, stateLevel, type Powers } from "../roles";

/** A membership holds for as long as it says, else four hours (MSC4143). */
const LIFETIME_MS = 4 * 60 * 60 * 1000;

/** The fields of a state event that are read here. */
export interface MemberEvent {
  readonly stateKey: string;
  readonly sender: string;
  /** origin_server_ts, ms. */
  readonly at: number;
  readonly content: Readonly<Record<string, unknown>>;
}

const count = (v: unknown): number | null => (typeof v === "number" && Number.isFinite(v) ? v : null);

/** The people in the call, each once. State keys that begin with `_` can be written by everybody: one counts only if it names its sender. */
export function inCall(events: readonly MemberEvent[], isJoined: (userId: string) => boolean, now: number): string[] {
  const people = new Set<string>();
  for (const { stateKey, sender, at, content } of events) {
    const device = content["device_id"];
    if (content["application"] !== "m.call" || typeof device !== "string" || !ownKeys(sender, device).includes(stateKey)) continue;
    if ((count(content["created_ts"]) ?? at) + (count(content["expires"]) ?? LIFETIME_MS) <= now) continue;
    if (isJoined(sender)) people.add(sender);
  }
  return [...people];
}

/** Keys under which this device still stands in the call. */
export function standing(events: readonly MemberEvent[], userId: string, deviceId: string): string[] {
  const mine = ownKeys(userId, deviceId);
  return events.filter((ev) => mine.includes(ev.stateKey) && Object.keys(ev.content).length > 0).map((ev) => ev.stateKey);
}

export const callLevel = (powers: Powers): number => stateLevel(powers, MEMBER);

/** Whether somebody may take part in calls: that takes writing one's own membership. */
export const mayCall = (powers: Powers, userId: string): boolean => powerOf(powers, userId) >= callLevel(powers);

/** The power levels with which everybody may take part, for a moderator who may write them; null if nothing needs to be or can be done. */
export function openedTo(powers: Powers, by: string): Record<string, unknown> | null {
  const { powerLevels } = powers;
  if (!powerLevels) return null;
  const everybody = count(powerLevels["users_default"]) ?? 0;
  if (callLevel(powers) <= everybody || powerOf(powers, by) < Math.max(stateLevel(powers, "m.room.power_levels"), callLevel(powers))) return null;
  const events = powerLevels["events"] ?? {};
  if (typeof events !== "object" || Array.isArray(events)) return null;
  return { ...powerLevels, events: { ...events, [MEMBER]: everybody } };
}
