import type { RulesChange } from "../link/session";
import type { Translate } from "../ui/i18n";
import type { Board } from "./board";
import type { Moderation } from "./moderation";
import { CURSORS, type Cursors } from "./presence";
import { hindrance, type Rules } from "./rules";
import type { View } from "./view";

export type Moderates = Pick<Moderation, "rule" | "gather" | "hand" | "givePen">;
/** Opens a dialog. */
export type Askable = "versions" | "roles" | "outline" | "setup" | "signins";
export type OnAsk = (what: Askable) => void;
/** What the list changes for this person's own view, and everybody's. */
export type Shows = Pick<Board, "present" | "showCursors">;
type OnRule = (change: RulesChange) => void;

/** Who is here and draws; for moderators also who may. */
export function People({ view, t, moderation, board, onAsk }: { readonly view: View; readonly t: Translate; readonly moderation: Moderates; readonly board: Shows; readonly onAsk: OnAsk }) {
  const { rules, people } = view;
  const moderates = view.role === "moderator" && view.link.kind === "open";
  const doc = view.docs[view.page] ?? "";
  const onRule: OnRule = (change) => moderation.rule(change);
  const here = new Set(people.map((p) => p.id));
  const away = [...new Set([...rules.barred, ...(rules.draw === "chosen" ? rules.chosen : [])])].filter((id) => !here.has(id));
  return (
    <div className="panel">
      <h2>{t("people.title")}</h2>
      {moderates ? <Draws rules={rules} t={t} onRule={onRule} /> : null}
      <ul>
        {people.map((p) => (
          <li key={p.session}>
            <svg className="dot" viewBox="0 0 10 10" aria-hidden="true"><circle cx="5" cy="5" r="5" fill={p.color.stroke} /></svg>
            <bdi>{p.name}</bdi>
            {p.external ? <span className="quiet">{t("people.external", { server: p.external })}</span> : null}
            {p.hand ? <b className="hand">{t("people.hand")}</b> : null}
            {moderates && p.hand && hindrance(rules, p.role, p.id, "") ? <button type="button" onClick={() => moderation.givePen(p.id, rules.draw)}>{t("hand.give")}</button> : null}
            <span className="quiet">{p.self ? `(${t("people.you")})` : ""}</span>
            {moderates && p.role === "participant" && rules.draw !== "moderators" ? (
              <May rules={rules} id={p.id} name={p.name} t={t} onRule={onRule} />
            ) : (
              <span className="quiet end">{t(p.role === "moderator" ? "people.moderator" : hindrance(rules, p.role, p.id, doc) ? "people.viewer" : "people.participant")}</span>
            )}
          </li>
        ))}
        {moderates ? away.map((id) => (
          <li key={id}>
            <bdi>{id}</bdi>
            <span className="quiet">({t("rules.away")})</span>
            {rules.draw === "moderators" ? null : <May rules={rules} id={id} name={id} t={t} onRule={onRule} />}
          </li>
        )) : null}
      </ul>
      {people.length <= 1 ? <p className="quiet">{t("people.none")}</p> : null}
      {people.length > 1 ? (
        <label className="cursors">
          {t("cursors.title")}{" "}
          <select value={view.cursors} onChange={(e) => board.showCursors(e.target.value as Cursors)}>
            {CURSORS.map((c) => <option key={c} value={c}>{t(`cursors.${c}`)}</option>)}
          </select>
        </label>
      ) : null}
      {moderates && people.length > 1 ? <button type="button" onClick={() => moderation.gather()}>{t("gather")}</button> : null}
      {moderates ? <button type="button" aria-pressed={view.presenting.self} onClick={() => board.present.present(!view.presenting.self)}>{t(view.presenting.self ? "present.stop" : "present.start")}</button> : null}
      {moderates && view.ready ? <button type="button" onClick={() => onAsk("versions")}>{t("versions.open")}</button> : null}
      {moderates ? <button type="button" onClick={() => onAsk("roles")}>{t("roles.open")}</button> : null}
      {moderates ? <button type="button" onClick={() => onAsk("setup")}>{t("setup.do")}</button> : null}
    </div>
  );
}

function Draws({ rules, t, onRule }: { readonly rules: Rules; readonly t: Translate; readonly onRule: OnRule }) {
  const choices = [["", "all"], ["chosen", "chosen"], ["moderators", "moderators"]] as const;
  return (
    <fieldset className="choice">
      <legend>{t("rules.title")}</legend>
      {choices.map(([draw, name]) => (
        <label key={name}>
          <input type="radio" name="draw" checked={rules.draw === draw} onChange={() => onRule({ draw })} /> {t(`rules.draw.${name}`)}
        </label>
      ))}
    </fieldset>
  );
}

/** Whether one person draws, within the choice for all. */
function May({ rules, id, name, t, onRule }: { readonly rules: Rules; readonly id: string; readonly name: string; readonly t: Translate; readonly onRule: OnRule }) {
  const chosen = rules.draw === "chosen";
  const draws = chosen ? rules.chosen.includes(id) : !rules.barred.includes(id);
  const may = draws ? (chosen ? "" : "watch") : chosen ? "draw" : "";
  return (
    <label className="end">
      <input type="checkbox" checked={draws} aria-label={t("rules.person", { name })} onChange={() => onRule({ person: { user_id: id, may } })} /> {t("people.participant")}
    </label>
  );
}
