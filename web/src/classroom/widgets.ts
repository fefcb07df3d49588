/** Widgets of a room: reading them from its state, and the address that goes into the iframe (as Element builds it). */
import { runTemplate, type IWidget } from "matrix-widget-api";
import { shownName } from "./names";

/** `im.vector.modular.widgets` is what Element knows; `m.widget` is the stable name. The first wins for the same id. */
export const WIDGET_EVENT_TYPES = ["im.vector.modular.widgets", "m.widget"] as const;

/** Element's iframe attributes. No modals, no navigation of the page around it. */
export const IFRAME_SANDBOX =
  "allow-forms allow-popups allow-popups-to-escape-sandbox allow-same-origin allow-scripts allow-presentation allow-downloads";
export const IFRAME_ALLOW = "microphone; camera; encrypted-media; autoplay; display-capture; clipboard-write; clipboard-read;";

/** A widget of a room that can be shown. */
export interface RoomWidget {
  readonly id: string;
  readonly roomId: string;
  readonly eventId: string;
  /** Who put it there: they see it without being asked. */
  readonly sender: string;
  readonly name: string;
  readonly type: string;
  /** The address with its $variables. */
  readonly url: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly waitForIframeLoad: boolean;
}

/** The fields of a state event that are read here. */
export interface WidgetEvent {
  readonly type: string;
  readonly stateKey: string;
  readonly eventId: string;
  readonly sender: string;
  readonly roomId: string;
  readonly content: Readonly<Record<string, unknown>>;
}

const isRecord = (v: unknown): v is Record<string, unknown> => typeof v === "object" && v !== null && !Array.isArray(v);

/** The widget in a state event, or null if it is removed or not something to put into an iframe. */
export function widgetFromEvent(ev: WidgetEvent): RoomWidget | null {
  const { url, type, name, data } = ev.content;
  if (typeof url !== "string" || typeof type !== "string" || ev.stateKey === "") return null;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) return null;
  return {
    id: ev.stateKey,
    roomId: ev.roomId,
    eventId: ev.eventId,
    sender: ev.sender,
    name: (typeof name === "string" && shownName(name)) || new URL(url).host,
    type,
    url,
    data: isRecord(data) ? data : {},
    waitForIframeLoad: ev.content["waitForIframeLoad"] !== false,
  };
}

/** All widgets of a room, by name. */
export function widgetsFromEvents(events: readonly WidgetEvent[]): RoomWidget[] {
  const byId = new Map<string, RoomWidget>();
  for (const type of WIDGET_EVENT_TYPES) {
    for (const ev of events) {
      if (ev.type !== type || byId.has(ev.stateKey)) continue;
      const widget = widgetFromEvent(ev);
      if (widget) byId.set(widget.id, widget);
    }
  }
  return [...byId.values()].sort((a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id));
}

/** Who is looking, for the variables of the address. They are hints for the widget, never proof. */
export interface Viewer {
  readonly userId: string;
  readonly displayName: string;
  readonly avatarUrl: string;
  readonly deviceId: string;
  readonly baseUrl: string;
  readonly theme: "light" | "dark";
  readonly language: string;
}

export const CLIENT_ID = "com.educationpub.classroom";

/** The definition in the shape of the widget API. */
export const definitionOf = (w: RoomWidget): IWidget => ({
  id: w.id,
  creatorUserId: w.sender,
  type: w.type,
  name: w.name,
  url: w.url,
  data: { ...w.data },
  waitForIframeLoad: w.waitForIframeLoad,
});

/** The iframe's address: variables filled in, then `widgetId` and `parentUrl` set, overwriting what the widget says. `page` is the address of the page, fragment dropped. */
export function widgetUrl(w: RoomWidget, viewer: Viewer, page: string): string {
  const filled = runTemplate(w.url, definitionOf(w), {
    widgetRoomId: w.roomId,
    currentUserId: viewer.userId,
    userDisplayName: viewer.displayName,
    userHttpAvatarUrl: viewer.avatarUrl,
    clientId: CLIENT_ID,
    clientTheme: viewer.theme,
    clientLanguage: viewer.language,
    deviceId: viewer.deviceId,
    baseUrl: viewer.baseUrl,
  });
  const url = new URL(filled);
  url.searchParams.set("widgetId", w.id);
  url.searchParams.set("parentUrl", page.split("#")[0] ?? page);
  return url.toString();
}
