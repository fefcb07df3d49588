/** The Matrix side of the page: one client with its crypto, seen by the UI as snapshots. Loaded only after sign-in (matrix-js-sdk and its wasm are large). */
import {
  ClientEvent,
  createClient,
  HttpApiEvent,
  RoomEvent,
  RoomMemberEvent,
  RoomStateEvent,
  SyncState,
  type MatrixClient,
  type MatrixEvent,
  type Room,
} from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger";
import { LoggerLevel, Tracing } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Session } from "./account";
import { WIDGET_TYPE, type WidgetState } from "./add/board";
import { RoomServer } from "./add/server";
import type { Client } from "./add/setup";
import { inCall } from "./call/members";
import { memberEvents } from "./call/state";
import { serverOf } from "./config";
import { shownName } from "./names";
import { reasonOf } from "./reason";
import { powerOf, roleOf, type Powers, type Role } from "./roles";
import { WIDGET_EVENT_TYPES, widgetsFromEvents, type RoomWidget } from "./widgets";

export interface RoomSummary {
  readonly id: string;
  readonly name: string;
  readonly membership: "join" | "invite";
  readonly encrypted: boolean;
  /** Display name of who invited us; "" if unknown or joined. */
  readonly inviter: string;
  readonly hasWidgets: boolean;
  /** The room that replaces this one, says its tombstone; "" if none. */
  readonly replacedBy: string;
}

export interface MemberView {
  readonly userId: string;
  readonly name: string;
  readonly membership: "join" | "invite";
  readonly role: Role;
  /** Server name of people of other homeservers, else "". */
  readonly external: string;
}

export interface RoomDetail {
  readonly summary: RoomSummary;
  readonly widgets: readonly RoomWidget[];
  readonly members: readonly MemberView[];
  readonly powers: Powers;
  /** User ids of those who are in the room's call. */
  readonly call: readonly string[];
  /** Widget events without a widget: removed ones. */
  readonly empty: readonly WidgetState[];
}

export interface Snapshot {
  readonly sync: "starting" | "live" | "reconnecting";
  readonly rooms: readonly RoomSummary[];
  /** Rises with every change: details are cached by it. */
  readonly version: number;
  /** True once the homeserver has ended this session. */
  readonly ended: boolean;
}

export type StartStage = "crypto" | "rooms";

/** Thrown by `start`; nothing is running afterwards. */
export class StartError extends Error {
  constructor(
    readonly stage: StartStage,
    readonly detail: string,
  ) {
    super(`${stage}: ${detail}`);
  }
}

// The SDK logs every request and key operation; a school's shared computer does not need that in its console.
// (It is a loglevel logger; its published type leaves that out. `false`: do not write the level into localStorage.)
(logger as unknown as { setLevel(level: string, persist: boolean): void }).setLevel("error", false);

const FIRST_SYNC_TRIES = 3;

export class Classroom implements Client {
  private snap: Snapshot = { sync: "starting", rooms: [], version: 0, ended: false };
  private readonly listeners = new Set<() => void>();
  private readonly details = new Map<string, { version: number; detail: RoomDetail | null }>();
  private pending = false;
  private closed = false;

  /** What changes rooms. */
  readonly server: RoomServer;

  private constructor(
    readonly client: MatrixClient,
    readonly session: Session,
  ) {
    this.server = new RoomServer(client);
  }

  /** Starts crypto and sync; resolves when the rooms are there. Throws StartError. */
  static async start(session: Session, onStage: (stage: StartStage) => void): Promise<Classroom> {
    const client = createClient({
      baseUrl: session.homeserver,
      userId: session.userId,
      deviceId: session.deviceId,
      accessToken: session.accessToken,
      timelineSupport: true,
    });
    onStage("crypto");
    try {
      await client.initRustCrypto();
      new Tracing(LoggerLevel.Error).turnOn(); // the SDK turns on debug output, which names devices and keys
    } catch (err) {
      client.stopClient();
      throw new StartError("crypto", reasonOf(err));
    }
    const classroom = new Classroom(client, session);
    classroom.listen();
    onStage("rooms");
    const ready = classroom.firstSync();
    try {
      await client.startClient({ initialSyncLimit: 20, lazyLoadMembers: false, pollTimeout: 20_000 });
      await ready;
    } catch (err) {
      classroom.close();
      if (err instanceof StartError) throw err;
      throw new StartError("rooms", reasonOf(err));
    }
    classroom.recompute();
    return classroom;
  }

  get me(): string {
    return this.session.userId;
  }

  readonly get = (): Snapshot => this.snap;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** One room with its people and widgets; null if we are not in it. The same object until something changes. */
  detail(roomId: string): RoomDetail | null {
    const cached = this.details.get(roomId);
    if (cached?.version === this.snap.version) return cached.detail;
    const room = this.client.getRoom(roomId);
    const summary = room && summaryOf(room);
    const detail = room && summary?.membership === "join" ? { summary, widgets: widgetsOf(room), members: this.membersOf(room), powers: powersOf(room), call: callOf(room), empty: emptyOf(room) } : null;
    this.details.set(roomId, { version: this.snap.version, detail });
    return detail;
  }

  displayName(roomId?: string): string {
    const { userId } = this.session;
    const member = roomId ? this.client.getRoom(roomId)?.getMember(userId) : null;
    return member?.rawDisplayName ?? this.client.getUser(userId)?.displayName ?? userId;
  }

  async join(roomId: string): Promise<void> {
    const inviter = this.client.getRoom(roomId)?.getDMInviter() ?? this.inviterOf(roomId);
    const via = [serverOf(roomId), serverOf(inviter ?? "")].filter((s) => s !== "");
    await this.client.joinRoom(roomId, { viaServers: [...new Set(via)] });
  }

  /** Enters the room that replaces one, if we are not in it yet. */
  async follow(roomId: string, next: string): Promise<void> {
    if (this.client.getRoom(next)?.getMyMembership() === "join") return;
    const by = this.client.getRoom(roomId)?.currentState.getStateEvents("m.room.tombstone", "")?.getSender() ?? "";
    const via = [serverOf(by), serverOf(next)].filter((s) => s !== "");
    await this.client.joinRoom(next, { viaServers: [...new Set(via)] });
  }

  async leave(roomId: string): Promise<void> {
    await this.client.leave(roomId);
  }

  /** The room's power levels as of the last /sync. */
  powers(roomId: string): Powers {
    const room = this.client.getRoom(roomId);
    return room ? powersOf(room) : { powerLevels: undefined, create: undefined };
  }

  widgetIds(roomId: string): string[] {
    return this.detail(roomId)?.widgets.map((w) => w.id) ?? [];
  }

  /** The most powerful first. */
  whoHas(roomId: string, power: number, companion: string, most = 3): string[] {
    const { members = [], powers } = this.detail(roomId) ?? {};
    if (!powers) return [];
    return members
      .filter((m) => m.membership === "join" && m.userId !== this.session.userId && m.userId !== companion && powerOf(powers, m.userId) >= power)
      .slice(0, most)
      .map((m) => m.name);
  }

  changed(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        stop();
        resolve();
      };
      const stop = this.subscribe(done);
      const timer = setTimeout(done, ms);
    });
  }

  /** Waits until /sync has brought a room, `ms` at most. Says whether it has. */
  async roomSeen(roomId: string, ms: number): Promise<boolean> {
    for (const end = Date.now() + ms; !this.detail(roomId) && Date.now() < end; ) await this.changed(end - Date.now());
    return this.detail(roomId) !== null;
  }

  /** The room with a widget of this id, if it appears within `ms`. */
  async roomWithWidget(id: string, ms: number): Promise<string | null> {
    for (const end = Date.now() + ms; ; ) {
      const room = this.client.getRooms().find((r) => r.currentState.getStateEvents(WIDGET_TYPE, id) !== null);
      if (room) return room.roomId;
      if (Date.now() >= end) return null;
      await this.changed(end - Date.now());
    }
  }

  /** Stops everything. The session stays valid on the homeserver. */
  close(): void {
    this.closed = true;
    this.client.stopClient();
    this.client.removeAllListeners();
  }

  private inviterOf(roomId: string): string | undefined {
    return this.client.getRoom(roomId)?.getMember(this.session.userId)?.events.member?.getSender();
  }

  private firstSync(): Promise<void> {
    return new Promise((resolve, reject) => {
      let failures = 0;
      this.client.on(ClientEvent.Sync, (state, _before, data) => {
        if (state === SyncState.Prepared || state === SyncState.Syncing) resolve();
        // The SDK itself goes on trying for ever; a person wants to know after the third time.
        if (state === SyncState.Error && ++failures >= FIRST_SYNC_TRIES) reject(new StartError("rooms", reasonOf(data?.error)));
        if (state === SyncState.Stopped) reject(new StartError("rooms", "stopped"));
      });
      this.client.on(HttpApiEvent.SessionLoggedOut, () => resolve());
    });
  }

  private listen(): void {
    const c = this.client;
    c.on(ClientEvent.Sync, (state) => {
      const sync = state === SyncState.Prepared || state === SyncState.Syncing ? "live" : this.snap.sync === "starting" ? "starting" : "reconnecting";
      if (sync !== this.snap.sync) this.publish({ ...this.snap, sync });
    });
    c.on(HttpApiEvent.SessionLoggedOut, () => this.publish({ ...this.snap, ended: true }));
    const later = (): void => this.schedule();
    c.on(ClientEvent.Room, later);
    c.on(ClientEvent.DeleteRoom, later);
    c.on(RoomEvent.MyMembership, later);
    c.on(RoomEvent.Name, later);
    c.on(RoomStateEvent.Events, later);
    c.on(RoomMemberEvent.Membership, later);
    c.on(RoomMemberEvent.Name, later);
  }

  /** Many events arrive in one turn of the sync loop: one recomputation for all of them. */
  private schedule(): void {
    if (this.pending || this.closed) return;
    this.pending = true;
    setTimeout(() => {
      this.pending = false;
      if (!this.closed) this.recompute();
    }, 30);
  }

  private recompute(): void {
    const rooms = this.client
      .getRooms()
      .map(summaryOf)
      .filter((r) => r !== null)
      .sort((a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id));
    this.publish({ ...this.snap, rooms, version: this.snap.version + 1 });
  }

  private publish(next: Snapshot): void {
    this.snap = next;
    for (const l of this.listeners) l();
  }

  private membersOf(room: Room): MemberView[] {
    const powers = powersOf(room);
    const home = serverOf(this.session.userId);
    return room
      .getMembers()
      .filter((m) => m.membership === "join" || m.membership === "invite")
      .map((m) => {
        const server = serverOf(m.userId);
        return {
          view: {
            userId: m.userId,
            name: shownName(m.rawDisplayName) || m.userId,
            membership: m.membership === "invite" ? ("invite" as const) : ("join" as const),
            role: roleOf(powers, m.userId),
            external: server === home ? "" : server,
          },
          power: powerOf(powers, m.userId),
        };
      })
      .sort((a, b) => (a.power === b.power ? a.view.name.localeCompare(b.view.name) : b.power > a.power ? 1 : -1))
      .map((m) => m.view);
  }
}

/** Removes what the SDK keeps in this browser: the stores of crypto keys, and its filter ids. */
export async function clearStores(): Promise<void> {
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith("mxjssdk_memory_filter_")) localStorage.removeItem(key);
  } catch {
    // storage refused: then nothing was kept either
  }
  await Promise.all(
    ["matrix-js-sdk::matrix-sdk-crypto", "matrix-js-sdk::matrix-sdk-crypto-meta"].map(
      (name) =>
        new Promise<void>((resolve) => {
          const request = indexedDB.deleteDatabase(name);
          request.onsuccess = request.onerror = request.onblocked = () => resolve();
        }),
    ),
  );
}

export function stateEvents(room: Room, type: string): MatrixEvent[] {
  return room.currentState.getStateEvents(type);
}

function powersOf(room: Room): Powers {
  const create = room.currentState.getStateEvents("m.room.create", "");
  return {
    powerLevels: room.currentState.getStateEvents("m.room.power_levels", "")?.getContent(),
    create: create ? { sender: create.getSender() ?? "", content: create.getContent() } : undefined,
  };
}

function widgetsOf(room: Room): RoomWidget[] {
  return widgetsFromEvents(
    WIDGET_EVENT_TYPES.flatMap((type) =>
      stateEvents(room, type).map((ev) => ({
        type,
        stateKey: ev.getStateKey() ?? "",
        eventId: ev.getId() ?? "",
        sender: ev.getSender() ?? "",
        roomId: room.roomId,
        content: ev.getContent(),
      })),
    ),
  );
}

const callOf = (room: Room): string[] => inCall(memberEvents(room), (id) => room.getMember(id)?.membership === "join", Date.now());

function emptyOf(room: Room): WidgetState[] {
  return stateEvents(room, WIDGET_TYPE)
    .filter((ev) => typeof ev.getContent()["url"] !== "string")
    .map((ev) => ({ id: ev.getStateKey() ?? "", content: ev.getContent() }));
}

function replacementOf(room: Room): string {
  const next: unknown = room.currentState.getStateEvents("m.room.tombstone", "")?.getContent()["replacement_room"];
  return typeof next === "string" && next.startsWith("!") && next.length <= 255 ? next : "";
}

function summaryOf(room: Room): RoomSummary | null {
  const membership = room.getMyMembership();
  if (membership !== "join" && membership !== "invite") return null;
  const me = room.getMember(room.myUserId)?.events.member;
  const by = membership === "invite" ? (me?.getSender() ?? "") : "";
  return {
    id: room.roomId,
    name: shownName(room.name) || room.roomId,
    membership,
    encrypted: room.currentState.getStateEvents("m.room.encryption", "") !== null,
    inviter: by === "" ? "" : shownName(room.getMember(by)?.rawDisplayName ?? "") || by,
    hasWidgets: widgetsOf(room).length > 0,
    replacedBy: replacementOf(room),
  };
}
