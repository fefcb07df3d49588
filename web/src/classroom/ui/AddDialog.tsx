import { useEffect, useRef, useState, type FormEvent } from "react";
import { isForgotten, newBoard, removedBoards, WIDGET_TYPE, type NewBoard, type WidgetState } from "../add/board";
import { KINDS, kinds, type Kind } from "../add/kinds";
import { grant, neededLevel } from "../add/levels";
import { addSteps, type Standing } from "../add/setup";
import { Steps } from "../add/steps";
import type { Config } from "../config";
import type { Translate } from "../i18n";
import type { Classroom, RoomDetail } from "../matrix";
import { reasonOf } from "../reason";
import { inviteLevel, powerOf, stateLevel } from "../roles";
import { BoardList, RemovedList } from "./BoardList";
import { useApp, useT } from "./context";
import { freeName, KindField, nameOrProblem, TextField } from "./fields";
import { Dialog } from "./parts";
import { StepList } from "./StepList";

interface Props {
  readonly classroom: Classroom;
  readonly detail: RoomDetail;
  readonly onClose: () => void;
  /** A board is there: show it. */
  readonly onAdded: (widgetId: string) => void;
}

/** May this person change what is in the room? */
export const mayAdd = (classroom: Classroom, detail: RoomDetail): boolean => powerOf(detail.powers, classroom.session.userId) >= stateLevel(detail.powers, WIDGET_TYPE);

/** Why somebody may not add boards, and who may. */
export function powerSentence(classroom: Classroom, detail: RoomDetail, companion: string, t: Translate): string {
  const level = stateLevel(detail.powers, WIDGET_TYPE);
  const who = classroom.whoHas(detail.summary.id, level, companion).join(", ");
  const params = { level, own: powerOf(detail.powers, classroom.session.userId), who };
  return t("add.noPower", params) + " " + t(who === "" ? "add.askNobody" : "add.ask", params);
}

interface Run {
  readonly steps: Steps;
  readonly board: NewBoard | null;
}

/** "Add to room": a form for a new board, and what is in the room. While something is being done only that is shown. */
export function AddDialog({ classroom, detail, onClose, onAdded }: Props) {
  const app = useApp();
  const t = useT();
  const { config } = app;
  useEffect(() => app.prompts.hold(), [app]); // the board that is added must not ask over what is being read here
  const [run, setRun] = useState<Run | null>(null);
  const [running, setRunning] = useState(false);
  const actor = { classroom, config };
  const room = detail.summary;
  const may = mayAdd(classroom, detail);
  const past = usePast(classroom, room.id, may && detail.empty.some(isForgotten));
  const standing = standingOf(detail, config);
  const removed = removedBoards(detail.empty, past, config.lectern);
  const refusal = cannotInvite(classroom, detail, standing, config, t);
  const needsRepair = detail.widgets.some((w) => w.url.startsWith(`${config.lectern}/widgets/`)) && (standing === "absent" || grant(detail.powers, config.companion, classroom.session.userId).kind === "rewrite");

  async function start(board: NewBoard | null): Promise<void> {
    const next = { steps: new Steps(addSteps(actor, room.id, standing, detail.powers, board ? [board] : [])), board };
    setRun(next);
    await goOn(next);
  }

  async function goOn({ steps, board }: Run): Promise<void> {
    setRunning(true);
    const done = await steps.run();
    setRunning(false);
    if (!done || steps.get().steps.some((s) => s.state === "noted")) return; // to be read first
    if (board) onAdded(board.id);
    else setRun(null);
  }

  return (
    <Dialog title={t("add.title", { room: room.name })} testId="add-dialog" onCancel={() => !running && onClose()}>
      {run ? (
        <Progress run={run} running={running} onRetry={() => void goOn(run)} onClose={() => (run.board && run.steps.get().steps.find((s) => s.id === run.board?.id)?.state === "done" ? onAdded(run.board.id) : onClose())} />
      ) : (
        <div className="sections">
          {!may && <p className="hint" data-testid="add-no-power">{powerSentence(classroom, detail, config.companion, t)}</p>}
          {may && refusal !== "" && <p className="hint" data-testid="add-no-invite">{refusal}</p>}
          {may && refusal === "" && (
            <AddForm taken={detail.widgets.map((w) => w.name)} onAdd={(board) => void start(board)}>
              {why(classroom, detail, standing, config, t)}
            </AddForm>
          )}
          {may && refusal === "" && needsRepair && (
            <section className="hint stack repair" data-testid="repair">
              <p>{t("add.repair", { level: neededLevel(detail.powers) })}</p>
              <button className="button small" onClick={() => void start(null)}>{t("add.repairDo")}</button>
            </section>
          )}
          <BoardList actor={actor} detail={detail} may={may} />
          {may && refusal === "" && removed.length > 0 && <RemovedList boards={removed} onPutBack={(board) => void start(board)} />}
          <div className="row end"><button className="button" data-testid="add-close" onClick={onClose}>{t("add.close")}</button></div>
        </div>
      )}
    </Dialog>
  );
}

/** Widget events of the room's past, once they are wanted. Where they cannot be had, what other clients removed is not offered. */
function usePast(classroom: Classroom, roomId: string, wanted: boolean): readonly WidgetState[] {
  const [past, setPast] = useState<readonly WidgetState[]>([]);
  useEffect(() => {
    if (!wanted) return;
    let stale = false;
    classroom.server.past(roomId, WIDGET_TYPE).then((events) => !stale && setPast(events), (err: unknown) => console.warn("the past of the room's widgets:", reasonOf(err)));
    return () => void (stale = true);
  }, [classroom, roomId, wanted]);
  return past;
}

function AddForm({ taken, onAdd, children }: { readonly taken: readonly string[]; readonly onAdd: (board: NewBoard) => void; readonly children: string }) {
  const t = useT();
  const [kind, setKind] = useState<Kind>(kinds[0] ?? "whiteboard");
  const [typed, setTyped] = useState<string | null>(null);
  const [problem, setProblem] = useState("");
  const input = useRef<HTMLInputElement>(null);
  const value = typed ?? freeName(t(KINDS[kind].label), taken);

  function submit(ev: FormEvent): void {
    ev.preventDefault();
    const { name, problem: wrong } = nameOrProblem(value, t);
    setProblem(wrong);
    if (name === null) return input.current?.focus();
    onAdd(newBoard(kind, name));
  }
  return (
    <form onSubmit={submit} noValidate aria-label={t("add.newTitle")}>
      <h3>{t("add.newTitle")}</h3>
      <KindField value={kind} onChange={setKind} />
      <TextField label={t("add.name")} value={value} problem={problem} onChange={setTyped} inputRef={input} testId="add-name" />
      {children !== "" && <p className="hint small break" data-testid="add-why">{children}</p>}
      <div className="row end"><button type="submit" className="button primary" data-testid="add-submit">{t("add.submit")}</button></div>
    </form>
  );
}

function Progress({ run, running, onRetry, onClose }: { readonly run: Run; readonly running: boolean; readonly onRetry: () => void; readonly onClose: () => void }) {
  const t = useT();
  const failed = !running && run.steps.get().steps.some((s) => s.state === "failed");
  const retry = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (failed) retry.current?.focus();
  }, [failed]);
  return (
    <div className="sections">
      <StepList steps={run.steps} />
      {!running && (
        <div className="row end">
          <button className="button" data-testid="add-close" onClick={onClose}>{t("add.close")}</button>
          {failed && <button ref={retry} className="button primary" data-testid="steps-retry" onClick={onRetry}>{t("step.retry")}</button>}
        </div>
      )}
    </div>
  );
}

function standingOf(detail: RoomDetail, config: Config): Standing {
  const membership = detail.members.find((m) => m.userId === config.companion)?.membership;
  return membership === "join" ? "member" : membership === "invite" ? "invited" : "absent";
}

/** What adding a board does besides, so that nobody wonders about a new member or a changed level; "" if nothing. */
function why(classroom: Classroom, detail: RoomDetail, standing: Standing, config: Config, t: Translate): string {
  const how = grant(detail.powers, config.companion, classroom.session.userId);
  const params = { user: config.companion, level: neededLevel(detail.powers) };
  const join = standing === "member" ? "" : t("add.whyJoin", params);
  const level = how.kind === "rewrite" ? t("add.whyLevel", params) : how.kind === "cannot" ? t("add.whyNoLevel", params) : "";
  return `${join} ${level}`.trim();
}

/** Why Lectern cannot be invited although it has to be; "" if it can or need not. */
function cannotInvite(classroom: Classroom, detail: RoomDetail, standing: Standing, config: Config, t: Translate): string {
  if (config.companion === "") return t("add.noCompanion");
  const level = inviteLevel(detail.powers);
  const own = powerOf(detail.powers, classroom.session.userId);
  if (standing !== "absent" || own >= level) return "";
  const who = classroom.whoHas(detail.summary.id, level, config.companion).join(", ");
  return t("add.noInvite", { level, own, user: config.companion }) + " " + t(who === "" ? "add.askNobody" : "add.ask", { level, who });
}
