/**
 * The Matrix client around the page (Widget API, matrix-widget-api). Must run before anything heavy is loaded: the client asks for
 * capabilities when the iframe has loaded, and gives up after 10 s. The only importer of the widget API.
 */
import { WidgetApi } from "matrix-widget-api/lib/WidgetApi"; // not the client's half

const LEVELS = "m.room.power_levels";
const SEND_LEVELS = `org.matrix.msc2762.send.state_event:${LEVELS}#`;
const ASK_MS = 120_000; // the person reads what the client asks

/** The page's configuration, rendered by the server into #lectern-config. */
export interface PageConfig {
  /** Origins of the Matrix clients that may show this page. */
  readonly clientOrigins: readonly string[];
  readonly version: string;
  readonly companion: string;
  /** Opens the test hooks of board/diagnostics.ts for writing. Never set in production. */
  readonly test?: boolean;
}

export interface OpenIDToken {
  readonly access_token: string;
  readonly token_type: string;
  readonly matrix_server_name: string;
  readonly expires_in: number;
}

export type Theme = "light" | "dark";

/** The client said no to the identity request. */
export class IdentityBlocked extends Error {
  override name = "IdentityBlocked";
}

/** The client, or the person, did not let the page do something. */
export class NotLet extends Error {
  override name = "NotLet";
}

export interface Host {
  /** "" where the client does not fill in the variables of the address. */
  readonly roomId: string;
  readonly widgetId: string;
  readonly theme: Theme;
  readonly language: string;
  /** The client granted what was asked and the page may use it. */
  readonly ready: Promise<void>;
  onTheme(listener: (theme: Theme) => void): void;
  openid(): Promise<OpenIDToken>;
  /** Has the client send the answer of a challenge to the companion's devices. Throws NotLet. */
  prove(to: string, type: string, nonce: string): Promise<void>;
  /** Has the client write the room's power levels; it asks the person before the first time. Throws NotLet. */
  setPowerLevels(content: object): Promise<void>;
  /** Asks the client for something of our own (docs/protocol.md §9.4). Rejects with its refusal. */
  ask(action: string): Promise<unknown>;
}

/** A page without a usable client, and why. */
export interface NoHost {
  readonly reason: "missing" | "refused";
  readonly origin: string;
  readonly theme: Theme;
  readonly language: string;
}

export function readConfig(): PageConfig {
  const text = document.getElementById("lectern-config")?.textContent ?? "{}";
  const c = JSON.parse(text) as Partial<PageConfig>;
  return { clientOrigins: c.clientOrigins ?? [], version: c.version ?? "", companion: c.companion ?? "", ...(c.test ? { test: true } : {}) };
}

/** The origin of the client's page. Desktop clients have schemes of their own, whose `origin` reads "null". */
export function originOf(parentUrl: string): string | undefined {
  try {
    const url = new URL(parentUrl);
    return url.origin === "null" ? `${url.protocol}//${url.host}` : url.origin;
  } catch {
    return undefined;
  }
}

/** Theme names are the client's own ("dark", "light-high-contrast", "custom-Deep Dark"). */
export const themeOf = (name: string): Theme => (/dark|black|night/i.test(name) ? "dark" : "light");

/** Before anything is drawn: styles look at the document's attribute. */
function contrast(themeName: string): void {
  document.documentElement.dataset.contrast = /high.?contrast/i.test(themeName) ? "more" : "";
}

/** A URL variable that the client filled in; unknown ones stay literal ("$org.matrix…"). */
function variable(query: URLSearchParams, ...names: string[]): string {
  for (const name of names) {
    const value = query.get(name);
    if (value && !value.startsWith("$")) return value;
  }
  return "";
}

/** Starts listening at once. Call it first. */
export function startHost(config: PageConfig): Host | NoHost {
  const query = new URLSearchParams(location.search);
  const themeName = variable(query, "theme");
  let theme: Theme = themeName ? themeOf(themeName) : matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  contrast(themeName);
  const language = variable(query, "lang", "language") || navigator.language;
  const widgetId = variable(query, "widgetId");
  const roomId = variable(query, "room_id", "roomId");
  const parentUrl = query.get("parentUrl") ?? "";
  const origin = originOf(parentUrl) ?? "";
  if (window.parent === window || !widgetId || !parentUrl) return { reason: "missing", origin, theme, language };
  if (!config.clientOrigins.includes(origin)) return { reason: "refused", origin, theme, language };

  // Before the SDK's own listener, which looks neither at the source nor at a list of origins (security: SPEC WG4).
  window.addEventListener("message", (e) => {
    if (e.source !== window.parent || !config.clientOrigins.includes(e.origin)) e.stopImmediatePropagation();
  }, { capture: true });

  const api = new WidgetApi(widgetId, origin);
  // Granted without a prompt by Element, and all we need: identity comes by OpenID, everything else from our own server.
  api.requestCapability("io.element.requires_client");
  const listeners = new Set<(theme: Theme) => void>();
  api.on("action:theme_change", (e: CustomEvent<{ data: { name?: unknown } }>) => {
    e.preventDefault();
    const name = typeof e.detail.data.name === "string" ? e.detail.data.name : "";
    theme = themeOf(name);
    contrast(name);
    for (const listener of listeners) listener(theme);
    api.transport.reply(e.detail as never, {});
  });
  let granted: readonly string[] = [];
  api.on("action:notify_capabilities", (e: CustomEvent<{ data: { approved?: unknown } }>) => {
    const { approved } = e.detail.data;
    granted = Array.isArray(approved) ? approved.filter((c) => typeof c === "string") : [];
  });
  const ready = new Promise<void>((resolve) => api.once("ready", () => resolve()));
  /** Asks for one more capability, if the client has not given it yet. */
  async function granting(capability: string): Promise<void> {
    await ready;
    if (!granted.includes(capability)) {
      api.requestCapability(capability); // throws where the client cannot be asked again
      const answered = new Promise<void>((resolve, reject) => {
        api.once("action:notify_capabilities", () => resolve());
        setTimeout(() => reject(new NotLet("no answer")), ASK_MS);
      });
      await api.updateRequestedCapabilities();
      await answered;
    }
    if (!granted.includes(capability)) throw new NotLet("declined");
  }
  api.start();
  api.sendContentLoaded().catch(() => undefined); // an error under the default waitForIframeLoad, needed without it
  return {
    roomId,
    widgetId,
    get theme() {
      return theme;
    },
    language,
    ready,
    onTheme: (listener) => {
      listeners.add(listener);
      listener(theme); // it may have arrived before anybody listened
    },
    prove: async (to, type, nonce) => {
      await granting(`org.matrix.msc3819.send.to_device:${type}`);
      await api.sendToDevice(type, false, { [to]: { "*": { nonce } } });
    },
    setPowerLevels: async (content) => {
      await granting(SEND_LEVELS);
      await api.sendStateEvent(LEVELS, "", content);
    },
    ask: (action) => api.transport.send(action as never, {}),
    openid: async () => {
      await ready;
      let token;
      try {
        token = await api.requestOpenIDConnectToken();
      } catch (err) {
        throw new IdentityBlocked(err instanceof Error ? err.message : String(err));
      }
      const { access_token, token_type, matrix_server_name, expires_in } = token;
      if (!access_token || !matrix_server_name) throw new IdentityBlocked("the client gave no token");
      return { access_token, token_type: token_type ?? "Bearer", matrix_server_name, expires_in: expires_in ?? 3600 };
    },
  };
}
