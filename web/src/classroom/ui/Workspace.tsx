import { lazy, Suspense, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { LAST_ROOM } from "../app";
import { mayCall } from "../call/members";
import type { Grants } from "../grants";
import type { Classroom } from "../matrix";
import { AccountMenu } from "./AccountMenu";
import { useApp, useT } from "./context";
import { Notice } from "./parts";
import { PromptDialog } from "./PromptDialog";
import { RoomList } from "./RoomList";
import { RoomPane } from "./RoomPane";

const CallPanel = lazy(() => import("./CallPanel"));

/** The signed-in page: rooms at the start, the chosen room beside them (below 800 px: one or the other). */
export default function Workspace({ classroom, grants }: { readonly classroom: Classroom; readonly grants: Grants }) {
  const app = useApp();
  const t = useT();
  const snap = useSyncExternalStore(classroom.subscribe, classroom.get);
  const prompt = useSyncExternalStore(app.prompts.subscribe, app.prompts.current);
  const call = useSyncExternalStore(app.calls.subscribe, app.calls.get);
  const [large, setLarge] = useState(false);
  const joined = useMemo(() => snap.rooms.filter((r) => r.membership === "join"), [snap.rooms]);
  const [chosen, setChosen] = useState<string | null>(() => app.memory.get(LAST_ROOM));
  // With a single room there is nothing to choose, and it stays open when another one comes.
  const only = useRef<string | null>(null);
  if (joined.length === 1) only.current = joined[0]?.id ?? null;
  const roomId = chosen ?? only.current;
  // A room that was replaced by one we are in is of use only to whoever is looking at it.
  const listed = useMemo(() => snap.rooms.filter((r) => r.replacedBy === "" || r.id === roomId || !joined.some((j) => j.id === r.replacedBy)), [snap.rooms, joined, roomId]);
  const [showList, setShowList] = useState(roomId === null);
  const detail = roomId === null ? null : classroom.detail(roomId);

  useEffect(() => {
    document.title = detail ? `${detail.summary.name} · ${t("app.name")}` : t("app.name");
  }, [detail, t]);

  // A diagnostic hook for tests, in development only (docs/SPEC.md CL14).
  useEffect(() => {
    if (app.config.demoUsers.length === 0) return;
    const holder = window as unknown as { __classroom?: Classroom };
    holder.__classroom = classroom;
    return () => {
      delete holder.__classroom;
    };
  }, [app, classroom]);

  // What a page of this device left behind in a call, when it had no time to say goodbye.
  useEffect(() => {
    if (app.config.elementCall === "") return;
    void import("../call/sweep").then(({ sweep }) => sweep(classroom, () => app.calls.get()?.roomId ?? null));
  }, [app, classroom]);

  function openCall(id: string): void {
    if (app.config.elementCall === "") throw new Error(t("call.notHere"));
    if (!mayCall(classroom.powers(id), classroom.me)) throw new Error(t("call.noPowerTitle"));
    const before = app.calls.get();
    if (app.calls.open(id)) {
      if (!before) setLarge(false);
      return;
    }
    throw new Error(elsewhere(before?.roomId ?? ""));
  }

  const elsewhere = (id: string): string => t("call.elsewhere", { room: classroom.detail(id)?.summary.name ?? id });

  function choose(id: string): void {
    app.memory.set(LAST_ROOM, id);
    setChosen(id);
    setShowList(false);
  }

  return (
    <div className="workspace" data-show={showList || roomId === null ? "list" : "room"} data-sync={snap.sync}>
      <header className="topbar">
        <span className="wordmark">{t("app.name")}</span>
        <span className="grow" />
        <span role="status" className={`sync sync-${snap.sync}`} title={snap.sync === "reconnecting" ? t("sync.reconnectingHint") : undefined}>
          <span className="dot" aria-hidden="true" />
          <span className="sync-text">{t(`sync.${snap.sync}`)}</span>
        </span>
        <AccountMenu classroom={classroom} grants={grants} />
      </header>
      <RoomList classroom={classroom} rooms={listed} selected={roomId} onSelect={choose} />
      <main className="room" id="room">
        {snap.sync === "reconnecting" && <p className="banner">{t("sync.reconnectingHint")}</p>}
        <div className="split" data-in-room={detail !== null} data-call={call === null ? "none" : large ? "large" : "beside"}>
        {detail ? (
          <RoomPane key={detail.summary.id} classroom={classroom} grants={grants} detail={detail} onBack={() => setShowList(true)} onNavigate={choose} onCall={() => openCall(detail.summary.id)} inCall={call !== null} />
        ) : roomId === null ? (
          <Notice title={t("rooms.pick")}><p>{t("rooms.pickHint")}</p></Notice>
        ) : (
          <Notice title={t("rooms.gone")} live>
            <p>{t("rooms.goneHint")}</p>
            <button className="button" onClick={() => { app.memory.remove(LAST_ROOM); only.current = null; setChosen(null); setShowList(true); }}>{t("rooms.back")}</button>
          </Notice>
        )}
        {call && (
          <Suspense fallback={<section className="call"><Notice title={t("call.loading")} busy live /></section>}>
            <CallPanel key={call.roomId} classroom={classroom} grants={grants} call={call} shown={roomId} large={large} onLarge={setLarge} onShow={choose} />
          </Suspense>
        )}
        </div>
      </main>
      {prompt && <PromptDialog key={prompt.id} prompt={prompt} userId={classroom.session.userId} />}
    </div>
  );
}
