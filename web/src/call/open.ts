/** Asks the client to open the room's call (docs/protocol.md §9.4). */
import type { Host } from "../host/widget";

const ACTION = "com.educationpub.open_call";
const ANSWER_MS = 5_000;

/** "opened"; a sentence of the client's why it does not; "unknown": it has no such action, or does not answer. */
export type Opened = { readonly kind: "opened" | "unknown" } | { readonly kind: "refused"; readonly message: string };

export async function openCall(host: Pick<Host, "ask">): Promise<Opened> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<Opened>((resolve) => (timer = setTimeout(() => resolve({ kind: "unknown" }), ANSWER_MS)));
  const answer = host.ask(ACTION).then(
    (): Opened => ({ kind: "opened" }),
    (err: unknown): Opened => {
      const message = err instanceof Error ? err.message.trim() : "";
      // What a client answers that does not know the action, by the SDK of clients and of this page.
      return message === "" || /unknown|unsupported|not ready|timed out|transport stopped/i.test(message) ? { kind: "unknown" } : { kind: "refused", message };
    },
  );
  return Promise.race([answer, silence]).finally(() => clearTimeout(timer));
}
