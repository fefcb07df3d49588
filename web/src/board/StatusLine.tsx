import { useEffect, useState, type ReactNode } from "react";
import type { Translate } from "../ui/i18n";
import type { Board } from "./board";
import { People, type OnAsk } from "./People";
import { WhoDrew } from "./WhoDrew";
import type { View } from "./view";
import { headline, problemText, readersText, savedText } from "./status";

const SOFT_LIMIT = 1_500;

interface Props {
  readonly view: View;
  readonly t: Translate;
  readonly language: string;
  readonly pages: ReactNode;
  readonly board: Pick<Board, "moderation" | "history" | "present" | "showCursors">;
  /** A dialog is wanted. */
  readonly onAsk: OnAsk;
}

/** One line under the board: how live it is, how safe, who is here and who can read it. The rest unfolds above it. */
export function StatusLine({ view, t, language, pages, board, onAsk }: Props) {
  const { moderation } = board;
  const [open, setOpen] = useState<"people" | "details" | null>(null);
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 5_000);
    return () => clearInterval(timer);
  }, []);
  const head = headline(view, t);
  const problem = problemText(view, Math.max(now, view.saved.since), t);
  const mine = view.people.some((p) => p.self && p.hand);
  const hands = new Set(view.people.filter((p) => p.hand).map((p) => p.id)).size;
  const viewer = view.role === "viewer";
  const toggle = (what: "people" | "details") => setOpen((o) => (o === what ? null : what));
  const { announcement: said } = view;
  const spoken = said && (said.kind === "page" ? t("pages.of", { page: said.page + 1, count: view.docs.length }) : t(`announce.${said.kind}`, { name: said.name }));
  return (
    <section className="status" aria-label={t("status.label")} onKeyDown={(e) => e.key === "Escape" && setOpen(null)}>
      {open === "people" ? <People view={view} t={t} moderation={moderation} board={board} onAsk={onAsk} /> : null}
      {open === "details" ? <Details view={view} t={t} now={now} onAsk={onAsk} /> : null}
      {problem ? <p className="problem" data-tone={view.link.kind === "resuming" ? head.tone : "bad"} role="status">{problem}</p> : null}
      {viewer && view.ready ? <p className="note">{t("viewer.explanation")}</p> : null}
      {view.ready && view.hindrance !== "" && view.hindrance !== "viewer" ? (
        <div className="note">
          <span role="status">{t(`hindrance.${view.hindrance}`)}</span>
          {view.link.kind === "open" ? <button type="button" aria-pressed={mine} onClick={() => moderation.hand(!mine)}>{t(mine ? "hand.lower" : "hand.raise")}</button> : null}
        </div>
      ) : null}
      {view.presenting.self || view.presenting.name !== "" ? <PresentNote view={view} t={t} present={board.present} /> : null}
      {view.elements > SOFT_LIMIT ? <p className="note">{t("limit.soft", { count: view.elements })}</p> : null}
      <div className="line">
        <span className="state" data-tone={head.tone} role="status">{head.text}</span>
        {view.unsaved > 0 && view.link.kind === "open" ? <span className="quiet">{t("status.sending", { count: view.unsaved })}</span> : null}
        {view.ready ? <span className="quiet grow">{savedText({ saved: view.saved }, Math.max(now, view.saved.at), t)}</span> : <span className="grow" />}
        {view.selected === "" || view.link.kind !== "open" ? null : <WhoDrew key={view.selected} element={view.selected} history={board.history} t={t} language={language} />}
        {view.ready ? <button type="button" onClick={() => onAsk("outline")}>{t("outline.open")}</button> : null}
        {pages}
        {view.encrypted === undefined ? null : (
          <button type="button" aria-expanded={open === "details"} onClick={() => toggle("details")}>
            {t(view.encrypted ? "readers.encrypted.short" : "readers.plain.short")}
          </button>
        )}
        {view.link.kind === "closed" ? null : (
          <button type="button" aria-expanded={open === "people"} onClick={() => toggle("people")}>
            {t("people.count", { count: view.people.length })}
            {hands > 0 ? <b> · {t("people.hands", { count: hands })}</b> : null}
          </button>
        )}
      </div>
      <p className="spoken" aria-live="polite">{spoken}</p>
    </section>
  );
}

function Details({ view, t, now, onAsk }: { readonly view: View; readonly t: Translate; readonly now: number; readonly onAsk: OnAsk }) {
  return (
    <div className="panel">
      <h2>{t("readers.title")}</h2>
      <p>
        {readersText(view, t)} <a href={`/trust?lang=${t("language")}`} target="_blank" rel="noopener noreferrer">{t("readers.more")}</a>
      </p>
      <p className="quiet">
        {savedText(view, Math.max(now, view.saved.at), t)}
        {view.link.kind === "open" ? ` · ${t(view.link.lane === 1 ? "status.lane.channel" : "status.lane.socket")}` : ""}
      </p>
      {view.link.kind === "open" ? <button type="button" onClick={() => onAsk("signins")}>{t("signins.open")}</button> : null}
    </div>
  );
}

/** Whose view this is. */
function PresentNote({ view, t, present }: { readonly view: View; readonly t: Translate; readonly present: Board["present"] }) {
  const { self, name, following } = view.presenting;
  if (self) {
    return (
      <div className="note">
        <span role="status">{t("present.self")}</span>
        <button type="button" onClick={() => present.present(false)}>{t("present.stop")}</button>
      </div>
    );
  }
  return (
    <div className="note">
      <span role="status">{t(following ? "present.following" : "present.presents", { name })}</span>
      <button type="button" onClick={() => present.follow(!following)}>{t(following ? "present.leave" : "present.follow")}</button>
    </div>
  );
}
