/** Signing in and out with a password, and remembering the session of this browser. Plain fetch: the Matrix SDK is loaded only afterwards. */
import type { Homeserver } from "./config";
import type { Memory } from "./storage";

/** One device of one person. */
export interface Session {
  readonly homeserver: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
}

export type SignInProblem = "wrong_password" | "unreachable" | "rate_limited" | "deactivated" | "no_password_login" | "unexpected";

/** Why signing in did not work. `detail` is what the server said, for the curious. */
export class SignInError extends Error {
  constructor(
    readonly problem: SignInProblem,
    readonly detail = "",
    readonly retryAfterMs = 0,
  ) {
    super(problem);
  }
}

const DEVICE_NAME = "Lectern classroom";
const TIMEOUT_MS = 15_000;
const KEY = "session";

/** `POST /_matrix/client/v3/login`. Throws SignInError. */
export async function signIn(hs: Homeserver, user: string, password: string, doFetch: typeof fetch = fetch): Promise<Session> {
  let response: Response;
  let body: Record<string, unknown>;
  try {
    response = await doFetch(`${hs.url}/_matrix/client/v3/login`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        type: "m.login.password",
        identifier: { type: "m.id.user", user: user.trim() },
        password,
        initial_device_display_name: DEVICE_NAME,
      }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (err) {
    throw new SignInError("unreachable", err instanceof Error ? err.message : String(err));
  }
  try {
    body = (await response.json()) as Record<string, unknown>;
  } catch {
    throw new SignInError("unexpected", `HTTP ${response.status}`);
  }
  if (!response.ok) throw refusal(response.status, body);
  const { user_id, device_id, access_token } = body;
  if (typeof user_id !== "string" || typeof device_id !== "string" || typeof access_token !== "string") throw new SignInError("unexpected", "incomplete answer");
  return { homeserver: hs.url, userId: user_id, deviceId: device_id, accessToken: access_token };
}

function refusal(status: number, body: Record<string, unknown>): SignInError {
  const code = typeof body["errcode"] === "string" ? body["errcode"] : "";
  const detail = `${code || `HTTP ${status}`}${typeof body["error"] === "string" ? `: ${body["error"]}` : ""}`;
  if (status === 429 || code === "M_LIMIT_EXCEEDED") {
    const wait = body["retry_after_ms"];
    return new SignInError("rate_limited", detail, typeof wait === "number" ? wait : 0);
  }
  if (code === "M_USER_DEACTIVATED") return new SignInError("deactivated", detail);
  if (code === "M_UNKNOWN" && status === 400) return new SignInError("no_password_login", detail);
  if (code === "M_FORBIDDEN" || status === 401 || status === 403) return new SignInError("wrong_password", detail);
  if (status === 502 || status === 503 || status === 504) return new SignInError("unreachable", detail);
  return new SignInError("unexpected", detail);
}

/** Ends the device on the homeserver. Best effort: leaving must work without a network too; the answer says whether the server knows. */
export async function signOut(session: Session, doFetch: typeof fetch = fetch): Promise<boolean> {
  try {
    const r = await doFetch(`${session.homeserver}/_matrix/client/v3/logout`, {
      method: "POST",
      headers: { Authorization: `Bearer ${session.accessToken}` },
      signal: AbortSignal.timeout(5_000),
    });
    return r.ok || r.status === 401;
  } catch {
    return false;
  }
}

/** The session of this browser, if one was kept. Anything malformed counts as none. */
export function loadSession(memory: Memory): Session | null {
  const raw = memory.get(KEY);
  if (raw === null) return null;
  try {
    const s = JSON.parse(raw) as Partial<Record<keyof Session, unknown>>;
    const { homeserver, userId, deviceId, accessToken } = s;
    if (typeof homeserver === "string" && typeof userId === "string" && typeof deviceId === "string" && typeof accessToken === "string") {
      return { homeserver, userId, deviceId, accessToken };
    }
  } catch {
    // falls through: treated as signed out
  }
  memory.remove(KEY);
  return null;
}

export const saveSession = (memory: Memory, session: Session): void => memory.set(KEY, JSON.stringify(session));
export const forgetSession = (memory: Memory): void => memory.remove(KEY);
