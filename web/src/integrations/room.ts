/** A room as the Matrix client around this page lets us see and change it. */
import { WIDGET_TYPE, type Content, type WidgetState } from "../classroom/add/board";
import { same } from "../classroom/add/same";
import type { Client, Place, Server, Standing } from "../classroom/add/setup";
import type { Sentence } from "../classroom/add/steps";
import { shownName } from "../classroom/names";
import { powerOf, stateLevel, type Powers } from "../classroom/roles";
import type { RoomBoards } from "../classroom/ui/AddPanel";
import { widgetsFromEvents } from "../classroom/widgets";
import type { Host, HostEvent } from "./host";
import type { Lectern } from "./lectern";

const POWER = "m.room.power_levels";
const MEMBER = "m.room.member";
/** The client tells nothing by itself: how often it is asked while something is waited for. */
const LOOK_MS = 500;

interface Seen extends RoomBoards {
  readonly members: readonly HostEvent[];
}

export class HostRoom implements Client, Server {
  private constructor(
    private readonly host: Host,
    private readonly lectern: Lectern,
    private readonly place: Place,
    readonly me: string,
    private seen: Seen,
  ) {}

  static async open(host: Host, lectern: Lectern, place: Place): Promise<HostRoom> {
    const me = await lectern.whoAmI();
    return new HostRoom(host, lectern, place, me, await look(host, place, me));
  }

  get server(): Server {
    return this;
  }

  get boards(): RoomBoards {
    return this.seen;
  }

  async refresh(): Promise<void> {
    this.seen = await look(this.host, this.place, this.me);
  }

  // --- Client ---

  powers(): Powers {
    return this.seen.powers;
  }

  widgetIds(): string[] {
    return this.seen.widgets.map((w) => w.id);
  }

  whoHas(_roomId: string, power: number, companion: string): string[] {
    const { members, powers } = this.seen;
    return members
      .filter((m) => m.content["membership"] === "join" && m.key !== this.me && m.key !== companion && powerOf(powers, m.key) >= power)
      .sort((a, b) => powerOf(powers, b.key) - powerOf(powers, a.key))
      .slice(0, 3)
      .map((m) => (typeof m.content["displayname"] === "string" && shownName(m.content["displayname"])) || m.key);
  }

  changed(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, Math.min(ms, LOOK_MS)));
  }

  // --- Server ---

  async state(_roomId: string, type: string, key = ""): Promise<Content | null> {
    if (type === MEMBER) return { membership: await this.host.membership(key) };
    if (type !== WIDGET_TYPE && type !== POWER) return null; // the client hands out nothing else, and knows no other widgets
    return (await this.host.read(type, key))[0]?.content ?? null;
  }

  async put(roomId: string, type: string, key: string, content: Content): Promise<boolean> {
    if (same(await this.state(roomId, type, key), content)) return false;
    await this.host.write(type, key, content);
    return true;
  }

  async invite(_roomId: string, userId: string, again = false): Promise<void> {
    const membership = await this.host.membership(userId);
    if (membership === "join" || (membership === "invite" && !again)) return;
    await this.host.invite(userId);
  }

  async empower(_roomId: string, userId: string, level: number): Promise<void> {
    await this.host.empower(userId, level);
  }

  past(): Promise<WidgetState[]> {
    return Promise.resolve([]); // only what is remembered in the room comes back here (SPEC IM5)
  }

  /** The client cannot be asked for this; Lectern does it. */
  async arrange(_roomId: string, _live: readonly string[], ids: readonly string[]): Promise<Sentence | undefined> {
    for (const id of ids) {
      const place = await this.lectern.show(this.host.roomId, id);
      if (place !== "top") return { key: `im.shown.${place}` };
    }
    return undefined;
  }
}

async function look(host: Host, place: Place, me: string): Promise<Seen> {
  const [levels, events, members, standing, mayWriteLevels] = await Promise.all([host.read(POWER, ""), host.read(WIDGET_TYPE, true), host.read(MEMBER, true), host.membership(place.companion), host.maySend(POWER)]);
  const widgets = widgetsFromEvents(events.map((e) => ({ type: WIDGET_TYPE, stateKey: e.key, eventId: e.id, sender: e.sender, roomId: host.roomId, content: e.content })));
  const empty = events.filter((e) => typeof e.content["url"] !== "string").map((e) => ({ id: e.key, content: e.content }));
  return { id: host.roomId, widgets, empty, members, powers: powersOf(levels[0]?.content, me, mayWriteLevels), standing: standingOf(standing) };
}

/** The client does not hand out who created the room. Who may write power levels without the level for it is a creator of room version 12. */
function powersOf(powerLevels: Content | undefined, me: string, mayWriteLevels: boolean): Powers {
  const listed: Powers = { powerLevels, create: undefined };
  const creator = mayWriteLevels && powerOf(listed, me) < stateLevel(listed, POWER);
  return creator ? { powerLevels, create: { sender: me, content: { room_version: "12" } } } : listed;
}

const standingOf = (membership: string): Standing => (membership === "join" ? "member" : membership === "invite" ? "invited" : "absent");
