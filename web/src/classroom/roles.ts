/** From Matrix power levels to the three words of the classroom (docs/ARCHITECTURE.md, "Roles"). Display only: the server decides. */

export type Role = "viewer" | "participant" | "moderator";

type Content = Readonly<Record<string, unknown>>;

/** What roles need of a room's state. `powerLevels` undefined: the room has no such event. */
export interface Powers {
  readonly powerLevels: Content | undefined;
  readonly create: { readonly sender: string; readonly content: Content } | undefined;
}

const record = (v: unknown): Content => (typeof v === "object" && v !== null && !Array.isArray(v) ? (v as Content) : {});
const level = (v: unknown, fallback: number): number => (typeof v === "number" && Number.isSafeInteger(v) ? v : fallback);

/** Since room version 12 the creators stand above every power level. */
function isCreator(powers: Powers, userId: string): boolean {
  const { create } = powers;
  if (!create) return false;
  const version = Number(create.content["room_version"]);
  if (!Number.isInteger(version) || version < 12) return false;
  const more = create.content["additional_creators"];
  return create.sender === userId || (Array.isArray(more) && more.includes(userId));
}

/** A person's power, with the defaults of the Matrix specification. */
export function powerOf(powers: Powers, userId: string): number {
  if (isCreator(powers, userId)) return Infinity;
  if (!powers.powerLevels) return powers.create?.sender === userId ? 100 : 0;
  const own = record(powers.powerLevels["users"])[userId];
  return level(own, level(powers.powerLevels["users_default"], 0));
}

/** The role of a joined person for widgets of `kind`. */
export function roleOf(powers: Powers, userId: string, kind = "whiteboard"): Role {
  const power = powerOf(powers, userId);
  const content = powers.powerLevels ?? {};
  const events = record(content["events"]);
  const moderate = level(events["com.educationpub.moderation.action"], Math.max(50, level(content["kick"], 50)));
  if (power >= moderate) return "moderator";
  const edit = level(events[`com.educationpub.${kind}.edit`], level(content["events_default"], 0));
  return power >= edit ? "participant" : "viewer";
}

/** The power that sending state of this type takes. A room without power levels asks for none. */
export function stateLevel(powers: Powers, type: string): number {
  if (!powers.powerLevels) return 0;
  return level(record(powers.powerLevels["events"])[type], level(powers.powerLevels["state_default"], 50));
}

export const inviteLevel = (powers: Powers): number => level(powers.powerLevels?.["invite"], 0);
