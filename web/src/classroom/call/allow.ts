/** What Element Call gets without a question, and nothing beyond: a list, not a rule. What it asks for besides is declined, and it copes. */

/** Who says to be in a call (MSC3401 as clients send it today; MSC4143 makes it a sticky event). */
export const MEMBER = "org.matrix.msc3401.call.member";
const REDACTION = "m.room.redaction";

const RECEIVE_STATE = ["m.room.create", "m.room.name", "m.room.member", "m.room.encryption", MEMBER];
/** "The call has begun" and its answer, hands and reactions; and what replaces the membership one day. */
const SEND = ["org.matrix.msc4075.rtc.notification", "org.matrix.msc4310.rtc.decline", "io.element.call.reaction", "m.reaction", REDACTION, "org.matrix.msc4143.rtc.member"];
const RECEIVE = ["org.matrix.msc4310.rtc.decline", "io.element.call.reaction", "m.reaction", REDACTION, "org.matrix.msc4143.rtc.member"];
/** Media keys: encrypted to devices, or not at all. */
export const TO_DEVICE: ReadonlySet<string> = new Set(["io.element.call.encryption_keys"]);

/** Whoever is in the call with this device. */
export interface Device {
  readonly roomId: string;
  readonly userId: string;
  readonly deviceId: string;
}

/** The state keys of a device's own membership. The one with an underscore is for rooms that reserve keys with @ (all but MSC3757's). */
export const ownKeys = (userId: string, deviceId: string): string[] => [`_${userId}_${deviceId}_m.call`, `${userId}_${deviceId}_m.call`];

/** `delayed`: the homeserver has delayed events (MSC4140). */
export function capabilitiesOf({ roomId, userId, deviceId }: Device, delayed: boolean): ReadonlySet<string> {
  return new Set([
    "m.always_on_screen",
    "org.matrix.msc4039.download_file",
    "org.matrix.msc4515.rtc_transports",
    `org.matrix.msc2762.timeline:${roomId}`,
    ...RECEIVE_STATE.map((type) => `org.matrix.msc2762.receive.state_event:${type}`),
    ...ownKeys(userId, deviceId).map((key) => `org.matrix.msc2762.send.state_event:${MEMBER}#${key}`),
    ...SEND.map((type) => `org.matrix.msc2762.send.event:${type}`),
    ...RECEIVE.map((type) => `org.matrix.msc2762.receive.event:${type}`),
    ...[...TO_DEVICE].flatMap((type) => [`org.matrix.msc3819.send.to_device:${type}`, `org.matrix.msc3819.receive.to_device:${type}`]),
    ...(delayed ? ["org.matrix.msc4157.send.delayed_event", "org.matrix.msc4157.update_delayed_event"] : []),
  ]);
}

export type Sending =
  | { readonly kind: "state"; readonly key: string; readonly leaves: boolean }
  | { readonly kind: "event" }
  | { readonly kind: "redaction"; readonly of: string; readonly reason: string | undefined }
  | { readonly kind: "refused" };

const isRecord = (v: unknown): v is Record<string, unknown> => typeof v === "object" && v !== null && !Array.isArray(v);

/** What is to be done with something that Element Call wants to send. The capabilities say the same; a mistake in one of the two changes nothing. */
export function sending(device: Device, type: string, content: unknown, stateKey: string | null | undefined, roomId: string | null | undefined): Sending {
  const refused: Sending = { kind: "refused" };
  if ((roomId ?? device.roomId) !== device.roomId || !isRecord(content)) return refused;
  if (typeof stateKey === "string") {
    if (type !== MEMBER || !ownKeys(device.userId, device.deviceId).includes(stateKey)) return refused;
    const leaves = Object.keys(content).length === 0;
    return leaves || content["device_id"] === device.deviceId ? { kind: "state", key: stateKey, leaves } : refused;
  }
  if (!SEND.includes(type)) return refused;
  if (type !== REDACTION) return { kind: "event" };
  const { redacts, reason } = content;
  return typeof redacts === "string" ? { kind: "redaction", of: redacts, reason: typeof reason === "string" ? reason : undefined } : refused;
}
