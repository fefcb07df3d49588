/** What the page shows of the server's answer. Pure. */
import { SOURCES, type Answer, type Call, type Device, type Media, type Member, type Source } from "./wire";

/** What is to be said first. */
export type Standing =
  | { readonly kind: "off" | "down" | "removed" | "empty" }
  | { readonly kind: "ended"; readonly ms: number }
  /** `here`: the reader is in it, with whatever device. */
  | { readonly kind: "going"; readonly count: number; readonly here: boolean };

/** Connected, here or on another server. */
export const connected = (d: Device): boolean => d.where !== "nowhere";

/** `since`: how long ago the server said it, ms. */
export function standing(call: Answer, since = 0): Standing {
  if (!call.configured) return { kind: "off" };
  if (call.down) return { kind: "down" };
  if (call.members.some((m) => m.user_id === call.user_id && m.removed)) return { kind: "removed" };
  if (call.ended > since) return { kind: "ended", ms: call.ended - since };
  const inCall = call.members.filter((m) => m.devices.some(connected));
  return inCall.length === 0 ? { kind: "empty" } : { kind: "going", count: inCall.length, here: inCall.some((m) => m.user_id === call.user_id) };
}

/** Everybody who says that they are in the call: the reader first, then moderators, then by name. */
export function inCall(call: Call, language: string): readonly Member[] {
  return sorted(call.members.filter((m) => m.devices.length > 0), call.user_id, language);
}

/** Those about whom something was decided and who are not in the call. */
export function notInCall(call: Call, language: string): readonly Member[] {
  return sorted(call.members.filter((m) => m.devices.length === 0), call.user_id, language);
}

function sorted(members: readonly Member[], self: string, language: string): readonly Member[] {
  const { compare } = new Intl.Collator(language, { sensitivity: "base", numeric: true });
  const rank = (m: Member) => (m.user_id === self ? 0 : m.role === "moderator" ? 1 : 2);
  return [...members].sort((a, b) => rank(a) - rank(b) || compare(a.name, b.name) || (a.user_id < b.user_id ? -1 : 1));
}

/** The loudest of what somebody's devices do: what a button that acts on all of them is about. */
export function mediaOf(member: Member, source: Source): Media {
  const all = member.devices.map((d) => d[source]);
  return all.includes("on") ? "on" : all.includes("muted") ? "muted" : "off";
}

/** The list with one source more or fewer, in the order of SOURCES. */
export function toggled(sources: readonly Source[], source: Source): readonly Source[] {
  return SOURCES.filter((s) => (s === source ? !sources.includes(s) : sources.includes(s)));
}

/** What the room's rule keeps from this person, whatever is decided about them alone. */
export const barred = (call: Call, member: Member): readonly Source[] => (member.role === "moderator" ? [] : SOURCES.filter((s) => !call.sources.includes(s)));

/**
 * What to send so that this person may use these. Of sources that the room's rule forbids nobody can see what was decided about the person alone, so that is not made
 * stricter: when the rule goes, they may use them again.
 */
export function decided(call: Call, member: Member, wanted: readonly Source[]): readonly Source[] {
  const hidden = barred(call, member);
  return SOURCES.filter((s) => wanted.includes(s) || hidden.includes(s));
}
