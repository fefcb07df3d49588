import { useEffect, useState } from "react";
import type { Translate } from "../ui/i18n";
import type { Board } from "./board";
import type { View } from "./view";

/** Which page of how many, and the way to the others. A board of one page shows only how to add one. */
export function PageStrip({ view, board, writable, t }: { readonly view: View; readonly board: Board; readonly writable: boolean; readonly t: Translate }) {
  const [open, setOpen] = useState(false);
  const { page, docs } = view;
  const pages = docs.length;
  useEffect(() => {
    const key = (e: KeyboardEvent) => {
      if (!e.altKey || e.ctrlKey || e.metaKey || (e.key !== "PageUp" && e.key !== "PageDown")) return;
      e.preventDefault();
      e.stopPropagation(); // the editor would scroll
      board.turn(board.view.get().page + (e.key === "PageDown" ? 1 : -1));
    };
    addEventListener("keydown", key, true);
    return () => removeEventListener("keydown", key, true);
  }, [board]);
  const turn = (to: number) => {
    setOpen(false);
    board.turn(to);
  };
  const offline = view.link.kind !== "open";
  const step = (to: number, label: string, sign: string, keys: string) => (
    <button type="button" aria-label={label} title={label} aria-keyshortcuts={keys} aria-disabled={offline || to < 0 || to >= pages} onClick={() => turn(to)}>{sign}</button>
  );
  const locked = (i: number) => view.rules.pages.includes(docs[i] ?? "");
  const nameOf = (i: number) => t(locked(i) ? "pages.locked" : "pages.of", { page: i + 1, count: pages });
  const doc = docs[page] ?? "";
  const add = writable ? <button type="button" aria-label={t("pages.add")} title={t("pages.add")} aria-disabled={offline} onClick={() => !offline && void board.pages.add()}>+</button> : null;
  if (pages <= 1 && !add) return null;
  return (
    <nav className="pages" aria-label={t("pages.label")} onKeyDown={(e) => e.key === "Escape" && setOpen(false)}>
      {open && pages > 1 ? (
        <div className="panel">
          <h2>{t("pages.label")}</h2>
          <ol>
            {Array.from({ length: pages }, (_, i) => (
              <li key={i}>
                <button type="button" aria-label={nameOf(i)} aria-current={i === page ? "page" : undefined} aria-disabled={offline} onClick={() => turn(i)}>
                  {i + 1}
                  {locked(i) ? <Lock /> : null}
                </button>
              </li>
            ))}
          </ol>
          {view.role === "moderator" && !offline ? (
            <button type="button" onClick={() => board.moderation.rule({ page: { doc, locked: !locked(page) } })}>{t(locked(page) ? "rules.page.unlock" : "rules.page.lock")}</button>
          ) : null}
          {offline ? <p className="quiet">{t("pages.offline")}</p> : null}
        </div>
      ) : null}
      {pages > 1 ? (
        <>
          {step(page - 1, t("pages.previous"), "‹", "Alt+PageUp")}
          <button type="button" aria-label={nameOf(page)} aria-expanded={open} onClick={() => setOpen(!open)}>
            {locked(page) ? <Lock /> : null}
            {t("pages.short", { page: page + 1, count: pages })}
          </button>
          {step(page + 1, t("pages.next"), "›", "Alt+PageDown")}
        </>
      ) : null}
      {add}
    </nav>
  );
}

const Lock = () => (
  <svg className="lock" viewBox="0 0 10 12" aria-hidden="true">
    <path d="M1 5h8v6H1zM3 5V3.5a2 2 0 0 1 4 0V5" fill="none" stroke="currentColor" strokeWidth="1.4" />
  </svg>
);
