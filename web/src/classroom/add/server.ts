/** The requests that change rooms. State is read from the homeserver, not from the last /sync, and what stands there already is not written again: so every one of them may be repeated. */
import { Method, type MatrixClient } from "matrix-js-sdk";
import { WIDGET_TYPE, type Content, type WidgetState } from "./board";
import { LAYOUT_TYPE, layoutWith } from "./layout";
import { same } from "./same";
import type { Server } from "./setup";
import type { Sentence } from "./steps";

const TIMEOUT_MS = 30_000;
/** Inviting a class is slowed down by default settings of homeservers. */
const PATIENCE = 8;
const LONGEST_WAIT_MS = 30_000;
/** Of a hundred events each, when the past is looked through. */
const PAGES = 5;

export class RoomServer implements Server {
  constructor(private readonly client: MatrixClient) {}

  async state(roomId: string, type: string, key = ""): Promise<Content | null> {
    try {
      return await this.request<Content>(Method.Get, statePath(roomId, type, key));
    } catch (err) {
      if (codeOf(err) === "M_NOT_FOUND") return null;
      throw err;
    }
  }

  async put(roomId: string, type: string, key: string, content: Content): Promise<boolean> {
    if (same(await this.state(roomId, type, key), content)) return false;
    await this.request(Method.Put, statePath(roomId, type, key), content);
    return true;
  }

  async empower(roomId: string, _userId: string, _level: number, content: Content): Promise<void> {
    await this.put(roomId, "m.room.power_levels", "", content);
  }

  async arrange(roomId: string, live: readonly string[], ids: readonly string[]): Promise<Sentence | undefined> {
    const layout = layoutWith((await this.state(roomId, LAYOUT_TYPE)) ?? undefined, live, ids);
    if (layout) await this.put(roomId, LAYOUT_TYPE, "", layout);
    return undefined;
  }

  async invite(roomId: string, userId: string, again = false): Promise<void> {
    const membership = (await this.state(roomId, "m.room.member", userId))?.["membership"];
    if (membership === "join" || (membership === "invite" && !again)) return;
    await this.request(Method.Post, `/rooms/${encodeURIComponent(roomId)}/invite`, { user_id: userId });
  }

  /** As far as this person may see the past and a few pages reach. */
  async past(roomId: string): Promise<WidgetState[]> {
    const found: WidgetState[] = [];
    const filter = JSON.stringify({ types: [WIDGET_TYPE] });
    let from: string | undefined;
    for (let page = 0; page < PAGES; page++) {
      const path = `/rooms/${encodeURIComponent(roomId)}/messages`;
      const { chunk, end } = await this.request<{ chunk: { type?: unknown; state_key?: unknown; content?: unknown }[]; end?: string }>(Method.Get, path, undefined, { dir: "b", limit: "100", filter, ...(from !== undefined && { from }) });
      for (const { type: of, state_key: id, content } of chunk) {
        if (of === WIDGET_TYPE && typeof id === "string" && typeof content === "object" && content !== null) found.push({ id, content: content as Content });
      }
      if (end === undefined || end === from) break;
      from = end;
    }
    return found;
  }

  /** The room version that the homeserver gives to new rooms; "" if it does not say. */
  async defaultRoomVersion(): Promise<string> {
    const answer = await this.request<{ capabilities?: { "m.room_versions"?: { default?: unknown } } }>(Method.Get, "/capabilities");
    const version = answer.capabilities?.["m.room_versions"]?.default;
    return typeof version === "string" ? version : "";
  }

  /** Creates a room and gives its id. The only request here that must not be repeated blindly. */
  async create(body: Content): Promise<string> {
    return (await this.request<{ room_id: string }>(Method.Post, "/createRoom", body)).room_id;
  }

  private async request<T>(method: Method, path: string, body?: Content, query?: Record<string, string>): Promise<T> {
    for (let round = 1; ; round++) {
      try {
        return await this.client.http.authedRequest<T>(method, path, query, body, { localTimeoutMs: TIMEOUT_MS });
      } catch (err) {
        if (codeOf(err) !== "M_LIMIT_EXCEEDED" || round >= PATIENCE) throw err;
        const asked = (err as { data?: { retry_after_ms?: unknown } }).data?.retry_after_ms;
        await new Promise((resolve) => setTimeout(resolve, Math.min(typeof asked === "number" ? asked : 1000 * round, LONGEST_WAIT_MS)));
      }
    }
  }
}

const statePath = (roomId: string, type: string, key: string): string => `/rooms/${[roomId, "state", type, key].map(encodeURIComponent).join("/")}`;

function codeOf(err: unknown): string {
  return typeof err === "object" && err !== null && "errcode" in err && typeof err.errcode === "string" ? err.errcode : "";
}
