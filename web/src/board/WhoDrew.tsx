import { useState } from "react";
import { Refused, type Drew } from "../link/session";
import type { Translate } from "../ui/i18n";
import type { History } from "./history";

/** Who drew the selected element, from the server's record, when somebody asks. */
export function WhoDrew({ element, history, t, language }: { readonly element: string; readonly history: History; readonly t: Translate; readonly language: string }) {
  const [answer, setAnswer] = useState<Drew | "asking" | "unknown" | "failed">();
  const ask = () => {
    setAnswer("asking");
    history.drew(element).then(setAnswer, (err: unknown) => setAnswer(err instanceof Refused && err.code === "not_kept" ? "unknown" : "failed"));
  };
  if (answer === undefined || answer === "asking") return <button type="button" aria-disabled={answer !== undefined} onClick={() => answer === undefined && ask()}>{t("drew.ask")}</button>;
  if (answer === "unknown" || answer === "failed") return <span role="status" className="quiet">{t(`drew.${answer}`)}</span>;
  const at = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(answer.at);
  return (
    <span role="status" className="quiet">
      {t("drew.by", { name: (answer.name || answer.user_id) + (answer.external ? ` (${answer.external})` : ""), at })}
    </span>
  );
}
