/** What the status line says. Pure, so that every state is tested in every language. */
import type { Translate } from "../ui/i18n";
import type { LinkState } from "../link/link";
import type { View } from "./view";

export type Tone = "good" | "busy" | "bad";

/** The short word with the dot. */
export function headline(v: Pick<View, "link" | "ready" | "shown" | "documentProblem" | "role" | "tabOnly">, t: Translate): { text: string; tone: Tone } {
  switch (v.link.kind) {
    case "connecting":
      return { text: t(v.shown ? "status.looking" : "status.connecting"), tone: "busy" };
    case "resuming":
      // Nothing is wrong with anybody's work as long as this device keeps it.
      return { text: t(draws(v) ? "status.offline" : "status.resuming.short"), tone: v.tabOnly || !v.ready ? "bad" : "busy" };
    case "closed":
      return { text: closedTitle(v.link, t), tone: "bad" };
    case "open":
      return v.ready ? { text: t("status.live"), tone: "good" } : { text: t(v.shown ? "status.looking" : "status.loading"), tone: v.documentProblem ? "bad" : "busy" };
  }
}

const draws = (v: Pick<View, "ready" | "role">) => v.ready && (v.role === "participant" || v.role === "moderator");

/** How old the copy in the room is. */
export function savedText(v: Pick<View, "saved">, now: number, t: Translate): string {
  const { at } = v.saved;
  if (at === 0) return t("status.saved.never");
  const seconds = Math.max(0, Math.round((now - at) / 1000));
  if (seconds < 5) return t("status.saved.now");
  if (seconds < 90) return t("status.saved.seconds", { n: seconds });
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? t("status.saved.minutes", { n: minutes }) : t("status.saved.hours", { n: Math.round(minutes / 60) });
}

/** A sentence on what is wrong, "" when nothing is. */
export function problemText(v: Pick<View, "link" | "ready" | "role" | "unsaved" | "tabOnly" | "durable" | "saved" | "documentProblem">, now: number, t: Translate): string {
  const parts: string[] = [];
  if (v.link.kind === "connecting" && v.link.problem) parts.push(linkProblem(v.link.problem, t));
  if (v.link.kind === "resuming") {
    if (v.link.problem) parts.push(linkProblem(v.link.problem, t));
    if (v.unsaved > 0) parts.push(t(v.tabOnly ? "status.waiting.tab" : "status.waiting", { count: v.unsaved }));
    else if (draws(v)) parts.push(t(v.durable ? "status.resuming" : "status.resuming.tab"));
  }
  if (v.link.kind === "open" && v.documentProblem) parts.push(t("problem.document"));
  if (v.saved.problem && v.link.kind === "open") parts.push(savedProblem(v.saved, now, t));
  return parts.join(" ");
}

/** Why the newest strokes are on the server and not in the room (docs/protocol.md §2.4). */
function savedProblem(saved: View["saved"], now: number, t: Translate): string {
  const time = duration(saved.since === 0 ? 0 : now - saved.since);
  switch (saved.problem) {
    case "unreachable":
    case "failing":
    case "busy":
    case "power":
    case "too_large":
    case "signed_out":
    case "stuck":
    case "heavy":
    case "damaged":
    case "storage":
      return t(`status.saved.${saved.problem}`, { time });
    default:
      return t("status.saved.other", { time });
  }
}

/** Units are the same in every language. */
function duration(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

function linkProblem(code: string, t: Translate): string {
  switch (code) {
    case "unreachable":
      return t("problem.unreachable");
    case "draining":
      return t("problem.draining");
    case "overloaded":
    case "rate_limited":
    case "storage":
    case "rate":
    case "slow":
      return t("problem.busy");
    case "sync_stale":
    case "homeserver_unreachable":
    case "openid_server":
      return t("problem.homeserver");
    case "openid_invalid":
    case "openid_replayed":
    case "unauthorized":
    case "not_joined":
    case "no_widget":
      return t("problem.signin");
    default:
      return t("problem.network");
  }
}

export function closedTitle(state: Extract<LinkState, { kind: "closed" }>, t: Translate): string {
  return t(state.code === "board_damaged" ? "closed.damaged.title" : state.code === "room_upgraded" ? "closed.moved.title" : "closed.title");
}

/** Why the board is closed for this person. */
export function closedText(state: Extract<LinkState, { kind: "closed" }>, t: Translate): string {
  switch (state.code) {
    case "removed":
    case "not_joined":
    case "server_denied":
    case "no_widget":
    case "board_elsewhere":
    case "openid_blocked":
    case "bad_frame":
    case "board_damaged":
    case "board_erased":
    case "room_upgraded":
      return t(`closed.${state.code}`);
    default:
      return t("closed.other", { message: state.message || state.code });
  }
}

/** Who can read what is drawn here. */
export function readersText(v: Pick<View, "encrypted" | "companion">, t: Translate): string {
  return t(v.encrypted ? "readers.encrypted" : "readers.plain", { companion: v.companion });
}
