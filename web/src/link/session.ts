/** Signing in over HTTP (docs/protocol.md §1): OpenID token in, bearer token out, kept fresh. */

import type { Place } from "../wire/frames";

/** The answer of the Widget API's get_openid (MSC1960). */
export interface OpenID {
  readonly access_token: string;
  readonly token_type: string;
  readonly matrix_server_name: string;
  readonly expires_in: number;
}

/** What the server says of a session that was let in. */
export interface Login {
  readonly token: string;
  readonly expires_in_ms: number;
  readonly user_id: string;
  readonly role: string;
  readonly board: { readonly id: string; readonly kind: string };
  readonly companion: string;
  readonly encrypted: boolean;
  /** Documents that can be fetched beside the connection, as `welcome` will name them; none where nobody has opened the board yet. */
  readonly docs: readonly DocRef[];
  readonly ice_servers: readonly IceServer[];
}

/** A TURN server and a credential for it that is good for a while (docs/protocol.md §1.1). */
export interface IceServer {
  readonly urls: readonly string[];
  readonly username: string;
  readonly credential: string;
  /** From when it was given. */
  readonly expires_ms: number;
}

/** A document and how far its snapshot reaches. */
export interface DocRef {
  readonly doc: string;
  readonly epoch: number;
  readonly seq: number;
}

/** What a document shows (docs/protocol.md §1.3). */
export interface SceneAnswer {
  readonly log: string;
  readonly seq: number;
  readonly epoch: number;
  readonly heads: readonly string[];
  readonly elements?: readonly Readonly<Record<string, unknown>>[];
  /** The same property by property: what a snapshot's scene has instead. */
  readonly columns?: Readonly<Record<string, readonly unknown[]>>;
  /** `elements` are all there are. Otherwise those that changed, and `gone` those that are not shown any more. */
  readonly full?: boolean;
  readonly gone?: readonly string[];
}

/** One decision of a moderator on who may draw (docs/protocol.md §1.6). */
export type RulesChange =
  | { readonly draw: "" | "chosen" | "moderators" }
  | { readonly page: { readonly doc: string; readonly locked: boolean } }
  | { readonly person: { readonly user_id: string; readonly may: "" | "draw" | "watch" } };

/** A moment of a page to go back to (docs/protocol.md §1.7). */
export interface Version {
  readonly seq: number;
  /** Unix ms. */
  readonly at: number;
  readonly why: "removed" | "pause";
  readonly by?: string;
  readonly count?: number;
}

/** Who made an element, and when (Unix ms). */
export interface Drew {
  readonly user_id: string;
  readonly name: string;
  readonly external: string;
  readonly at: number;
}

export const ROLES = ["moderator", "participant", "viewer"] as const;
export type Role = (typeof ROLES)[number];

/** Power levels in words (docs/protocol.md §1.8). */
export interface Roles {
  /** The power level from which people draw. */
  readonly draw: number;
  readonly moderate: number;
  readonly people: readonly { readonly user_id: string; readonly name: string; readonly external: string; readonly role: Role; readonly may_change: boolean }[];
  readonly more: boolean;
}

/** One place where a person is signed in (docs/protocol.md §1.2). Times in Unix ms. */
export interface SignIn {
  readonly id: string;
  readonly room: string;
  readonly board: string;
  readonly since: number;
  readonly until: number;
  /** The one that asks. */
  readonly this: boolean;
}

/** A request that the server, or the person, refused. */
export class Refused extends Error {
  override name = "Refused";
  constructor(
    readonly code: string,
    message: string,
    readonly status: number,
    readonly retryMs = 0,
  ) {
    super(message);
  }
}

export interface SessionOptions {
  readonly roomId: string;
  readonly widgetId: string;
  readonly openid: () => Promise<OpenID>;
  readonly fetch?: typeof fetch;
  /** Has the client send a challenge's answer to the companion; it asks the person before the first time. */
  readonly prove?: (to: string, type: string, nonce: string) => Promise<void>;
}

/** One document as the server gave it. */
export interface Fetched {
  /** undefined: the document is still the genesis. */
  readonly bytes: Uint8Array | undefined;
  readonly log: string;
  readonly epoch: number;
  readonly seq: number;
}

/** Who keeps a board that is "elsewhere". */
export interface Home {
  readonly ours: boolean;
  readonly home: string;
  /** Unix ms of when it last wrote; 0: unknown. */
  readonly since: number;
  readonly may_take_over: boolean;
}

const REQUEST_MS = 20_000;
const TAKE_OVER_MS = 75_000; // the board is restored and written before the answer

/** One person's session on one board. Not to be used by several callers at a time, except for `document`. */
export class Session {
  // Owned by the link that calls token().
  private login: Login | undefined;
  private refreshing: ReturnType<typeof setTimeout> | undefined;

  private early: Promise<string> | undefined;

  constructor(private readonly options: SessionOptions) {}

  /** How much the server's clock is ahead of ours, ms, to a second. */
  skew = 0;
  /** Signs in ahead of time. The next call of token() gets the same answer, so that the person is asked once. */
  async begin(): Promise<Login> {
    this.early = this.token();
    await this.early;
    return this.login!;
  }

  /** The answer of the last sign-in. */
  get info(): Login | undefined {
    return this.login;
  }

  /** What helps a data channel through a closed network, as of the last sign-in or refresh: younger than a token's life, and so good. */
  get iceServers(): readonly IceServer[] {
    return this.login?.ice_servers ?? [];
  }

  /** A token to authenticate with; signs in when there is none. Throws Refused. */
  async token(): Promise<string> {
    const { early } = this;
    this.early = undefined;
    if (early) return early;
    if (!this.login) {
      const openid = await this.options.openid();
      const { access_token, token_type, matrix_server_name, expires_in } = openid;
      const body = { openid: { access_token, token_type, matrix_server_name, expires_in }, room_id: this.options.roomId, widget_id: this.options.widgetId };
      this.login = (await this.json("POST", "/v1/sessions", undefined, body)) as Login;
      this.schedule();
    }
    return this.login.token;
  }

  /** The server no longer knows the token: the next call of token() signs in again. */
  forget(): void {
    clearTimeout(this.refreshing);
    this.login = undefined;
  }

  /** Ends the session at the server; best effort. */
  async end(): Promise<void> {
    const token = this.login?.token;
    this.forget();
    if (token) await this.request("DELETE", "/v1/sessions", token, undefined, true).catch(() => undefined);
  }

  /** Downloads a document (docs/protocol.md §1.3). Throws Refused. */
  async document(board: string, doc: string): Promise<Fetched> {
    const answer = await this.request("GET", `/v1/boards/${encodeURIComponent(board)}/docs/${encodeURIComponent(doc)}/document`, this.login?.token ?? (await this.token()));
    const number = (name: string) => Number(answer.headers.get(name) ?? 0);
    const head = { log: answer.headers.get("X-Lectern-Log") ?? "", epoch: number("X-Lectern-Epoch"), seq: number("X-Lectern-Seq") };
    return { ...head, bytes: answer.status === 204 ? undefined : new Uint8Array(await answer.arrayBuffer()) };
  }

  /** Who keeps the board (docs/protocol.md §1.5). Throws Refused. */
  async home(): Promise<Home> {
    return (await this.json("GET", `${await this.boardPath()}/home`, await this.token())) as Home;
  }

  /** Makes this Lectern the board's home; for moderators (docs/protocol.md §1.5). Throws Refused. */
  async takeOver(): Promise<void> {
    await this.request("POST", `${await this.boardPath()}/takeover`, await this.token(), undefined, false, TAKE_OVER_MS);
  }

  /** Adds a page behind the others; answers its document. Throws Refused. */
  async addPage(): Promise<string> {
    return ((await this.json("POST", `${await this.boardPath()}/docs`, await this.token())) as { doc: string }).doc;
  }

  /** A moderator's decision on who may draw. Throws Refused. */
  async rule(change: RulesChange): Promise<void> {
    await this.request("POST", `${await this.boardPath()}/rules`, await this.token(), change);
  }

  /** Raises or lowers the person's hand. Throws Refused. */
  async hand(up: boolean): Promise<void> {
    await this.request("POST", `${await this.boardPath()}/hand`, await this.token(), { up });
  }

  /** Who may do what in the room, for moderators. Throws Refused. */
  async roles(): Promise<Roles> {
    return (await this.json("GET", `${await this.boardPath()}/roles`, await this.token())) as Roles;
  }

  /** Gives a person a role. Answers the power levels that this person's own client is to send, undefined where it is done. Throws Refused. */
  async setRole(user_id: string, role: Role): Promise<object | undefined> {
    const answer = await this.request("POST", `${await this.boardPath()}/roles`, await this.token(), { user_id, role });
    return answer.status === 204 ? undefined : ((await answer.json()) as { content: object }).content;
  }

  /** The address of a page on which this person changes the room's boards; good once. Throws Refused. */
  async setup(lang: string): Promise<string> {
    return ((await this.json("POST", `${await this.boardPath()}/setup`, await this.token(), { lang })) as { url: string }).url;
  }

  /** Where this person is signed in, the newest first. Throws Refused. */
  async signIns(): Promise<readonly SignIn[]> {
    return ((await this.json("GET", "/v1/sessions", await this.token())) as { sessions: SignIn[] }).sessions;
  }

  /** Ends one of them, or "others": all but this one. Throws Refused. */
  async endSignIn(id: string): Promise<void> {
    await this.request("DELETE", `/v1/sessions/${encodeURIComponent(id)}`, await this.token());
  }

  /** Lets a person remove more than the erase guard does, for a minute. Throws Refused. */
  async letErase(user_id: string): Promise<void> {
    await this.request("POST", `${await this.boardPath()}/erase`, await this.token(), { user_id });
  }

  /** Moments of a page to go back to, the newest first; for moderators. Throws Refused. */
  async versions(doc: string): Promise<readonly Version[]> {
    return ((await this.json("GET", `${await this.docPath(doc)}/versions`, await this.token())) as { versions: Version[] }).versions;
  }

  /** What a page showed at such a moment. Throws Refused. */
  async version(doc: string, seq: number): Promise<Pick<SceneAnswer, "elements">> {
    return (await this.json("GET", `${await this.docPath(doc)}/versions/${seq}`, await this.token())) as Pick<SceneAnswer, "elements">;
  }

  /** Who made an element. Throws Refused. */
  async drew(doc: string, element: string): Promise<Drew> {
    return (await this.json("GET", `${await this.docPath(doc)}/elements/${encodeURIComponent(element)}`, await this.token())) as Drew;
  }

  private async docPath(doc: string): Promise<string> {
    return `${await this.boardPath()}/docs/${encodeURIComponent(doc)}`;
  }

  /** Brings everybody on the board to a place. Throws Refused. */
  async gather(place: Place): Promise<void> {
    await this.request("POST", `${await this.boardPath()}/gather`, await this.token(), place);
  }

  private async boardPath(): Promise<string> {
    await this.token();
    return `/v1/boards/${encodeURIComponent(this.login?.board.id ?? "")}`;
  }

  /** Fetches what a document shows: as of its snapshot, now ("live"), or what has changed after an entry. Throws Refused. */
  async scene(board: string, doc: string, since?: number | "live"): Promise<SceneAnswer> {
    const query = since === undefined ? "" : since === "live" ? "?live" : `?after=${since}`;
    const token = this.login?.token ?? (await this.token());
    const answer = await this.request("GET", `/v1/boards/${encodeURIComponent(board)}/docs/${encodeURIComponent(doc)}/scene${query}`, token);
    return (await answer.json()) as SceneAnswer;
  }

  private schedule(): void {
    clearTimeout(this.refreshing);
    const login = this.login;
    if (!login) return;
    this.refreshing = setTimeout(() => void this.refresh(login), login.expires_in_ms / 2);
  }

  private async refresh(login: Login): Promise<void> {
    try {
      const fresh = (await this.json("POST", "/v1/sessions/refresh", login.token)) as Pick<Login, "token" | "expires_in_ms" | "ice_servers">;
      if (this.login === login) this.login = { ...login, ...fresh };
    } catch (err) {
      if (err instanceof Refused && err.status === 401 && this.login === login) this.login = undefined;
      // otherwise: unreachable now; the next half-time tries again, and a dead token only means to sign in once more
    }
    this.schedule();
  }

  protected async json(method: string, path: string, token?: string, body?: unknown, limit = REQUEST_MS): Promise<unknown> {
    return (await this.request(method, path, token, body, false, limit)).json();
  }

  protected async request(method: string, path: string, token?: string, body?: unknown, keepalive = false, limit = REQUEST_MS): Promise<Response> {
    try {
      return await this.once(method, path, token, body, keepalive, limit);
    } catch (err) {
      if (!(err instanceof Refused) || err.code !== "proof_needed" || !this.options.prove) throw err;
      await (this.proving ??= this.proof().finally(() => (this.proving = undefined)));
      return this.once(method, path, token, body, keepalive, limit);
    }
  }

  private proving: Promise<void> | undefined;
  /** Proves once more who this is, where the server wants that of moderators (docs/protocol.md §1.9). */
  private async proof(): Promise<void> {
    const token = await this.token();
    const { to, type, nonce } = (await (await this.once("POST", "/v1/challenge", token)).json()) as { to: string; type: string; nonce: string };
    await this.options.prove?.(to, type, nonce);
    const { proven } = (await (await this.once("GET", "/v1/challenge", token, undefined, false, 2 * REQUEST_MS)).json()) as { proven: boolean };
    if (!proven) throw new Refused("proof_needed", "The proof did not arrive.", 403);
  }

  private async once(method: string, path: string, token?: string, body?: unknown, keepalive = false, limit = REQUEST_MS): Promise<Response> {
    const headers: Record<string, string> = {};
    if (token !== undefined) headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let answer: Response;
    try {
      answer = await (this.options.fetch ?? fetch)(path, {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(limit),
        cache: "no-store",
        keepalive,
      });
    } catch {
      throw new Refused("unreachable", "The server cannot be reached.", 0);
    }
    const date = Date.parse(answer.headers.get("Date") ?? "");
    if (date > 0) this.skew = date - Date.now();
    if (answer.ok) return answer;
    const refusal = (await answer.json().catch(() => ({}))) as { code?: string; message?: string; retry_after_ms?: number };
    throw new Refused(refusal.code ?? `http_${answer.status}`, refusal.message ?? `The server answered ${answer.status}.`, answer.status, refusal.retry_after_ms ?? 0);
  }
}
