import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import type { Grants } from "../grants";
import type { Classroom, RoomDetail } from "../matrix";
import { AddDialog } from "./AddDialog";
import { isCallLauncher } from "../call/address";
import { mayAdd, powerSentence } from "./AddPanel";
import { reasonOf } from "../reason";
import { CallButton } from "./CallButton";
import { useApp, useT } from "./context";
import { Members } from "./Members";
import { Icon, Notice } from "./parts";
import { WidgetTile } from "./WidgetTile";

interface Props {
  readonly classroom: Classroom;
  readonly grants: Grants;
  readonly detail: RoomDetail;
  readonly onBack: () => void;
  readonly onNavigate: (roomId: string) => void;
  /** Opens this room's call. Throws with a sentence where that cannot be. */
  readonly onCall: () => void;
  /** A call is in front, beside the board: there is less place. */
  readonly inCall: boolean;
}

const PEOPLE = "people";

export function RoomPane({ classroom, grants, detail, onBack, onNavigate, onCall, inCall }: Props) {
  const app = useApp();
  const t = useT();
  const { summary, widgets, members } = detail;
  const [people, setPeople] = useState(() => app.memory.get(PEOPLE) !== "hidden" && window.innerWidth >= 1100);
  const [chosen, setChosen] = useState<string | null>(null);
  const [adding, setAdding] = useState(false);
  const may = mayAdd(classroom, detail.powers);
  // What is in front stays there, a board at first, whatever is added or renamed beside it.
  const front = useRef<string | null>(null);
  const active = widgets.find((w) => w.id === chosen) ?? widgets.find((w) => w.id === front.current) ?? widgets.find((w) => !isCallLauncher(w.url, app.config.lectern)) ?? widgets[0];
  front.current = active?.id ?? null;
  // Tiles stay once opened, so that switching tabs does not reload a board. Owned by this component, grows by at most the room's widgets.
  const opened = useRef(new Set<string>());
  if (active) opened.current.add(active.id);
  const tabs = useRef<HTMLDivElement>(null);
  // Beside a call there is no place for the list as well; whoever opens it again has it over the board.
  useEffect(() => {
    if (inCall && window.innerWidth < 1600) setPeople(false);
  }, [inCall]);
  const present = members.filter((m) => m.membership === "join").length;
  const count = present === 1 ? t("members.countOne") : t("members.count", { count: present });

  function togglePeople(): void {
    app.memory.set(PEOPLE, people ? "hidden" : "shown");
    setPeople(!people);
  }

  function tabKey(ev: KeyboardEvent): void {
    const rtl = getComputedStyle(ev.currentTarget).direction === "rtl";
    const step = ev.key === "ArrowRight" ? 1 : ev.key === "ArrowLeft" ? -1 : 0;
    if (step === 0 || !active) return;
    const at = widgets.indexOf(active);
    const next = widgets[(at + (rtl ? -step : step) + widgets.length) % widgets.length];
    if (!next) return;
    setChosen(next.id);
    tabs.current?.querySelector<HTMLElement>(`[data-tab="${CSS.escape(next.id)}"]`)?.focus();
  }

  return (
    <div className="room-pane" data-people={people ? "shown" : "hidden"}>
      <header className="room-head">
        <button className="icon-button only-narrow" aria-label={t("rooms.back")} onClick={onBack}><Icon name="back" flip /></button>
        <h1 className="ellipsis">{summary.name}</h1>
        <span className={summary.encrypted ? "chip" : "chip warn"} title={summary.encrypted ? t("rooms.encryptedHint") : t("rooms.unencryptedHint")}>
          <Icon name={summary.encrypted ? "lock" : "unlock"} />
          <span className="chip-text">{summary.encrypted ? t("rooms.encrypted") : t("rooms.unencrypted")}</span>
        </span>
        <span className="grow" />
        {app.config.elementCall !== "" && <CallButton classroom={classroom} detail={detail} onOpen={onCall} />}
        <button className={may ? "button small add-button" : "button quiet"} aria-haspopup="dialog" aria-label={may ? t("add.open") : t("add.openView")} title={may ? undefined : t("add.openView")} data-testid="add-open" onClick={() => setAdding(true)}>
          <Icon name={may ? "plus" : "board"} />{may && <span className="chip-text">{t("add.open")}</span>}
        </button>
        <button className="button quiet" aria-expanded={people} aria-controls="people" aria-label={`${people ? t("members.hide") : t("members.show")}, ${count}`} data-testid="toggle-people" onClick={togglePeople}>
          <Icon name="people" /> <span>{present}</span>
        </button>
      </header>
      {summary.replacedBy !== "" && <Replaced classroom={classroom} roomId={summary.id} next={summary.replacedBy} onNavigate={onNavigate} />}
      <div className="room-body">
        <div className="stage">
          {widgets.length > 1 && (
            <div className="tabs" role="tablist" aria-label={t("widget.tabs")} ref={tabs} onKeyDown={tabKey}>
              {widgets.map((w) => (
                <button key={w.id} role="tab" data-tab={w.id} aria-selected={w === active} tabIndex={w === active ? 0 : -1} onClick={() => setChosen(w.id)}>{w.name}</button>
              ))}
            </div>
          )}
          {widgets.length === 0 && (
            <Notice title={t("widget.none")}>
              {may ? <button className="button primary" onClick={() => setAdding(true)}><Icon name="plus" />{t("add.open")}</button> : <p data-testid="no-power">{t("widget.noneHint")} {powerSentence(classroom, { id: summary.id, powers: detail.powers }, app.config.companion, t)}</p>}
            </Notice>
          )}
          {widgets
            .filter((w) => w === active || opened.current.has(w.id))
            .map((w) => (
              <div key={w.id} className="tile" hidden={w !== active}>
                <WidgetTile classroom={classroom} grants={grants} widget={w} addedBy={members.find((m) => m.userId === w.sender)?.name ?? w.sender} onNavigate={onNavigate} onCall={onCall} />
              </div>
            ))}
        </div>
        <Members members={members} me={classroom.session.userId} count={count} hidden={!people} onClose={togglePeople} />
      </div>
      {adding && <AddDialog classroom={classroom} detail={detail} onClose={() => setAdding(false)} onAdded={(id) => { setAdding(false); setChosen(id); }} />}
    </div>
  );
}

/** The room was upgraded: says so, and leads to the new one. */
function Replaced({ classroom, roomId, next, onNavigate }: { readonly classroom: Classroom; readonly roomId: string; readonly next: string; readonly onNavigate: (roomId: string) => void }) {
  const t = useT();
  const [problem, setProblem] = useState("");
  const go = (): void => {
    setProblem("");
    classroom.follow(roomId, next).then(() => onNavigate(next), (err: unknown) => setProblem(t("rooms.replacedProblem", { reason: reasonOf(err) })));
  };
  return (
    <section className="banner replaced" data-testid="replaced" aria-label={t("rooms.replacedTitle")}>
      <p>{t("rooms.replaced")}</p>
      <button className="button small" onClick={go}>{t("rooms.replacedGo")}</button>
      <p role="status">{problem}</p>
    </section>
  );
}
