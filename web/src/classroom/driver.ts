/** What a widget may do through this client, over the Matrix SDK. Nothing is sent into the room for a widget but power levels, which moderators change on the board. */
import { EventTimeline, EventType, type MatrixEvent, type Room } from "matrix-js-sdk";
import {
  OpenIDRequestState,
  WidgetDriver,
  type Capability,
  type IOpenIDUpdate,
  type IRoomEvent,
  type ISendDelayedEventDetails,
  type ISendEventDetails,
  type SimpleObservable,
} from "matrix-widget-api";
import { sortRequest } from "./capabilities";
import type { Grants } from "./grants";
import { stateEvents, type Classroom } from "./matrix";
import { reasonOf } from "./reason";
import { Withdrawn, type Prompts } from "./prompts";
import type { RoomWidget } from "./widgets";

const READ_LIMIT = 100;

/** An event as the widget API wants it: decrypted where we could. */
export const rawEvent = (ev: MatrixEvent): IRoomEvent => ev.getEffectiveEvent() as IRoomEvent;

export interface DriverOptions {
  readonly classroom: Classroom;
  readonly widget: RoomWidget;
  readonly prompts: Prompts;
  readonly grants: Grants;
  /** Aborted when the widget goes away: withdraws its questions. */
  readonly signal: AbortSignal;
  /** Shows a room; called only for rooms we are in. */
  readonly onNavigate: (roomId: string) => void;
}

export class ClassroomDriver extends WidgetDriver {
  constructor(private readonly o: DriverOptions) {
    super();
  }

  override async validateCapabilities(requested: Set<Capability>): Promise<Set<Capability>> {
    const { widget, prompts, grants, signal } = this.o;
    const { automatic, ask } = sortRequest(requested, widget.roomId);
    const known = grants.capabilities(widget);
    const allowed = new Set<Capability>(automatic);
    for (const { capability } of ask) if (known.allowed.has(capability)) allowed.add(capability);
    const open = ask.filter(({ capability }) => !known.allowed.has(capability) && !known.declined.has(capability));
    if (open.length === 0) return allowed;
    try {
      const answer = await prompts.capabilities(widget, open, signal);
      const yes = open.map((a) => a.capability).filter((c) => answer.allowed.has(c));
      for (const c of yes) allowed.add(c);
      if (answer.remember) {
        const no = open.map((a) => a.capability).filter((c) => !answer.allowed.has(c));
        grants.rememberCapabilities(widget, yes, no);
      }
    } catch (err) {
      if (!(err instanceof Withdrawn)) throw err;
    }
    return allowed;
  }

  override askOpenID(observer: SimpleObservable<IOpenIDUpdate>): void {
    void this.identity(observer);
  }

  private async identity(observer: SimpleObservable<IOpenIDUpdate>): Promise<void> {
    const { widget, prompts, grants, signal, classroom } = this.o;
    try {
      let answer = grants.identity(widget);
      if (answer === "ask") {
        observer.update({ state: OpenIDRequestState.PendingUserConfirmation });
        const given = await prompts.identity(widget, signal);
        answer = given.allow ? "allow" : "deny";
        if (given.remember) grants.rememberIdentity(widget, answer);
      }
      if (answer === "deny") return observer.update({ state: OpenIDRequestState.Blocked });
      const token = await classroom.client.getOpenIdToken();
      observer.update({ state: OpenIDRequestState.Allowed, token });
    } catch (err) {
      if (!(err instanceof Withdrawn)) console.warn("identity for widget not given:", reasonOf(err));
      observer.update({ state: OpenIDRequestState.Blocked });
    }
  }

  /** Power levels only; that the person has allowed it has been checked. */
  override async sendEvent(eventType: string, content: object, stateKey?: string | null, roomId?: string | null): Promise<ISendEventDetails> {
    const { classroom, widget } = this.o;
    if (eventType !== "m.room.power_levels" || stateKey !== "" || (roomId ?? widget.roomId) !== widget.roomId) throw new Error("This client sends nothing but power levels for widgets");
    const { event_id } = await classroom.client.sendStateEvent(widget.roomId, EventType.RoomPowerLevels, content, "");
    return { roomId: widget.roomId, eventId: event_id };
  }

  override sendDelayedEvent(_delay: number, _eventType: string, _content: object, _stateKey?: string | null, _roomId?: string | null): Promise<ISendDelayedEventDetails> {
    return Promise.reject(new Error("This client does not send delayed events for widgets"));
  }

  override async sendToDevice(eventType: string, encrypted: boolean, contentMap: { [userId: string]: { [deviceId: string]: object } }): Promise<void> {
    const { client } = this.o.classroom;
    if (!encrypted) {
      const map = new Map(Object.entries(contentMap).map(([user, devices]) => [user, new Map(Object.entries(devices).map(([d, c]) => [d, { ...c }]))]));
      await client.sendToDevice(eventType, map);
      return;
    }
    const crypto = client.getCrypto();
    if (!crypto) throw new Error("Encryption is not available");
    const known = await crypto.getUserDeviceInfo(Object.keys(contentMap), true);
    for (const [userId, devices] of Object.entries(contentMap)) {
      for (const [deviceId, content] of Object.entries(devices)) {
        // "*" stands for all devices of the person; encryption needs their names.
        const ids = deviceId === "*" ? [...(known.get(userId)?.keys() ?? [])] : [deviceId];
        const targets = ids.map((id) => ({ userId, deviceId: id }));
        if (targets.length > 0) await client.encryptAndSendToDevice(eventType, targets, { ...content });
      }
    }
  }

  override async readRoomState(roomId: string, eventType: string, stateKey: string | undefined): Promise<IRoomEvent[]> {
    return stateEvents(this.room(roomId), eventType)
      .filter((ev) => stateKey === undefined || ev.getStateKey() === stateKey)
      .map(rawEvent);
  }

  override async readRoomTimeline(
    roomId: string,
    eventType: string,
    msgtype: string | undefined,
    stateKey: string | undefined,
    limit: number,
    since: string | undefined,
  ): Promise<IRoomEvent[]> {
    const events = this.room(roomId).getLiveTimeline().getEvents();
    const most = limit > 0 ? Math.min(limit, READ_LIMIT) : READ_LIMIT;
    const found: IRoomEvent[] = [];
    for (let i = events.length - 1; i >= 0 && found.length < most; i--) {
      const ev = events[i];
      if (!ev || ev.getId() === since) break;
      if (ev.getType() !== eventType || ev.isState() !== (stateKey !== undefined)) continue;
      if (stateKey !== undefined && ev.getStateKey() !== stateKey) continue;
      if (msgtype !== undefined && ev.getContent()["msgtype"] !== msgtype) continue;
      found.push(rawEvent(ev));
    }
    return found;
  }

  /** The widget's own room and no other: more than one room is never granted. */
  override getKnownRooms(): string[] {
    return [this.o.widget.roomId];
  }

  override async navigate(uri: string): Promise<void> {
    const roomId = roomFromLink(uri);
    const room = roomId && this.o.classroom.client.getRoom(roomId);
    if (!room || room.getMyMembership() !== "join") throw new Error("Not a room you are in");
    this.o.onNavigate(room.roomId);
  }

  override processError(err: unknown): { matrix_api_error: { http_status: number; http_headers: Record<string, string>; url: string; response: { errcode: string; error: string } } } | undefined {
    if (!(err instanceof Error) || !("errcode" in err) || typeof err.errcode !== "string") return undefined;
    const status = "httpStatus" in err && typeof err.httpStatus === "number" ? err.httpStatus : 0;
    return { matrix_api_error: { http_status: status, http_headers: {}, url: "", response: { errcode: err.errcode, error: reasonOf(err) } } };
  }

  private room(roomId: string): Room {
    const room = roomId === this.o.widget.roomId ? this.o.classroom.client.getRoom(roomId) : null;
    if (!room?.getLiveTimeline().getState(EventTimeline.FORWARDS)) throw new Error("Unknown room");
    return room;
  }
}

/** The room id in a matrix.to or matrix: link; null for anything else. */
export function roomFromLink(uri: string): string | null {
  const permalink = /^https:\/\/matrix\.to\/#\/([^/?]+)/.exec(uri)?.[1];
  if (permalink !== undefined) {
    try {
      const id = decodeURIComponent(permalink);
      return id.startsWith("!") ? id : null;
    } catch {
      return null;
    }
  }
  const scheme = /^matrix:roomid\/([^/?]+)/.exec(uri)?.[1];
  return scheme === undefined ? null : `!${scheme}`;
}
