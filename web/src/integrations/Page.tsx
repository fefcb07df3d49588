import { useCallback, useEffect, useRef, useState } from "react";
import type { NewBoard } from "../classroom/add/board";
import type { Place } from "../classroom/add/setup";
import { explain, type Sentence } from "../classroom/add/steps";
import { AddPanel, type RoomBoards } from "../classroom/ui/AddPanel";
import { useT } from "../classroom/ui/context";
import { Notice } from "../classroom/ui/parts";
import type { Host } from "./host";
import type { Lectern } from "./lectern";
import { HostRoom } from "./room";

interface Props {
  readonly host: Host;
  readonly lectern: Lectern;
  readonly place: Place;
  /** Name of the room, as the client says. */
  readonly name: string;
}

type State =
  | { readonly kind: "loading" }
  | { readonly kind: "failed"; readonly why: Sentence }
  | { readonly kind: "open"; readonly room: HostRoom; readonly boards: RoomBoards };

/** Others add and remove as well, and the client does not tell. */
const LOOK_MS = 3_000;

/** The boards of the room that is open in the client around this page. */
export function Page({ host, lectern, place, name }: Props) {
  const t = useT();
  const [state, setState] = useState<State>({ kind: "loading" });
  const [added, setAdded] = useState<NewBoard | null>(null);
  const busy = useRef(false);

  const open = useCallback(async () => {
    setState({ kind: "loading" });
    try {
      const room = await HostRoom.open(host, lectern, place);
      setState({ kind: "open", room, boards: room.boards });
    } catch (err) {
      setState({ kind: "failed", why: explain(err) });
    }
  }, [host, lectern, place]);
  useEffect(() => void open(), [open]);

  const room = state.kind === "open" ? state.room : undefined;
  const look = useCallback(async () => {
    if (!room) return;
    try {
      await room.refresh();
      if (!busy.current) setState({ kind: "open", room, boards: room.boards });
    } catch (err) {
      if (!busy.current) setState({ kind: "failed", why: explain(err) });
    }
  }, [room]);
  useEffect(() => {
    const timer = setInterval(() => !busy.current && void look(), LOOK_MS);
    return () => clearInterval(timer);
  }, [look]);

  return (
    <main className="page">
      <h1>{t("add.title", { room: name })}</h1>
      <p className="faint small">{t("im.what")}</p>
      <div role="status">{added && <p className="hint" data-testid="im-added">{t("im.added", { name: added.name })}</p>}</div>
      {state.kind === "loading" && <Notice title={t("im.loading")} busy live />}
      {state.kind === "failed" && (
        <Notice title={t("im.failed")} live>
          <p data-testid="im-why">{t(state.why.key, state.why.params)}</p>
          <button className="button primary" onClick={() => void open()}>{t("step.retry")}</button>
        </Notice>
      )}
      {state.kind === "open" && (
        <AddPanel
          actor={{ client: state.room, config: place }}
          room={state.boards}
          onClose={() => host.close()}
          onAdded={(board) => {
            void look().then(() => setAdded(board));
          }}
          onBusy={(now) => {
            busy.current = now;
            if (now) setAdded(null);
            else void look();
          }}
        />
      )}
    </main>
  );
}

/** What is shown where no client is around this page. */
export function Alone() {
  const t = useT();
  return (
    <main className="centre">
      <Notice title={t("im.aloneTitle")}><p>{t("im.alone")}</p></Notice>
    </main>
  );
}
