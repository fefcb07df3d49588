/** What widgets may ask for: what is given without asking, what is put to the person in words, what this client cannot do. */
import type { MessageKey } from "./i18n";

/** Given to every widget without a question, as Element does: neither shows the widget anything. */
const AUTOMATIC: ReadonlySet<string> = new Set(["m.capability.screenshot", "io.element.requires_client"]);

/** A capability in words: a message and its parameters. */
export interface Wording {
  readonly key: MessageKey;
  readonly params: Readonly<Record<string, string>>;
}

/** The one thing that widgets may write into the room, if the person lets them: a moderator's change of roles. */
export const SEND_LEVELS = "org.matrix.msc2762.send.state_event:m.room.power_levels#";

/** A message to Lectern's account alone (docs/protocol.md §1.9). */
const PROOF = "com.educationpub.lectern.proof";
const TIMELINE = "org.matrix.msc2762.timeline:";
const RECEIVE_STATE = "org.matrix.msc2762.receive.state_event:";
const RECEIVE_EVENT = "org.matrix.msc2762.receive.event:";
const SEND_TO_DEVICE = "org.matrix.msc3819.send.to_device:";
const RECEIVE_TO_DEVICE = "org.matrix.msc3819.receive.to_device:";

const KNOWN_STATE: Readonly<Record<string, MessageKey>> = {
  "m.room.member": "cap.members",
  "m.room.power_levels": "cap.powers",
  "m.room.name": "cap.name",
  "m.room.topic": "cap.topic",
  "m.room.encryption": "cap.encryption",
};

/** How to put a capability to the person; null if this client does not offer it (it is then declined). Sending into the room is among those, but for power levels. */
export function wordingOf(capability: string, roomId: string): Wording | null {
  if (capability === "org.matrix.msc2931.navigate") return { key: "cap.navigate", params: {} };
  if (capability === SEND_LEVELS) return { key: "cap.powersSend", params: {} };
  if (capability.startsWith(TIMELINE)) {
    return capability.slice(TIMELINE.length) === roomId ? { key: "cap.timeline", params: {} } : null;
  }
  const after = (prefix: string): string | null => {
    if (!capability.startsWith(prefix)) return null;
    const type = (capability.slice(prefix.length).split(/(?<!\\)#/)[0] ?? "").replaceAll("\\#", "#");
    return type === "" ? null : type;
  };
  const state = after(RECEIVE_STATE);
  if (state !== null) {
    const known = KNOWN_STATE[state];
    return known ? { key: known, params: {} } : { key: "cap.state", params: { type: state } };
  }
  const event = after(RECEIVE_EVENT);
  if (event !== null) return event === "m.room.message" ? { key: "cap.messages", params: {} } : { key: "cap.events", params: { type: event } };
  const send = after(SEND_TO_DEVICE);
  if (send === PROOF) return { key: "cap.proof", params: {} };
  if (send !== null) return { key: "cap.toDeviceSend", params: { type: send } };
  const receive = after(RECEIVE_TO_DEVICE);
  if (receive !== null) return { key: "cap.toDeviceReceive", params: { type: receive } };
  return null;
}

/** Sorts a widget's request. Every capability of `requested` is in exactly one of the three lists. */
export function sortRequest(
  requested: Iterable<string>,
  roomId: string,
): { readonly automatic: string[]; readonly ask: { readonly capability: string; readonly wording: Wording }[]; readonly unsupported: string[] } {
  const automatic: string[] = [];
  const ask: { capability: string; wording: Wording }[] = [];
  const unsupported: string[] = [];
  for (const capability of new Set(requested)) {
    const wording = AUTOMATIC.has(capability) ? null : wordingOf(capability, roomId);
    if (AUTOMATIC.has(capability)) automatic.push(capability);
    else if (wording) ask.push({ capability, wording });
    else unsupported.push(capability);
  }
  return { automatic, ask, unsupported };
}
