import { useEffect, useRef, useState, type FormEvent, type KeyboardEvent, type ReactNode } from "react";
import type { NewBoard } from "../add/board";
import { KINDS, kindAt } from "../add/kinds";
import { removeWidget, renameWidget, type Actor } from "../add/setup";
import { explain } from "../add/steps";
import type { RoomWidget } from "../widgets";
import type { RoomBoards } from "./AddPanel";
import { useT } from "./context";
import { nameOrProblem, Problem, TextField } from "./fields";
import { Icon, Spinner } from "./parts";

type Mode = "show" | "rename" | "remove";

/** What is in the room; for moderators with a new name and a way out. */
export function BoardList({ actor, room, may }: { readonly actor: Actor; readonly room: Pick<RoomBoards, "id" | "widgets">; readonly may: boolean }) {
  const t = useT();
  const title = useRef<HTMLHeadingElement>(null);
  return (
    <section aria-labelledby="boards-title">
      <h3 id="boards-title" ref={title} tabIndex={-1}>{t("boards.title")}</h3>
      {room.widgets.length === 0 ? (
        <p className="faint">{t("boards.none")}</p>
      ) : (
        <ul className="boards">
          {room.widgets.map((w) => <Board key={w.id} actor={actor} roomId={room.id} widget={w} may={may} onGone={() => title.current?.focus()} />)}
        </ul>
      )}
    </section>
  );
}

function Board({ actor, roomId, widget, may, onGone }: { readonly actor: Actor; readonly roomId: string; readonly widget: RoomWidget; readonly may: boolean; readonly onGone: () => void }) {
  const t = useT();
  const [mode, setMode] = useState<Mode>("show");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const back = useRef<{ rename: HTMLButtonElement | null; remove: HTMLButtonElement | null }>({ rename: null, remove: null });
  const before = useRef<Mode>("show");
  // The keyboard returns to where it came from.
  useEffect(() => {
    const was = before.current;
    before.current = mode;
    if (mode === "show" && was !== "show") back.current[was]?.focus();
  }, [mode]);
  const kind = kindAt(widget.url, actor.config.lectern);

  async function act(action: () => Promise<void>, after: () => void): Promise<void> {
    setBusy(true);
    setProblem("");
    try {
      await action();
      after();
    } catch (err) {
      const { key, params } = explain(err);
      setProblem(t(key, params));
    }
    setBusy(false);
  }
  function show(next: Mode): void {
    setProblem("");
    setMode(next);
  }

  function escape(ev: KeyboardEvent): void {
    if (ev.key !== "Escape" || mode === "show") return;
    ev.preventDefault(); // ends this question, not the dialog
    if (!busy) show("show");
  }

  return (
    <li className="board" data-testid={`board-${widget.id}`} onKeyDown={escape}>
      <div className="board-line">
        <Icon name={kind ? KINDS[kind].icon : "board"} />
        <span className="grow break">{widget.name}</span>
        {may && mode === "show" && (
          <span className="row">
            <button ref={(el) => void (back.current.rename = el)} className="button small quiet" aria-label={t("boards.renameOf", { name: widget.name })} data-testid="board-rename" onClick={() => show("rename")}>{t("boards.rename")}</button>
            <button ref={(el) => void (back.current.remove = el)} className="button small quiet" aria-label={t("boards.removeOf", { name: widget.name })} data-testid="board-remove" onClick={() => show("remove")}>{t("boards.remove")}</button>
          </span>
        )}
      </div>
      {mode === "rename" && <Rename name={widget.name} busy={busy} onCancel={() => show("show")} onRename={(name) => void act(() => renameWidget(actor, roomId, widget.id, name), () => show("show"))} />}
      {mode === "remove" && (
        <div className="board-form" data-testid="board-confirm">
          <p>{t(kind === undefined ? "boards.removeForeign" : kind === "call" ? "boards.removeCall" : "boards.removeHint", { name: widget.name })}</p>
          <Choice busy={busy} onCancel={() => show("show")}>
            <button className="button small danger" disabled={busy} data-testid="board-remove-yes" onClick={() => void act(() => removeWidget(actor, roomId, widget.id), onGone)}>{busy && <Spinner />}{t("boards.removeYes")}</button>
          </Choice>
        </div>
      )}
      <Problem>{problem}</Problem>
    </li>
  );
}

function Rename({ name, busy, onCancel, onRename }: { readonly name: string; readonly busy: boolean; readonly onCancel: () => void; readonly onRename: (name: string) => void }) {
  const t = useT();
  const [value, setValue] = useState(name);
  const [problem, setProblem] = useState("");
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.select(), []);
  function submit(ev: FormEvent): void {
    ev.preventDefault();
    const checked = nameOrProblem(value, t);
    setProblem(checked.problem);
    if (checked.name === null) return input.current?.focus();
    if (checked.name === name) return onCancel(); // nothing to write
    onRename(checked.name);
  }
  return (
    <form className="board-form" onSubmit={submit} noValidate>
      <TextField label={t("boards.newName")} value={value} problem={problem} onChange={setValue} inputRef={input} testId="board-name" />
      <p className="faint small">{t("boards.renameHint")}</p>
      <Choice busy={busy} onCancel={onCancel}>
        <button type="submit" className="button small primary" disabled={busy} data-testid="board-save">{busy && <Spinner />}{t("boards.save")}</button>
      </Choice>
    </form>
  );
}

function Choice({ busy, onCancel, children }: { readonly busy: boolean; readonly onCancel: () => void; readonly children: ReactNode }) {
  const t = useT();
  const cancel = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!cancel.current?.form) cancel.current?.focus(); // a question begins at the harmless answer, a form at its field
  }, []);
  return (
    <div className="row end">
      <button ref={cancel} type="button" className="button small" disabled={busy} data-testid="board-cancel" onClick={onCancel}>{t("boards.cancel")}</button>
      {children}
    </div>
  );
}

/** Boards that were removed from this room and can come back. */
export function RemovedList({ boards, onPutBack }: { readonly boards: readonly NewBoard[]; readonly onPutBack: (board: NewBoard) => void }) {
  const t = useT();
  return (
    <section aria-labelledby="removed-title">
      <h3 id="removed-title">{t("boards.removed")}</h3>
      <ul className="boards">
        {boards.map((b) => (
          <li key={b.id} className="board board-line" data-testid={`removed-${b.id}`}>
            <Icon name={KINDS[b.kind].icon} />
            <span className="grow break faint">{b.name}</span>
            <button className="button small" aria-label={t("boards.putBackOf", { name: b.name })} data-testid="board-put-back" onClick={() => onPutBack(b)}>{t("boards.putBack")}</button>
          </li>
        ))}
      </ul>
    </section>
  );
}
