/** The Matrix client around an integration manager: requests by postMessage, each answered by the same object with a `response` (SPEC IM2). */
import type { Content } from "../classroom/add/board";
import { StepProblem } from "../classroom/add/steps";

/** How long the client may take for what it knows; for what it has to ask its homeserver. */
const KNOWS_MS = 10_000;
const ASKS_MS = 60_000;

/** The client refused; `data.error` are its own words. In the shape of a homeserver's refusal, which the steps explain. */
export class HostRefusal extends Error {
  readonly httpStatus = 400;
  readonly data: { readonly error: string };
  constructor(readonly action: string, words: string) {
    super(`${action}: ${words}`);
    this.data = { error: words };
  }
}

/** The client has not answered. What was asked for may have been done all the same. */
export class HostSilence extends StepProblem {
  constructor() {
    super({ key: "im.silent" });
  }
}

/** A state event as the client hands it out. */
export interface HostEvent {
  readonly key: string;
  readonly id: string;
  readonly sender: string;
  readonly content: Content;
}

const record = (v: unknown): Content | null => (typeof v === "object" && v !== null && !Array.isArray(v) ? (v as Content) : null);
const text = (v: unknown): string => (typeof v === "string" ? v : "");

export class Host {
  private next = 0;
  private origin: string | undefined;
  private readonly waiting = new Map<number, (response: unknown) => void>();

  /** `origins`: of the clients that may show this page. `around`: the window that does. */
  constructor(
    private readonly origins: readonly string[],
    readonly roomId: string,
    private readonly around: Pick<Window, "postMessage">,
    events: Pick<Window, "addEventListener">,
  ) {
    events.addEventListener("message", (e) => {
      const { source, origin, data } = e as MessageEvent<unknown>;
      const answer = record(data);
      if (source !== around || !origins.includes(origin) || !answer || !("response" in answer)) return;
      const id = answer["lectern_request"];
      const done = typeof id === "number" ? this.waiting.get(id) : undefined;
      if (!done) return;
      this.origin = origin;
      done(answer["response"]);
    });
  }

  /** The events of a type that the client knows of, or one of them. */
  async read(type: string, key: string | true): Promise<HostEvent[]> {
    const answer = record(await this.ask("read_events", { type, state_key: key }, KNOWS_MS));
    const events: unknown = answer?.["events"];
    if (!Array.isArray(events)) throw new HostRefusal("read_events", "unreadable answer");
    return events.flatMap((raw: unknown) => {
      const e = record(raw);
      const content = record(e?.["content"]);
      return e && content && e["type"] === type && typeof e["state_key"] === "string" ? [{ key: e["state_key"], id: text(e["event_id"]), sender: text(e["sender"]), content }] : [];
    });
  }

  /** Somebody's membership as the client knows it. */
  async membership(userId: string): Promise<string> {
    return text(record(await this.ask("membership_state", { user_id: userId }, KNOWS_MS))?.["membership"]);
  }

  /** May the person send state events of this type? */
  async maySend(type: string): Promise<boolean> {
    try {
      return (await this.ask("can_send_event", { event_type: type, is_state: true }, KNOWS_MS)) === true;
    } catch (err) {
      if (err instanceof HostRefusal) return false; // the client answers only yes or an error
      throw err;
    }
  }

  async write(type: string, key: string, content: Content): Promise<void> {
    await this.ask("send_event", { type, state_key: key, content }, ASKS_MS);
  }

  async invite(userId: string): Promise<void> {
    await this.ask("invite", { user_id: userId }, ASKS_MS);
  }

  async empower(userId: string, level: number): Promise<void> {
    await this.ask("set_bot_power", { user_id: userId, level, ignoreIfGreater: true }, ASKS_MS);
  }

  /** Closes this page. The client says nothing any more. */
  close(): void {
    this.post({ action: "close_scalar" });
  }

  private async ask(action: string, fields: Content, ms: number): Promise<unknown> {
    const id = ++this.next;
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      const response = await new Promise<unknown>((resolve, reject) => {
        timer = setTimeout(() => reject(new HostSilence()), ms);
        this.waiting.set(id, resolve);
        this.post({ action, room_id: this.roomId, ...fields, lectern_request: id });
      });
      const error = record(record(response)?.["error"]);
      if (error) throw new HostRefusal(action, text(error["message"]) || action);
      return response;
    } finally {
      clearTimeout(timer);
      this.waiting.delete(id);
    }
  }

  /** Until the client has answered once, which of the known ones it is cannot be told in every browser: the browser delivers only to the right one. */
  private post(message: Content): void {
    for (const origin of this.origin === undefined ? this.origins : [this.origin]) this.around.postMessage(message, origin);
  }
}
