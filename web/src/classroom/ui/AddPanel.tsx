import { useEffect, useRef, useState, type FormEvent } from "react";
import { isForgotten, newBoard, removedBoards, WIDGET_TYPE, type NewBoard, type WidgetState } from "../add/board";
import { KINDS, type Kind } from "../add/kinds";
import { grant, neededLevel } from "../add/levels";
import { addSteps, type Actor, type Client, type Standing } from "../add/setup";
import { Steps } from "../add/steps";
import type { Translate } from "../i18n";
import { reasonOf } from "../reason";
import { inviteLevel, powerOf, stateLevel, type Powers } from "../roles";
import type { RoomWidget } from "../widgets";
import { BoardList, RemovedList } from "./BoardList";
import { useT } from "./context";
import { freeName, KindField, nameOrProblem, TextField } from "./fields";
import { StepList } from "./StepList";

/** What is shown of a room, and decides what is offered. */
export interface RoomBoards {
  readonly id: string;
  readonly widgets: readonly RoomWidget[];
  /** Widget events without a widget: removed ones. */
  readonly empty: readonly WidgetState[];
  readonly powers: Powers;
  /** How Lectern's account stands there. */
  readonly standing: Standing;
}

interface Props {
  readonly actor: Actor;
  readonly room: RoomBoards;
  readonly onClose: () => void;
  /** A board is there: show it. */
  readonly onAdded: (board: NewBoard) => void;
  /** Something is being done, and nothing else should be meanwhile. */
  readonly onBusy: (busy: boolean) => void;
}

/** May this person change what is in the room? */
export const mayAdd = (client: Client, powers: Powers): boolean => powerOf(powers, client.me) >= stateLevel(powers, WIDGET_TYPE);

/** Why somebody may not add boards, and who may. */
export function powerSentence(client: Client, room: Pick<RoomBoards, "id" | "powers">, companion: string, t: Translate): string {
  const level = stateLevel(room.powers, WIDGET_TYPE);
  const who = client.whoHas(room.id, level, companion).join(", ");
  const params = { level, own: powerOf(room.powers, client.me), who };
  return t("add.noPower", params) + " " + t(who === "" ? "add.askNobody" : "add.ask", params);
}

interface Run {
  readonly steps: Steps;
  readonly board: NewBoard | null;
}

/** A form for a new board, and what is in the room. While something is being done only that is shown. */
export function AddPanel({ actor, room, onClose, onAdded, onBusy }: Props) {
  const t = useT();
  const { client, config } = actor;
  const [run, setRun] = useState<Run | null>(null);
  const [running, setRunning] = useState(false);
  const may = mayAdd(client, room.powers);
  const past = usePast(client, room.id, may && room.empty.some(isForgotten));
  const removed = removedBoards(room.empty, past, config.lectern);
  const refusal = cannotInvite(actor, room, t);
  const needsRepair = room.widgets.some((w) => w.url.startsWith(`${config.lectern}/widgets/`)) && (room.standing === "absent" || grant(room.powers, config.companion, client.me).kind === "rewrite");

  async function start(board: NewBoard | null): Promise<void> {
    const next = { steps: new Steps(addSteps(actor, room.id, room.standing, room.powers, board ? [board] : [])), board };
    setRun(next);
    await goOn(next);
  }

  async function goOn({ steps, board }: Run): Promise<void> {
    setRunning(true);
    onBusy(true);
    const done = await steps.run();
    setRunning(false);
    onBusy(false);
    if (!done || steps.get().steps.some((s) => s.state === "noted")) return; // to be read first
    setRun(null);
    if (board) onAdded(board);
  }

  function leave({ steps, board }: Run): void {
    setRun(null);
    if (board && steps.get().steps.find((s) => s.id === board.id)?.state === "done") onAdded(board);
    else onClose();
  }

  if (run) return <Progress run={run} running={running} onRetry={() => void goOn(run)} onClose={() => leave(run)} />;
  return (
    <div className="sections">
      {!may && <p className="hint" data-testid="add-no-power">{powerSentence(client, room, config.companion, t)}</p>}
      {may && refusal !== "" && <p className="hint" data-testid="add-no-invite">{refusal}</p>}
      {may && refusal === "" && (
        <AddForm kinds={config.kinds} taken={room.widgets.map((w) => w.name)} onAdd={(board) => void start(board)}>
          {why(actor, room, t)}
        </AddForm>
      )}
      {may && refusal === "" && needsRepair && (
        <section className="hint stack repair" data-testid="repair">
          <p>{t("add.repair", { level: neededLevel(room.powers) })}</p>
          <button className="button small" onClick={() => void start(null)}>{t("add.repairDo")}</button>
        </section>
      )}
      <BoardList actor={actor} room={room} may={may} />
      {may && refusal === "" && removed.length > 0 && <RemovedList boards={removed} onPutBack={(board) => void start(board)} />}
      <div className="row end"><button className="button" data-testid="add-close" onClick={onClose}>{t("add.close")}</button></div>
    </div>
  );
}

/** Widget events of the room's past, once they are wanted. Where they cannot be had, what other clients removed is not offered. */
function usePast(client: Client, roomId: string, wanted: boolean): readonly WidgetState[] {
  const [past, setPast] = useState<readonly WidgetState[]>([]);
  useEffect(() => {
    if (!wanted) return;
    let stale = false;
    client.server.past(roomId).then((events) => !stale && setPast(events), (err: unknown) => console.warn("the past of the room's widgets:", reasonOf(err)));
    return () => void (stale = true);
  }, [client, roomId, wanted]);
  return past;
}

function AddForm({ kinds, taken, onAdd, children }: { readonly kinds: readonly Kind[]; readonly taken: readonly string[]; readonly onAdd: (board: NewBoard) => void; readonly children: string }) {
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
      <KindField kinds={kinds} value={kind} onChange={setKind} />
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

/** What adding a board does besides, so that nobody wonders about a new member or a changed level; "" if nothing. */
function why({ client, config }: Actor, room: RoomBoards, t: Translate): string {
  const how = grant(room.powers, config.companion, client.me);
  const params = { user: config.companion, level: neededLevel(room.powers) };
  const join = room.standing === "member" ? "" : t("add.whyJoin", params);
  const level = how.kind === "rewrite" ? t("add.whyLevel", params) : how.kind === "cannot" ? t("add.whyNoLevel", params) : "";
  return `${join} ${level}`.trim();
}

/** Why Lectern cannot be invited although it has to be; "" if it can or need not. */
function cannotInvite({ client, config }: Actor, room: RoomBoards, t: Translate): string {
  if (config.companion === "") return t("add.noCompanion");
  const level = inviteLevel(room.powers);
  const own = powerOf(room.powers, client.me);
  if (room.standing !== "absent" || own >= level) return "";
  const who = client.whoHas(room.id, level, config.companion).join(", ");
  return t("add.noInvite", { level, own, user: config.companion }) + " " + t(who === "" ? "add.askNobody" : "add.ask", { level, who });
}
