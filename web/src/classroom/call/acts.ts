/** What moderators decide about a call, as Lectern tells the room, and as its token service answers. */
import { ClientEvent, MatrixEventEvent, type MatrixClient, type MatrixEvent } from "matrix-js-sdk";
import type { IOpenIDCredentials } from "matrix-widget-api";
import type { Device } from "./allow";
import type { Over } from "./calls";

/** Element Call itself waits longer for who somebody is. */
const ASK_MS = 5_000;

export const ACTION = "com.educationpub.moderation.action";

/** What an act means for whoever reads of it; `again`: what was decided before is taken back. */
export interface Verdict {
  readonly kind: "removed" | "ended";
  readonly by: string;
  readonly again: boolean;
}

/** Null for an act that takes nobody out of the call, or others only. */
export function verdictOn(me: string, content: Readonly<Record<string, unknown>>): Verdict | null {
  const { action, target, by } = content;
  const who = typeof by === "string" ? by : "";
  if (action === "end" || action === "begin") return { kind: "ended", by: who, again: action === "begin" };
  if ((action === "remove" || action === "readmit") && target === me) return { kind: "removed", by: who, again: action === "readmit" };
  return null;
}

/** Hears what is decided in a room from now on. Only Lectern's own account says so: anybody can send such an event. */
export function hearActs(client: MatrixClient, roomId: string, companion: string, heard: (verdict: Verdict) => void): () => void {
  const told = new WeakSet<MatrixEvent>();
  const look = (ev: MatrixEvent): void => {
    if (ev.getType() !== ACTION || told.has(ev)) return;
    told.add(ev);
    const verdict = verdictOn(client.getSafeUserId(), ev.getContent());
    if (verdict) heard(verdict);
  };
  const onEvent = (ev: MatrixEvent): void => {
    if (ev.getRoomId() === roomId && ev.getSender() === companion) client.decryptEventIfNeeded(ev).then(() => look(ev), () => undefined);
  };
  client.on(ClientEvent.Event, onEvent);
  client.on(MatrixEventEvent.Decrypted, onEvent); // its key may come later
  return () => {
    client.off(ClientEvent.Event, onEvent);
    client.off(MatrixEventEvent.Decrypted, onEvent);
  };
}

/** How the token service's refusal reads here; the code is Lectern's (docs/protocol.md §9.2). */
export function overBy(code: unknown, message: unknown): Omit<Over, "again"> {
  const kind = code === "call_removed" ? "removed" : code === "call_ended" ? "ended" : "refused";
  return { kind, by: "", message: typeof message === "string" ? message : "" };
}

/**
 * Asks the token service what it will answer Element Call. Null where this device is let in, or where nothing was decided: what is only broken is Element Call's to try
 * again. The same token may be shown once more for the same device and room, but not while it is being verified (FO3).
 */
export async function refusal(service: string, { roomId, deviceId }: Device, openid: IOpenIDCredentials): Promise<Omit<Over, "again"> | null> {
  const answer = await fetch(`${service}/sfu/get`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ room: roomId, openid_token: openid, device_id: deviceId }),
    signal: AbortSignal.timeout(ASK_MS),
  });
  if (answer.status !== 403) return null;
  const said = (await answer.json()) as { readonly code?: unknown; readonly error?: unknown };
  return overBy(said.code, said.error);
}
