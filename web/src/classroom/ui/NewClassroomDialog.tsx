import { useEffect, useId, useRef, useState, type FormEvent } from "react";
import { newBoard } from "../add/board";
import { KINDS, type Kind } from "../add/kinds";
import { checkPeople, MAX_PEOPLE } from "../add/people";
import { createSteps, type NewClassroom } from "../add/setup";
import { Steps } from "../add/steps";
import type { Classroom } from "../matrix";
import { shownName } from "../names";
import { useApp, useT } from "./context";
import { nameOrProblem, Problem, TextField } from "./fields";
import { Dialog, Icon } from "./parts";
import { StepList } from "./StepList";

interface Props {
  readonly classroom: Classroom;
  readonly onClose: () => void;
  readonly onOpen: (roomId: string) => void;
}

interface Run {
  readonly steps: Steps;
  readonly made: NewClassroom;
}

/** "New classroom": name, people, first boards; then its steps; then it opens by itself. */
export function NewClassroomDialog({ classroom, onClose, onOpen }: Props) {
  const app = useApp();
  const { config } = app;
  useEffect(() => app.prompts.hold(), [app]);
  const t = useT();
  const [run, setRun] = useState<Run | null>(null);
  const [running, setRunning] = useState(false);

  async function goOn(next: Run): Promise<void> {
    setRunning(true);
    const done = await next.steps.run();
    setRunning(false);
    if (done) onOpen(next.made.roomId());
  }
  function start(name: string, people: readonly string[], chosen: readonly Kind[]): void {
    const made = createSteps(classroom, config, name, people, chosen.map((kind) => newBoard(kind, t(KINDS[kind].label))));
    const next = { made, steps: new Steps(made.steps) };
    setRun(next);
    void goOn(next);
  }

  return (
    <Dialog title={t("create.title")} testId="create-dialog" onCancel={() => !running && onClose()}>
      {run ? <Progress run={run} running={running} onRetry={() => void goOn(run)} onClose={onClose} onOpen={onOpen} /> : <Form me={classroom.session.userId} onSubmit={start} onCancel={onClose} />}
    </Dialog>
  );
}

function Form({ me, onSubmit, onCancel }: { readonly me: string; readonly onSubmit: (name: string, people: readonly string[], kinds: readonly Kind[]) => void; readonly onCancel: () => void }) {
  const { config } = useApp();
  const { kinds } = config;
  const t = useT();
  const id = useId();
  const [name, setName] = useState("");
  const [people, setPeople] = useState("");
  const [chosen, setChosen] = useState<ReadonlySet<Kind>>(() => new Set(kinds.slice(0, 1)));
  const [problems, setProblems] = useState({ name: "", people: "", kinds: "" });
  const nameInput = useRef<HTMLInputElement>(null);
  const peopleInput = useRef<HTMLTextAreaElement>(null);

  function toggle(kind: Kind): void {
    const next = new Set(chosen);
    if (!next.delete(kind)) next.add(kind);
    setChosen(next);
  }
  function submit(ev: FormEvent): void {
    ev.preventDefault();
    const checked = nameOrProblem(name, t);
    const { ids, wrong } = checkPeople(people, [me, config.companion]);
    const wrongPeople =
      wrong.length > 0 ? t("create.peopleWrong", { what: wrong.slice(0, 3).map((w) => t("create.quoted", { what: shownName(w) })).join(", ") }) : ids.length > MAX_PEOPLE ? t("create.peopleMany", { count: ids.length, max: MAX_PEOPLE }) : "";
    const noKind = chosen.size === 0 ? t("create.kindsNone") : "";
    setProblems({ name: checked.problem, people: wrongPeople, kinds: noKind });
    if (checked.name === null) return nameInput.current?.focus();
    if (wrongPeople !== "") return peopleInput.current?.focus();
    if (noKind === "") onSubmit(checked.name, ids, kinds.filter((k) => chosen.has(k)));
  }

  return (
    <form onSubmit={submit} noValidate>
      <TextField label={t("create.name")} value={name} problem={problems.name} onChange={setName} inputRef={nameInput} testId="create-name" />
      <div className="field">
        <label htmlFor={id}>{t("create.people")}</label>
        <textarea id={id} ref={peopleInput} rows={3} value={people} onChange={(ev) => setPeople(ev.target.value)} placeholder={t("create.peopleExample")} autoComplete="off" autoCapitalize="none" spellCheck={false} aria-invalid={problems.people !== ""} aria-describedby={`${id}-hint ${id}-problem`} data-testid="create-people" />
        <p id={`${id}-hint`} className="faint small">{t("create.peopleHint")}</p>
        <Problem id={`${id}-problem`}>{problems.people}</Problem>
      </div>
      <fieldset className="kinds">
        <legend>{t("create.kinds")}</legend>
        {kinds.map((kind) => (
          <label key={kind} className="kind">
            <input type="checkbox" checked={chosen.has(kind)} onChange={() => toggle(kind)} />
            <Icon name={KINDS[kind].icon} />
            <span className="grow stack">
              <span>{t(KINDS[kind].label)}</span>
              <span className="faint small">{t(KINDS[kind].hint)}</span>
            </span>
          </label>
        ))}
        <Problem>{problems.kinds}</Problem>
      </fieldset>
      <p className="hint small break">{config.companion === "" ? t("add.noCompanion") : t("create.why", { user: config.companion })}</p>
      <div className="row end">
        <button type="button" className="button" onClick={onCancel}>{t("create.cancel")}</button>
        <button type="submit" className="button primary" disabled={config.companion === ""} data-testid="create-submit">{t("create.submit")}</button>
      </div>
    </form>
  );
}

function Progress({ run, running, onRetry, onClose, onOpen }: { readonly run: Run; readonly running: boolean; readonly onRetry: () => void; readonly onClose: () => void; readonly onOpen: (roomId: string) => void }) {
  const t = useT();
  const roomId = run.made.roomId();
  const retry = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!running) retry.current?.focus();
  }, [running]);
  return (
    <div className="sections">
      <StepList steps={run.steps} />
      {!running && (
        <>
          {roomId !== "" && <p className="hint small">{t("create.partly")}</p>}
          <div className="row end">
            {roomId === "" ? <button className="button" onClick={onClose}>{t("add.close")}</button> : <button className="button" data-testid="create-open" onClick={() => onOpen(roomId)}>{t("create.open")}</button>}
            <button ref={retry} className="button primary" data-testid="steps-retry" onClick={onRetry}>{t("step.retry")}</button>
          </div>
        </>
      )}
    </div>
  );
}
