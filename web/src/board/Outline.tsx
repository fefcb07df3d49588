import { useEffect, useId, useState, type FormEvent } from "react";
import { Dialog } from "../ui/Dialog";
import type { Translate } from "../ui/i18n";
import type { SceneElement } from "./element";
import { outlineOf, type OutlineItem } from "./outline";

/** What the outline does on the page. */
export interface Drawer {
  elements(): readonly SceneElement[];
  add(kind: NewKind, text: string): void;
  remove(id: string): void;
  show(id: string): void;
}

export const NEW_KINDS = ["text", "rectangle", "ellipse", "diamond"] as const;
export type NewKind = (typeof NEW_KINDS)[number];

interface Props {
  readonly drawer: Drawer;
  readonly writable: boolean;
  readonly page: string;
  readonly t: Translate;
  readonly onClose: () => void;
}

const LOOK_MS = 1_000;
const MOST = 500;
const LONGEST = 2_000; // characters of a new text
const SAID = new Set(["text", "rectangle", "ellipse", "diamond", "arrow", "line", "freedraw", "frame"]);

/** The page as a list that can be read aloud, with a form to add to it. */
export default function Outline({ drawer, writable, page, t, onClose }: Props) {
  const rtl = document.documentElement.dir === "rtl";
  const [items, setItems] = useState(() => outlineOf(drawer.elements(), rtl));
  const [said, setSaid] = useState("");
  useEffect(() => {
    const timer = setInterval(() => look(), LOOK_MS);
    return () => clearInterval(timer);
  }, [drawer]);
  const look = () => setItems((before) => {
    const now = outlineOf(drawer.elements(), rtl);
    return JSON.stringify(now) === JSON.stringify(before) ? before : now;
  });
  const words = (i: OutlineItem) => {
    const kind = t(SAID.has(i.kind) ? (`outline.${i.kind}` as "outline.text") : "outline.other");
    const named = (what: string) => (SAID.has(what) ? t(`outline.${what}` as "outline.text") : what);
    if (i.from !== "" || i.to !== "") return t("outline.connects", { kind, from: named(i.from) || "–", to: named(i.to) || "–" }) + (i.text ? ` “${i.text}”` : "");
    return i.text ? t("outline.with", { kind, text: i.text }) : kind;
  };
  return (
    <Dialog title={t("outline.title", { page })} onClose={onClose} actions={<button type="button" onClick={onClose} autoFocus>{t("close")}</button>}>
      {items.length === 0 ? <p>{t("outline.empty")}</p> : null}
      <ol className="outline" aria-label={t("outline.list", { count: items.length })}>
        {items.slice(0, MOST).map((i) => (
          <li key={i.id}>
            <bdi>{words(i)}</bdi>
            <span className="outline-actions">
              <button type="button" aria-label={t("outline.showOf", { what: words(i) })} onClick={() => { drawer.show(i.id); onClose(); }}>{t("outline.show")}</button>
              {writable ? <button type="button" aria-label={t("outline.removeOf", { what: words(i) })} onClick={() => { drawer.remove(i.id); setSaid(t("outline.removed", { what: words(i) })); look(); }}>{t("outline.remove")}</button> : null}
            </span>
          </li>
        ))}
      </ol>
      {items.length > MOST ? <p className="quiet">{t("outline.more", { count: items.length - MOST })}</p> : null}
      {writable ? <Add t={t} onAdd={(kind, text) => { drawer.add(kind, text); setSaid(t("outline.added", { what: text || t(`outline.${kind}`) })); look(); }} /> : null}
      <p role="status">{said}</p>
    </Dialog>
  );
}

function Add({ t, onAdd }: { readonly t: Translate; readonly onAdd: (kind: NewKind, text: string) => void }) {
  const [kind, setKind] = useState<NewKind>("text");
  const [text, setText] = useState("");
  const [problem, setProblem] = useState("");
  const id = useId();
  const submit = (ev: FormEvent) => {
    ev.preventDefault();
    const words = text.trim();
    if (kind === "text" && words === "") return setProblem(t("outline.noText"));
    setProblem("");
    setText("");
    onAdd(kind, words);
  };
  return (
    <form className="outline-add" onSubmit={submit}>
      <h3>{t("outline.add")}</h3>
      <label>
        {t("outline.kind")}{" "}
        <select value={kind} onChange={(e) => setKind(e.target.value as NewKind)}>
          {NEW_KINDS.map((k) => <option key={k} value={k}>{t(`outline.${k}`)}</option>)}
        </select>
      </label>
      <label>
        {t("outline.words")}{" "}
        <textarea rows={2} maxLength={LONGEST} value={text} aria-invalid={problem !== ""} aria-describedby={id} onChange={(e) => setText(e.target.value)} />
      </label>
      <p id={id} className="problem">{problem}</p>
      <button type="submit">{t("outline.put")}</button>
    </form>
  );
}
