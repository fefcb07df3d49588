/** What Element Call may do through this client: the list in allow.ts, in one room, in the name of one device. Everything else stays as for other widgets. */
import { Direction, Method, UpdateDelayedEventAction, type MatrixClient, type StateEvents, type TimelineEvents } from "matrix-js-sdk";
import {
  OpenIDRequestState,
  type Capability,
  type IOpenIDCredentials,
  type IOpenIDUpdate,
  type IReadEventRelationsResult,
  type IRtcTransportsResult,
  type ISendDelayedEventDetails,
  type ISendEventDetails,
  type SimpleObservable,
} from "matrix-widget-api";
import { ClassroomDriver, rawEvent, type DriverOptions } from "../driver";
import { reasonOf } from "../reason";
import { capabilitiesOf, MEMBER, sending, TO_DEVICE, type Device } from "./allow";
import { refusal } from "./acts";
import type { Over } from "./calls";
import { transportsOf } from "./transports";

const DELAYED = "org.matrix.msc4140";
const TRANSPORTS = "/_matrix/client/unstable/org.matrix.msc4143";
/** A device that joins a call may be newer than what we know of its person: the homeserver is asked anew for as long. */
const NEW_DEVICE_TRIES = 10;
const NEW_DEVICE_MS = 1000;

export interface CallDriverOptions extends DriverOptions {
  /** Token service for homeservers that name none; "" for none. */
  readonly rtcTransport: string;
  /** The token service lets this device in no more, or not yet. */
  readonly onRefused: (why: Omit<Over, "again">) => void;
}

export class CallDriver extends ClassroomDriver {
  private readonly device: Device;
  /** Keys under which this device says to be in the call. Owned by this driver. */
  private readonly standing = new Set<string>();
  private readonly delays = new Set<string>();
  private closed = false;

  constructor(private readonly call: CallDriverOptions) {
    super(call);
    const { userId, deviceId } = call.classroom.session;
    this.device = { roomId: call.widget.roomId, userId, deviceId };
  }

  /** Keys of the own membership that is still in the room, as far as this driver wrote it. */
  get memberships(): readonly string[] {
    return [...this.standing];
  }

  override async validateCapabilities(requested: Set<Capability>): Promise<Set<Capability>> {
    const allowed = capabilitiesOf(this.device, await this.client.doesServerSupportUnstableFeature(DELAYED));
    return new Set([...requested].filter((c) => allowed.has(c)));
  }

  /** The token service has to know who comes, and it is the operator's. */
  override askOpenID(observer: SimpleObservable<IOpenIDUpdate>): void {
    this.identify().then(
      (token) => observer.update(token ? { state: OpenIDRequestState.Allowed, token } : { state: OpenIDRequestState.Blocked }),
      (err: unknown) => {
        console.warn("identity for the call not given:", reasonOf(err));
        observer.update({ state: OpenIDRequestState.Blocked });
      },
    );
  }

  /** Who this is; null where that would be of no use. The token service says to Element Call, too, why it lets nobody in, and Element Call does not pass that on. */
  private async identify(): Promise<IOpenIDCredentials | null> {
    const token = await this.client.getOpenIdToken();
    if (this.call.rtcTransport === "") return token;
    try {
      const why = await refusal(this.call.rtcTransport, this.device, token);
      if (!why) return token;
      if (!this.closed) this.call.onRefused(why);
      return null;
    } catch (err) {
      console.warn("the token service does not answer:", reasonOf(err));
      return token;
    }
  }

  override async sendEvent(eventType: string, content: object, stateKey?: string | null, roomId?: string | null): Promise<ISendEventDetails> {
    const what = sending(this.device, eventType, content, stateKey, roomId);
    if (this.closed || what.kind === "refused") throw new Error(`Element Call may not send ${eventType}`);
    const at = this.device.roomId;
    switch (what.kind) {
      case "state":
        return { roomId: at, eventId: await this.member(what.key, content, what.leaves) };
      case "event":
        return { roomId: at, eventId: (await this.client.sendEvent(at, eventType as keyof TimelineEvents, content as TimelineEvents[keyof TimelineEvents])).event_id };
      case "redaction": {
        if ((await this.senderOf(what.of)) !== this.device.userId) throw new Error("Element Call may redact only what its person sent");
        const { event_id } = await this.client.redactEvent(at, what.of, undefined, what.reason === undefined ? undefined : { reason: what.reason });
        return { roomId: at, eventId: event_id };
      }
    }
  }

  /** Only the own membership's end: what the homeserver writes when this device falls silent. */
  override async sendDelayedEvent(delay: number, eventType: string, content: object, stateKey?: string | null, roomId?: string | null): Promise<ISendDelayedEventDetails> {
    const what = sending(this.device, eventType, content, stateKey, roomId);
    if (this.closed || what.kind !== "state" || !what.leaves) throw new Error("Only leaving the call can be sent later");
    const { delay_id } = await this.client._unstable_sendDelayedStateEvent(this.device.roomId, { delay }, MEMBER as keyof StateEvents, content as StateEvents[keyof StateEvents], what.key);
    this.delays.add(delay_id);
    return { roomId: this.device.roomId, delayId: delay_id };
  }

  override cancelScheduledDelayedEvent(id: string): Promise<void> {
    return this.updateDelay(id, UpdateDelayedEventAction.Cancel);
  }

  override restartScheduledDelayedEvent(id: string): Promise<void> {
    return this.updateDelay(id, UpdateDelayedEventAction.Restart);
  }

  override sendScheduledDelayedEvent(id: string): Promise<void> {
    return this.updateDelay(id, UpdateDelayedEventAction.Send);
  }

  /** Devices that get the same are sent to at once. Those that are not known yet get theirs as soon as they are. */
  override async sendToDevice(eventType: string, encrypted: boolean, contentMap: { [userId: string]: { [deviceId: string]: object } }): Promise<void> {
    if (!encrypted || !TO_DEVICE.has(eventType)) throw new Error(`Element Call may not send ${eventType} to devices${encrypted ? "" : " in clear"}`);
    const groups = new Map<string, { content: object; devices: { userId: string; deviceId: string }[] }>();
    for (const [userId, devices] of Object.entries(contentMap)) {
      for (const [deviceId, content] of Object.entries(devices)) {
        const key = JSON.stringify(content);
        const group = groups.get(key) ?? { content, devices: [] };
        group.devices.push({ userId, deviceId });
        groups.set(key, group);
      }
    }
    for (const { content, devices } of groups.values()) {
      const unknown = await this.sendEncrypted(eventType, devices, content);
      if (unknown.length > 0) void this.sendLater(eventType, unknown, content);
    }
  }

  override async readEventRelations(
    eventId: string,
    roomId?: string,
    relationType?: string,
    eventType?: string,
    from?: string,
    to?: string,
    limit?: number,
    direction?: "f" | "b",
  ): Promise<IReadEventRelationsResult> {
    if ((roomId ?? this.device.roomId) !== this.device.roomId) throw new Error("Unknown room");
    const found = await this.client.relations(this.device.roomId, eventId, relationType ?? null, eventType ?? null, {
      dir: direction === "f" ? Direction.Forward : Direction.Backward,
      ...(from !== undefined && { from }),
      ...(to !== undefined && { to }),
      ...(limit !== undefined && { limit }),
    });
    return {
      chunk: found.events.filter((ev) => !ev.isDecryptionFailure()).map(rawEvent),
      ...(found.nextBatch && { nextBatch: found.nextBatch }),
      ...(found.prevBatch && { prevBatch: found.prevBatch }),
    };
  }

  /** The homeserver's own answer, else what the configuration says: not every homeserver has the path (Dendrite has not). */
  override async getRtcTransports(): Promise<IRtcTransportsResult> {
    let named: IRtcTransportsResult["rtc_transports"] = [];
    try {
      named = transportsOf(await this.client.http.authedRequest<unknown>(Method.Get, "/rtc/transports", undefined, undefined, { prefix: TRANSPORTS }));
    } catch (err) {
      if (this.call.rtcTransport === "") throw err;
    }
    if (named.length > 0 || this.call.rtcTransport === "") return { rtc_transports: named };
    return { rtc_transports: [{ type: "livekit", livekit_service_url: this.call.rtcTransport }] };
  }

  /** Pictures of the room's members, and no other files. */
  override async downloadFile(contentUri: string): Promise<{ file: XMLHttpRequestBodyInit }> {
    const members = this.client.getRoom(this.device.roomId)?.getMembers() ?? [];
    if (!members.some((m) => m.getMxcAvatarUrl() === contentUri)) throw new Error("Only pictures of members");
    const url = this.client.mxcUrlToHttp(contentUri, 96, 96, "crop", false, true, true);
    if (url === null) throw new Error("Not a picture");
    const answer = await fetch(url, { headers: { Authorization: `Bearer ${this.call.classroom.session.accessToken}` } });
    if (!answer.ok) throw new Error(`The picture cannot be had: ${answer.status}`);
    return { file: await answer.blob() };
  }

  override navigate(): Promise<void> {
    return Promise.reject(new Error("Element Call does not navigate"));
  }

  /** Takes the own membership out of the room, as far as it is still there. From then on nothing is sent for this call. */
  async leave(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.standing].map((key) => this.member(key, {}, true)));
  }

  private async member(key: string, content: object, leaves: boolean): Promise<string> {
    if (!leaves) this.standing.add(key); // before the request: its answer may never come
    const { event_id } = await this.client.sendStateEvent(this.device.roomId, MEMBER as keyof StateEvents, content as StateEvents[keyof StateEvents], key);
    if (leaves) this.standing.delete(key);
    return event_id;
  }

  private async updateDelay(id: string, action: UpdateDelayedEventAction): Promise<void> {
    if (!this.delays.has(id)) throw new Error("Not a delayed event of this call");
    await this.client._unstable_updateDelayedEvent(id, action);
    if (action === UpdateDelayedEventAction.Send) this.standing.clear();
  }

  private async senderOf(eventId: string): Promise<string | undefined> {
    const known = this.client.getRoom(this.device.roomId)?.findEventById(eventId)?.getSender();
    return known ?? (await this.client.fetchRoomEvent(this.device.roomId, eventId)).sender;
  }

  /** Answers with the devices that are not known, which got nothing. */
  private async sendEncrypted(eventType: string, devices: readonly { userId: string; deviceId: string }[], content: object): Promise<{ userId: string; deviceId: string }[]> {
    const crypto = this.client.getCrypto();
    if (!crypto) throw new Error("Encryption is not available");
    const known = await crypto.getUserDeviceInfo([...new Set(devices.map((d) => d.userId))], true);
    const isKnown = (d: { userId: string; deviceId: string }): boolean => known.get(d.userId)?.has(d.deviceId) ?? false;
    const there = devices.filter(isKnown);
    if (there.length > 0) await this.client.encryptAndSendToDevice(eventType, there, { ...content });
    return devices.filter((d) => !isKnown(d));
  }

  private async sendLater(eventType: string, devices: { userId: string; deviceId: string }[], content: object): Promise<void> {
    let left = devices;
    try {
      for (let i = 0; i < NEW_DEVICE_TRIES && left.length > 0 && !this.closed; i++) {
        await new Promise((resolve) => setTimeout(resolve, NEW_DEVICE_MS));
        if (!this.closed) left = await this.sendEncrypted(eventType, left, content);
      }
    } catch (err) {
      console.warn("a media key could not be sent:", reasonOf(err));
      return;
    }
    if (left.length > 0) console.warn(`media keys of ${left.length} devices could not be sent: the homeserver does not know them`);
  }

  private get client(): MatrixClient {
    return this.call.classroom.client;
  }
}

