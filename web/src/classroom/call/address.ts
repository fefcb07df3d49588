/** The address of Element Call as the widget of a room's call (its url_params.md), and the widget around it: made here, never read from a room. */
import type { RoomWidget } from "../widgets";

/** What the frame may use beside the sandbox. */
export const CALL_ALLOW = "camera; microphone; display-capture; autoplay; fullscreen";

/** Begins the ids of these widgets; what follows is random, so that no widget of a room can have it. */
export const CALL_WIDGET = "lectern-call-";

export interface CallAddress {
  /** Where the Element Call lies, without a slash at the end. */
  readonly elementCall: string;
  readonly widgetId: string;
  /** Address of the page around it; its fragment is dropped. */
  readonly page: string;
  readonly roomId: string;
  readonly userId: string;
  readonly deviceId: string;
  /** Client API of the person's homeserver: Element Call asks it for /versions by itself. */
  readonly homeserver: string;
  /** Media keys per person, which an encrypted room needs. */
  readonly encrypted: boolean;
  /** Somebody is in the call already: nobody is told of a new one. */
  readonly running: boolean;
  readonly language: string;
  readonly theme: "light" | "dark";
}

/**
 * Everything about the person and the room stands in the fragment, which servers do not see. The lobby is always shown: people see themselves
 * before others do, and decide about camera and microphone.
 */
export function callUrl(o: CallAddress): string {
  const url = new URL(`${o.elementCall}/index.html`);
  url.searchParams.set("widgetId", o.widgetId);
  url.searchParams.set("parentUrl", o.page.split("#")[0] ?? o.page);
  const hash = new URLSearchParams({
    roomId: o.roomId,
    userId: o.userId,
    deviceId: o.deviceId,
    baseUrl: o.homeserver,
    perParticipantE2EE: String(o.encrypted),
    intent: o.running ? "join_existing" : "start_call",
    skipLobby: "false",
    confineToRoom: "true",
    header: "none",
    sendNotificationType: "notification",
    lang: o.language,
    theme: o.theme,
  });
  return `${url.toString()}#?${hash.toString()}`;
}

/** Waited for by its own requests: Element Call sends no content_loaded. */
export const callWidget = (id: string, roomId: string, me: string, name: string, url: string): RoomWidget => ({
  id,
  roomId,
  eventId: "",
  sender: me,
  name,
  type: "m.call",
  url,
  data: {},
  waitForIframeLoad: false,
});

/** Whether a widget is Lectern's page about the call, which may ask to open it (`com.educationpub.open_call`). */
export function isCallLauncher(widgetUrl: string, lectern: string): boolean {
  if (!URL.canParse(widgetUrl)) return false;
  const url = new URL(widgetUrl);
  return url.origin === new URL(lectern).origin && url.pathname === `${new URL(lectern).pathname.replace(/\/$/, "")}/widgets/call`;
}
