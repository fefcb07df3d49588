import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { RoomEvent, type Room } from "matrix-js-sdk";
import { CALL_ALLOW, CALL_WIDGET, callUrl, callWidget } from "../call/address";
import { hearActs } from "../call/acts";
import type { CallState, Over } from "../call/calls";
import { fitOf } from "../call/fit";
import { hostCall } from "../call/host";
import { openedTo } from "../call/members";
import type { Grants } from "../grants";
import type { HostState } from "../host";
import type { Classroom } from "../matrix";
import { reasonOf } from "../reason";
import { IFRAME_SANDBOX } from "../widgets";
import { useApp, useT } from "./context";
import { Icon, Spinner } from "./parts";

interface Props {
  readonly classroom: Classroom;
  readonly grants: Grants;
  readonly call: CallState;
  /** The room that is being looked at, which may be another one. */
  readonly shown: string | null;
  readonly large: boolean;
  readonly onLarge: (large: boolean) => void;
  readonly onShow: (roomId: string) => void;
}

/** The room's call, above or beside what is being worked on. */
export default function CallPanel(props: Props) {
  const { classroom, call, shown, large, onLarge, onShow } = props;
  const app = useApp();
  const t = useT();
  const [round, setRound] = useState(0);
  const detail = classroom.detail(call.roomId);
  const [name] = useState(detail?.summary.name ?? "");
  const leaving = call.phase === "leaving";
  useEffect(() => {
    const { client } = classroom;
    const { calls, config } = app;
    const out = (room: Room, membership: string): void => {
      if (room.roomId === call.roomId && membership !== "join") void calls.over({ kind: "out", by: "", message: "" });
    };
    client.on(RoomEvent.MyMembership, out);
    const deaf = hearActs(client, call.roomId, config.companion, ({ kind, by, again }) => (again ? calls.again(kind) : void calls.over({ kind, by, message: "" })));
    return () => {
      client.off(RoomEvent.MyMembership, out);
      deaf();
    };
  }, [app, classroom, call.roomId]);
  const title = shown === call.roomId ? t("call.title") : t("call.titleIn", { room: name });
  return (
    <section className="call" aria-label={title} data-testid="call" data-phase={call.phase}>
      <header className="call-head">
        <h2 className="ellipsis grow">{title}</h2>
        {shown !== call.roomId && detail && <button className="button quiet small" onClick={() => onShow(call.roomId)}>{t("call.back", { room: name })}</button>}
        <button className="icon-button" aria-pressed={large} aria-label={t("call.larger")} title={t(large ? "call.smaller" : "call.larger")} data-testid="call-large" onClick={() => onLarge(!large)}>
          <Icon name={large ? "smaller" : "larger"} />
        </button>
        <button className="button small danger" aria-label={t("call.leave")} data-testid="call-close" disabled={leaving} onClick={() => void app.calls.leave()}>
          <span aria-hidden="true">✕</span> <span>{t("call.leaveShort")}</span>
        </button>
      </header>
      <Others {...props} />
      <div className="call-body">
        {call.phase !== "over" && <Frame key={round} {...props} onRetry={() => setRound(round + 1)} />}
        {call.why && <OverNotice classroom={classroom} call={call} why={call.why} />}
        {leaving && !call.why && <div role="status" className="frame-status call-leaving"><p className="pill"><Spinner /> {t("call.leaving")}</p></div>}
      </div>
    </section>
  );
}

/** Why the person is out of the call. Element Call would try again and again, or show an error that says nothing. */
function OverNotice({ classroom, call, why }: Pick<Props, "classroom" | "call"> & { readonly why: Over }) {
  const { calls } = useApp();
  const t = useT();
  const heading = useRef<HTMLHeadingElement>(null);
  const waits = call.phase !== "over";
  const who = why.by === classroom.me ? t("call.over.you") : (classroom.detail(call.roomId)?.members.find((m) => m.userId === why.by)?.name ?? t("call.over.moderator"));
  // The frame that had the keyboard is going.
  useEffect(() => heading.current?.focus(), [waits]);
  const anew = (): void => {
    calls.drop();
    calls.open(call.roomId);
  };
  const text = why.again ? t("call.over.againText") : why.kind === "refused" ? why.message : t(`call.over.${why.kind}Text`, { who });
  return (
    <div className="call-over" data-testid="call-over" data-kind={why.kind}>
      <div role="status">
        <h3 ref={heading} tabIndex={-1}>{t(why.again ? "call.over.again" : `call.over.${why.kind}`)}</h3>
        <p>{text}</p>
      </div>
      <div className="row">
        {why.kind !== "out" && <button className={why.again ? "button primary" : "button"} disabled={waits} onClick={anew}>{t(why.again ? "call.over.join" : "call.over.retry")}</button>}
        <button className="button" disabled={waits} onClick={() => void calls.leave()}>{t("call.close")}</button>
      </div>
    </div>
  );
}

function Frame({ classroom, grants, call, onRetry }: Props & { readonly onRetry: () => void }) {
  const app = useApp();
  const t = useT();
  const iframe = useRef<HTMLIFrameElement>(null);
  const [state, setState] = useState<HostState>("loading");
  // Fixed for the life of this frame: a new address would reload it.
  const [widget] = useState(() => {
    const id = `${CALL_WIDGET}${crypto.randomUUID()}`;
    const { session } = classroom;
    const detail = classroom.detail(call.roomId);
    const { theme, language } = app.settings.get();
    const url = callUrl({
      elementCall: app.config.elementCall,
      widgetId: id,
      page: window.location.href,
      roomId: call.roomId,
      userId: session.userId,
      deviceId: session.deviceId,
      homeserver: session.homeserver,
      encrypted: detail?.summary.encrypted ?? true,
      running: (detail?.call.length ?? 0) > 0,
      language,
      theme,
    });
    return callWidget(id, call.roomId, session.userId, t("call.title"), url);
  });

  // Before the browser can have loaded anything: its first request may come as soon as it has.
  useLayoutEffect(() => {
    const element = iframe.current;
    if (!element) return;
    const { calls, config, settings, prompts } = app;
    const hosted = hostCall({
      iframe: element,
      classroom,
      grants,
      widget,
      prompts,
      settings,
      rtcTransport: config.rtcTransport,
      onState: setState,
      onJoined: (joined) => calls.phase(joined ? "joined" : "open"),
      onRefused: (why) => void calls.over(why),
      onClose: () => void calls.leave(),
    });
    calls.attach(() => hosted.hangUp());
    return () => hosted.stop();
  }, [app, classroom, grants, widget]);

  // Its place has another size on every screen; see fit.ts.
  useLayoutEffect(() => {
    const element = iframe.current;
    const place = element?.parentElement;
    if (!element || !place) return;
    const observer = new ResizeObserver(() => {
      const { scale, width, height } = fitOf(place.clientWidth, place.clientHeight);
      Object.assign(element.style, scale === 1 ? { width: "", height: "", transform: "" } : { width: `${width}px`, height: `${height}px`, transform: `scale(${scale})` });
    });
    observer.observe(place);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    if (state === "ready") iframe.current?.focus();
  }, [state]);

  const { host } = new URL(widget.url);
  const name = t("call.theCall");
  return (
    <>
      <iframe ref={iframe} className="frame" data-call={widget.id} data-state={state} title={t("call.frame", { host })} sandbox={IFRAME_SANDBOX} allow={CALL_ALLOW} allowFullScreen src={widget.url} />
      <div role="status" className="frame-status">
        {state === "loading" && <p className="pill"><Spinner /> {t("call.loading")}</p>}
        {(state === "slow" || state === "failed") && (
          <div className="card frame-problem">
            <h2>{t(state === "slow" ? "widget.slow" : "widget.failed", { name })}</h2>
            <p>{t(state === "slow" ? "widget.slowHint" : "widget.failedHint", { host })}</p>
            <button className="button primary" onClick={onRetry}>{t("widget.retry")}</button>
          </div>
        )}
      </div>
    </>
  );
}

/** Rooms that were not made for calls keep everybody but moderators out: says so to whoever can change it. */
function Others({ classroom, call }: Props) {
  const t = useT();
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const detail = classroom.detail(call.roomId);
  if (!detail || !openedTo(detail.powers, classroom.me)) return null;

  async function letEveryone(): Promise<void> {
    setBusy(true);
    setProblem("");
    try {
      // As the homeserver has it now: what others changed meanwhile stays.
      const now = (await classroom.server.state(call.roomId, "m.room.power_levels")) ?? undefined;
      const content = openedTo({ ...classroom.powers(call.roomId), powerLevels: now }, classroom.me);
      if (content) await classroom.server.put(call.roomId, "m.room.power_levels", "", content);
    } catch (err) {
      setProblem(t("call.letEveryoneProblem", { reason: reasonOf(err) }));
    }
    setBusy(false);
  }
  return (
    <div className="call-others" data-testid="call-others">
      <p>{t("call.othersCannot")}</p>
      <button className="button small" disabled={busy} onClick={() => void letEveryone()}>{t("call.letEveryone")}</button>
      <p role="status">{problem}</p>
    </div>
  );
}
