/** Transports of MatrixRTC, as homeservers name them (MSC4143). */
import type { IRtcTransport } from "matrix-widget-api";

const isRecord = (v: unknown): v is Record<string, unknown> => typeof v === "object" && v !== null && !Array.isArray(v);

/** Those of an answer that can be passed on: LiveKit's with an http or https address. What is none is left out. */
export function transportsOf(answer: unknown): IRtcTransport[] {
  const list = isRecord(answer) ? answer["rtc_transports"] : undefined;
  if (!Array.isArray(list)) return [];
  return list.filter((t): t is IRtcTransport => {
    if (!isRecord(t) || t["type"] !== "livekit" || typeof t["livekit_service_url"] !== "string") return false;
    return URL.canParse(t["livekit_service_url"]) && /^https?:$/.test(new URL(t["livekit_service_url"]).protocol);
  });
}
