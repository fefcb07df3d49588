/** The page's configuration, written by the server into `<script type="application/json" id="lectern-config">`. */

import { offeredOf, type Kind } from "./add/kinds";

/** A homeserver people may sign in at. `name` is its server name, `url` its client API without a trailing slash. */
export interface Homeserver {
  readonly name: string;
  readonly url: string;
}

/** A ready-made account of the development stack. */
export interface DemoUser {
  readonly user_id: string;
  readonly password: string;
  readonly name: string;
  readonly role: string;
}

export interface Config {
  readonly homeservers: readonly Homeserver[];
  /** Origin of the widgets. */
  readonly lectern: string;
  /** Only in development: enables one-click sign-in and the diagnostic hook. */
  readonly demoUsers: readonly DemoUser[];
  /** User id of Lectern's own account, marked in the member list; "" if not told. */
  readonly companion: string;
  readonly version: string;
  /** mxc addresses of widgets' pictures, by kind; those that are there. */
  readonly icons: Readonly<Record<string, string>>;
  /** Kinds of widgets that can be added. */
  readonly kinds: readonly Kind[];
  /** Where an Element Call lies, without a slash at the end; "" for none. */
  readonly elementCall: string;
  /** Token service of calls, for homeservers that name none; "" for none. */
  readonly rtcTransport: string;
}

/** Thrown for a configuration that the page cannot work with; the message is for the operator. */
export class ConfigError extends Error {}

const isRecord = (v: unknown): v is Record<string, unknown> => typeof v === "object" && v !== null && !Array.isArray(v);

function text(v: unknown, what: string): string {
  if (typeof v !== "string" || v === "") throw new ConfigError(`${what} must be a text that is not empty`);
  return v;
}

function origin(v: unknown, what: string): string {
  const s = text(v, what).replace(/\/+$/, "");
  if (!URL.canParse(s) || !/^https?:$/.test(new URL(s).protocol)) throw new ConfigError(`${what} must be an http or https address, got ${s}`);
  return s;
}

/** An address that may be left out. */
const optional = (v: unknown, what: string): string => (v === undefined || v === "" ? "" : origin(v, what));

/** Reads and checks the configuration. `page`: origin of the page. Throws ConfigError. */
export function parseConfig(json: string, page = ""): Config {
  let raw: unknown;
  try {
    raw = JSON.parse(json);
  } catch {
    throw new ConfigError("the page's configuration is not JSON");
  }
  if (!isRecord(raw)) throw new ConfigError("the page's configuration must be an object");
  if (!Array.isArray(raw["homeservers"]) || raw["homeservers"].length === 0) throw new ConfigError("homeservers must name at least one homeserver");
  const homeservers = raw["homeservers"].map((h: unknown, i): Homeserver => {
    if (!isRecord(h)) throw new ConfigError(`homeservers[${i}] must be an object`);
    return { name: text(h["name"], `homeservers[${i}].name`), url: origin(h["url"], `homeservers[${i}].url`) };
  });
  const users: unknown[] = Array.isArray(raw["demoUsers"]) ? raw["demoUsers"] : [];
  const demoUsers = users.map((u, i): DemoUser => {
    if (!isRecord(u)) throw new ConfigError(`demoUsers[${i}] must be an object`);
    const user_id = text(u["user_id"], `demoUsers[${i}].user_id`);
    return {
      user_id,
      password: text(u["password"], `demoUsers[${i}].password`),
      name: typeof u["name"] === "string" && u["name"] !== "" ? u["name"] : user_id,
      role: typeof u["role"] === "string" ? u["role"] : "",
    };
  });
  const elementCall = optional(raw["elementCall"], "elementCall");
  // Its frame runs scripts as its own origin: on the page's own it would not be contained at all.
  if (elementCall !== "" && new URL(elementCall).origin === page) throw new ConfigError("elementCall must lie on another host than this page");
  return {
    homeservers,
    lectern: origin(raw["lectern"], "lectern"),
    demoUsers,
    companion: typeof raw["companion"] === "string" ? raw["companion"] : "",
    version: typeof raw["version"] === "string" ? raw["version"] : "",
    icons: iconsOf(raw["icons"]),
    kinds: offeredOf(raw["kinds"]),
    elementCall,
    rtcTransport: optional(raw["rtcTransport"], "rtcTransport"),
  };
}

/** What is no address of a picture is none. */
export function iconsOf(v: unknown): Record<string, string> {
  return Object.fromEntries(Object.entries(isRecord(v) ? v : {}).filter((e): e is [string, string] => typeof e[1] === "string" && e[1].startsWith("mxc://")));
}

/** The server part of a user id: everything after the first colon. */
export function serverOf(userId: string): string {
  const at = userId.indexOf(":");
  return at < 0 ? "" : userId.slice(at + 1);
}

/** The homeserver that a user id belongs to, else the first one. */
export function homeserverFor(config: Config, userId: string): Homeserver {
  const server = serverOf(userId);
  const found = config.homeservers.find((h) => h.name === server) ?? config.homeservers[0];
  if (!found) throw new ConfigError("no homeserver configured");
  return found;
}
