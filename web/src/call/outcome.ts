/** What has come of a moderator's decision, in sentences. Pure. */
import type { Said } from "./launcher";
import type { Translate } from "./words";
import { EVERYBODY, type Act, type Result, type Source } from "./wire";

/** `partly`: done here, and not everywhere. */
export type Tone = "good" | "partly" | "bad";

export interface Told {
  readonly tone: Tone;
  readonly text: string;
}

/** The sources in words: "microphone, camera". */
export function listed(sources: readonly Source[], t: Translate): string {
  return conjunction(sources.map((s) => t(`source.${s}`)), t);
}

const conjunction = (words: readonly string[], t: Translate): string => new Intl.ListFormat(t("language"), { type: "conjunction" }).format(words);

/** `nameOf` answers how a person is called. */
export function outcome(act: Act, result: Result, nameOf: (id: string) => string, t: Translate): Told {
  const beyond = Object.keys(result.people ?? {});
  const missed = beyond.filter((id) => result.people?.[id] === "not_possible");
  const asked = beyond.filter((id) => result.people?.[id] === "requested");
  const target = "user_id" in act ? act.user_id : "";
  const sentences: string[] = [];
  // About one person, all of whose devices are elsewhere, nothing was done here: nothing is claimed.
  const nothingHere = result.outcome !== "enforced" && target !== "" && target !== EVERYBODY && result.changed === 0;
  if (!nothingHere) sentences.push(done(act, result, nameOf, t));
  const hosts = (ids: readonly string[]) => conjunction([...new Set(ids.flatMap((id) => result.foci?.[id] ?? []))], t);
  const names = (ids: readonly string[]) => conjunction(ids.map(nameOf), t);
  if (asked.length > 0) sentences.push(t("told.requested", { names: names(asked), hosts: hosts(asked) || "?" }));
  else if (result.outcome === "requested") sentences.push(t("told.requested", { names: target === "" || target === EVERYBODY ? t("everybody") : nameOf(target), hosts: "?" }));
  if (missed.length > 0) sentences.push(t(act.action === "kick" || act.action === "ban" ? "told.elsewhere" : "told.missed", { count: missed.length, names: names(missed), hosts: hosts(missed) || "?" }));
  else if (result.outcome === "not_possible") sentences.push(t("told.impossible"));
  if (!result.noted) sentences.push(t("told.unnoted"));
  if (!result.kept) sentences.push(t("told.unkept"));
  const tone = nothingHere && result.outcome === "not_possible" ? "bad" : result.outcome === "enforced" && result.noted && result.kept ? "good" : "partly";
  return { tone, text: sentences.join(" ") };
}

function done(act: Act, { changed }: Result, nameOf: (id: string) => string, t: Translate): string {
  switch (act.action) {
    case "end":
    case "begin":
      return t(`did.${act.action}`);
    case "mute":
    case "stop_video":
    case "stop_share":
      if (act.user_id !== EVERYBODY) return t(`did.${act.action}`, { name: nameOf(act.user_id) });
      return changed === 0 ? t(`did.${act.action}.none`) : t(`did.${act.action}.all`, { count: changed });
    case "sources": {
      const who = act.user_id === EVERYBODY ? "all" : "one";
      const values = who === "one" ? { name: nameOf(act.user_id) } : {};
      return act.sources.length === 0 ? t(`did.sources.${who}.none`, values) : t(`did.sources.${who}`, { ...values, what: listed(act.sources, t) });
    }
    case "remove":
      return "identity" in act ? t("did.remove.stranger") : t("did.remove", { name: nameOf(act.user_id) });
    case "readmit":
    case "kick":
    case "ban":
      return t(`did.${act.action}`, { name: nameOf(act.user_id) });
  }
}

/** What there is to say of the last decision. */
export function tell(said: Said, t: Translate): Told {
  switch (said.kind) {
    case "result":
      return outcome(said.act, said.result, (id) => said.names[id] ?? id, t);
    case "failed":
      if (said.status === 0) return { tone: "bad", text: t("told.unreachable") };
      return { tone: "bad", text: t(said.status < 500 ? "told.failed" : "told.unsure", { message: said.message }) };
    case "notLet":
      return { tone: "bad", text: t("told.failed", { message: t("told.notLet") }) };
  }
}
