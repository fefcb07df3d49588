import { useEffect, useId, useRef, useState } from "react";
import type { Grants } from "../grants";
import { isLanguage, languages } from "../i18n";
import type { Classroom } from "../matrix";
import { themeChoices } from "../settings";
import { useApp, useSettings, useT } from "./context";
import { Avatar } from "./parts";

export function AccountMenu({ classroom, grants }: { readonly classroom: Classroom; readonly grants: Grants }) {
  const app = useApp();
  const t = useT();
  const { themeChoice, language } = useSettings();
  const [open, setOpen] = useState(false);
  const [forgot, setForgot] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();
  const name = classroom.displayName();
  const { userId } = classroom.session;

  useEffect(() => {
    if (!open) return;
    setForgot(false);
    const outside = (ev: Event): void => {
      if (ev.target instanceof Node && !box.current?.contains(ev.target)) setOpen(false);
    };
    // A click into a widget's iframe reaches this window only as the loss of its focus. A widget that has just started takes the focus too: nobody
    // asked for that, and the menu stays.
    let last: Element | null = document.activeElement;
    const inside = (ev: Event): void => void (last = ev.target as Element);
    const away = (): void =>
      void setTimeout(() => {
        if (document.querySelector("iframe:hover")) setOpen(false);
        else if (document.activeElement instanceof HTMLIFrameElement && last instanceof HTMLElement) last.focus();
      });
    const menu = box.current;
    menu?.addEventListener("focusin", inside);
    const key = (ev: KeyboardEvent): void => {
      if (ev.key !== "Escape") return;
      setOpen(false);
      button.current?.focus();
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("focusin", outside);
    document.addEventListener("keydown", key);
    window.addEventListener("blur", away);
    return () => {
      menu?.removeEventListener("focusin", inside);
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("focusin", outside);
      document.removeEventListener("keydown", key);
      window.removeEventListener("blur", away);
    };
  }, [open]);

  return (
    <div className="account" ref={box}>
      <button ref={button} className="account-button" aria-expanded={open} aria-controls={id} aria-label={t("account.open", { name })} data-testid="account" onClick={() => setOpen(!open)}>
        <Avatar name={name} id={userId} />
        <span className="account-name">{name}</span>
      </button>
      <div id={id} className="menu" hidden={!open}>
        <p className="faint small break">{t("account.signedInAs", { user: userId })}</p>
        <fieldset className="segments">
          <legend>{t("account.theme")}</legend>
          {themeChoices.map((choice) => (
            <label key={choice}>
              <input type="radio" name="theme" value={choice} checked={themeChoice === choice} onChange={() => app.settings.setTheme(choice)} />
              <span>{t(`account.theme.${choice}`)}</span>
            </label>
          ))}
        </fieldset>
        <label className="field">
          <span>{t("account.language")}</span>
          <select value={language} onChange={(ev) => isLanguage(ev.target.value) && app.settings.setLanguage(ev.target.value)}>
            {Object.entries(languages).map(([tag, label]) => <option key={tag} value={tag} lang={tag}>{label}</option>)}
          </select>
        </label>
        <button className="button wide" onClick={() => { grants.clear(); setForgot(true); }}>{t("account.forget")}</button>
        <p role="status" className="small faint">{forgot ? t("account.forgot") : ""}</p>
        <button className="button wide" data-testid="sign-out" onClick={() => void app.signOut()}>{t("account.signOut")}</button>
      </div>
    </div>
  );
}
