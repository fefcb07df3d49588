import { useState } from "react";
import type { Classroom, RoomSummary } from "../matrix";
import { reasonOf } from "../reason";
import { useT } from "./context";
import { NewClassroomDialog } from "./NewClassroomDialog";
import { Avatar, Icon, Spinner } from "./parts";

interface Props {
  readonly classroom: Classroom;
  readonly rooms: readonly RoomSummary[];
  readonly selected: string | null;
  readonly onSelect: (roomId: string) => void;
}

export function RoomList({ classroom, rooms, selected, onSelect }: Props) {
  const t = useT();
  const [creating, setCreating] = useState(false);
  const joined = rooms.filter((r) => r.membership === "join");
  const invited = rooms.filter((r) => r.membership === "invite");
  return (
    <nav className="rooms" aria-label={t("rooms.title")}>
      {invited.length > 0 && (
        <section aria-labelledby="invited-title">
          <h2 id="invited-title">{t("rooms.invited")}</h2>
          <ul>
            {invited.map((r) => <Invitation key={r.id} classroom={classroom} room={r} onJoined={onSelect} />)}
          </ul>
        </section>
      )}
      <h2>{t("rooms.title")}</h2>
      {joined.length === 0 ? (
        <div className="empty">
          <p>{t("rooms.none")}</p>
          <p className="faint small">{t("rooms.noneHint")}</p>
        </div>
      ) : (
        <ul>
          {joined.map((r) => (
            <li key={r.id}>
              <button className="room-item" aria-current={r.id === selected ? "page" : undefined} data-testid={`room-${r.id}`} onClick={() => onSelect(r.id)}>
                <Avatar name={r.name} id={r.id} square />
                <span className="grow ellipsis">{r.name}</span>
                {r.hasWidgets && <Icon name="board" />}
              </button>
            </li>
          ))}
        </ul>
      )}
      <button className="button wide" aria-haspopup="dialog" data-testid="create-new" onClick={() => setCreating(true)}><Icon name="plus" />{t("create.new")}</button>
      {creating && <NewClassroomDialog classroom={classroom} onClose={() => setCreating(false)} onOpen={(id) => { setCreating(false); onSelect(id); }} />}
    </nav>
  );
}

function Invitation({ classroom, room, onJoined }: { readonly classroom: Classroom; readonly room: RoomSummary; readonly onJoined: (roomId: string) => void }) {
  const t = useT();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");

  async function answer(action: () => Promise<void>, after: () => void): Promise<void> {
    setBusy(true);
    setProblem("");
    try {
      await action();
      after();
    } catch (err) {
      setBusy(false);
      setProblem(reasonOf(err));
    }
  }

  return (
    <li className="invitation">
      <div className="room-item">
        <Avatar name={room.name} id={room.id} square />
        <span className="grow stack">
          <span className="ellipsis">{room.name}</span>
          <span className="faint small">{room.inviter === "" ? t("rooms.invitedBySomebody") : t("rooms.invitedBy", { name: room.inviter })}</span>
        </span>
      </div>
      <div className="row">
        <button className="button primary small" disabled={busy} aria-label={t("rooms.joinRoom", { room: room.name })} data-testid={`join-${room.id}`} onClick={() => void answer(() => classroom.join(room.id), () => onJoined(room.id))}>
          {busy && <Spinner />}
          {busy ? t("rooms.joining") : t("rooms.join")}
        </button>
        <button className="button small" disabled={busy} aria-label={t("rooms.declineRoom", { room: room.name })} onClick={() => void answer(() => classroom.leave(room.id), () => {})}>
          {t("rooms.decline")}
        </button>
      </div>
      <div role="alert">{problem !== "" && <p className="problem small">{t("rooms.joinFailed", { detail: problem })}</p>}</div>
    </li>
  );
}
