/** What a person has allowed a widget, and for how long that is remembered. */
import type { RoomWidget } from "./widgets";
import type { Memory } from "./storage";

/**
 * Remembered answers, per person and browser:
 * - loading a widget: per room, widget id, address and data, which is what the question is about; a new name asks nobody again;
 * - capabilities: per room, widget id and address (Element: widget id alone, which lets a foreign room reuse an id);
 * - identity: per room and address.
 */
export class Grants {
  constructor(
    private readonly memory: Memory,
    private readonly userId: string,
  ) {}

  mayLoad(w: RoomWidget): boolean {
    return w.sender === this.userId || this.memory.get(this.loadKey(w)) === "1";
  }

  rememberLoad(w: RoomWidget): void {
    this.memory.set(this.loadKey(w), "1");
  }

  /** The decided capabilities: allowed ones and declined ones, both are not asked again. */
  capabilities(w: RoomWidget): { readonly allowed: ReadonlySet<string>; readonly declined: ReadonlySet<string> } {
    const raw = this.memory.get(this.capabilityKey(w));
    try {
      const v = JSON.parse(raw ?? "{}") as { allowed?: unknown; declined?: unknown };
      return { allowed: texts(v.allowed), declined: texts(v.declined) };
    } catch {
      return { allowed: new Set(), declined: new Set() };
    }
  }

  rememberCapabilities(w: RoomWidget, allowed: Iterable<string>, declined: Iterable<string>): void {
    const before = this.capabilities(w);
    const yes = new Set([...before.allowed, ...allowed]);
    const no = new Set([...before.declined, ...declined].filter((c) => !yes.has(c)));
    this.memory.set(this.capabilityKey(w), JSON.stringify({ allowed: [...yes], declined: [...no] }));
  }

  /** "ask" until the person ticked "remember". */
  identity(w: RoomWidget): "allow" | "deny" | "ask" {
    const v = this.memory.get(this.key("identity", w.roomId, w.url));
    return v === "allow" || v === "deny" ? v : "ask";
  }

  rememberIdentity(w: RoomWidget, answer: "allow" | "deny"): void {
    this.memory.set(this.key("identity", w.roomId, w.url), answer);
  }

  /** Forgets everything this person allowed in this browser. */
  clear(): void {
    const mine = `grant.${encodeURIComponent(this.userId)}.`;
    for (const k of this.memory.keys()) if (k.startsWith(mine)) this.memory.remove(k);
  }

  private loadKey(w: RoomWidget): string {
    return this.key("load", w.roomId, w.id, w.url, JSON.stringify(w.data));
  }

  private capabilityKey(w: RoomWidget): string {
    return this.key("capabilities", w.roomId, w.id, w.url);
  }

  private key(...parts: string[]): string {
    return ["grant", this.userId, ...parts].map((p, i) => (i === 0 ? p : encodeURIComponent(p))).join(".");
  }
}

function texts(v: unknown): ReadonlySet<string> {
  return new Set(Array.isArray(v) ? v.filter((x): x is string => typeof x === "string") : []);
}
