/** The call page: how the call stands and the way into it, who is in it, and what moderators decide about everybody. */
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { Host } from "../host/widget";
import { Dialog } from "../ui/Dialog";
import { SteadyButton } from "../ui/SteadyButton";
import type { Launcher, View } from "./launcher";
import { openCall, type Opened } from "./open";
import { listed, tell } from "./outcome";
import { Press, useKeptFocus, useNow } from "./parts";
import { May, People } from "./People";
import { standing, type Standing } from "./state";
import type { Message, Translate } from "./words";
import { EVERYBODY, SOURCES, type Act, type Call, type Member } from "./wire";

interface Props {
  readonly launcher: Launcher;
  readonly host: Pick<Host, "ask" | "onTheme">;
  readonly t: Translate;
}

type Question = { readonly kind: "end" } | { readonly kind: "kick" | "ban"; readonly member: Member };

const MINUTE = 60_000;
const READ_MS = 15_000; // what went as it should needs no more
const EXPLAINED = ["not_joined", "server_denied", "no_widget", "room_upgraded", "openid_blocked"] as const;

export function Page({ launcher, host, t }: Props) {
  const view = useSyncExternalStore(launcher.view.subscribe, launcher.view.get);
  const [question, setQuestion] = useState<Question>();
  const asked = useRef<HTMLElement | null>(null);
  useEffect(() => host.onTheme((theme) => void (document.documentElement.dataset.theme = theme)), [host]);
  // Not before the dialog is gone: until then everything else is inert.
  useEffect(() => {
    if (!question) asked.current?.focus();
  }, [question]);
  const page = useRef<HTMLElement>(null);
  useKeptFocus(page);
  const { call, closed, problem } = view;

  function ask(next: Question): void {
    asked.current = document.activeElement instanceof HTMLElement ? document.activeElement : null;
    setQuestion(next);
  }
  function answer(act: Act | undefined, key: string): void {
    setQuestion(undefined);
    if (act) void launcher.act(key, act);
  }

  if (closed) return <Closed closed={closed} onRetry={() => void launcher.run()} t={t} />;
  const known = call?.configured ? call : undefined;
  const shows = known !== undefined && !known.down;
  return (
    <main className="call" ref={page}>
      <h1 tabIndex={-1}>{known?.room_name ? t("title.in", { room: known.room_name }) : t("title")}</h1>
      <p className="lost" role="status">{problem === "" ? "" : `${t(`lost.${problem}`)}${call ? ` ${t("lost.old")}` : ""}`}</p>
      <div className="columns">
        <div className="lead">
          {call ? <Stand view={view} launcher={launcher} host={host} t={t} /> : problem === "" ? <p role="status">{t("status.starting")}</p> : null}
          {shows && known.moderator ? <Everybody call={known} view={view} launcher={launcher} onEnd={() => ask({ kind: "end" })} t={t} /> : null}
        </div>
        {shows ? <People call={known} view={view} launcher={launcher} onAsk={ask} t={t} /> : null}
      </div>
      <Told said={view.said} t={t} />
      {question ? <Sure question={question} onAnswer={answer} t={t} /> : null}
    </main>
  );
}

function Closed({ closed, onRetry, t }: { readonly closed: NonNullable<View["closed"]>; readonly onRetry: () => void; readonly t: Translate }) {
  const known = EXPLAINED.find((code) => code === closed.code);
  return (
    <main className="call">
      <h1>{t("closed.title")}</h1>
      <p role="status">{known ? t(`closed.${known}` satisfies Message) : t("closed.other", { message: closed.message })}</p>
      <Press className="primary" onClick={onRetry}>{t("retry")}</Press>
    </main>
  );
}

/** How the call stands, and the one thing to do next. */
function Stand({ view, launcher, host, t }: { readonly view: View; readonly launcher: Launcher; readonly host: Pick<Host, "ask">; readonly t: Translate }) {
  const ended = view.call?.configured === true && view.call.ended > 0;
  const now = useNow(ended ? 5_000 : 0);
  const [opening, setOpening] = useState(false);
  const [opened, setOpened] = useState<Opened>();
  const { call } = view;
  const s = call && standing(call, Math.max(0, now - view.at));
  const here = s?.kind === "going" && s.here;
  // What opening has come to is of no more use once the reader is in the call, or has left it.
  useEffect(() => setOpened(undefined), [here]);
  if (!call || !s) return null;
  const ways = s.kind === "empty" || s.kind === "going";
  const moderator = call.configured && call.moderator;
  const canOpen = call.configured && call.element_call !== "";
  const again = s.kind === "ended" && moderator;

  async function open(): Promise<void> {
    setOpening(true);
    setOpened(undefined);
    setOpened(await openCall(host));
    setOpening(false);
  }

  return (
    <section className="stand" data-kind={s.kind}>
      <div role="status">
        <p className="headline">{s.kind === "going" ? t("going.title", { count: s.count }) : t(`${s.kind}.title`)}</p>
        {details(s, moderator, t).map((text) => <p key={text}>{text}</p>)}
      </div>
      {s.kind === "off" ? <Press className="primary" onClick={() => void launcher.run()}>{t("retry")}</Press> : null}
      {(ways && canOpen) || again ? (
        // One button, so that the focus stays on it when "Start again" becomes "Start".
        <Press className={here ? "" : "primary"} busy={opening || view.busy.has("begin")} onClick={() => void (again ? launcher.act("begin", { action: "begin" }) : open())}>
          {t(again ? "again" : s.kind === "going" ? (s.here ? "open" : "join") : "start")}
        </Press>
      ) : null}
      {ways && call.configured ? <Mine call={call} t={t} /> : null}
      <div role="status" className="way">
        {ways && opening ? <p>{t("opening")}</p> : null}
        {ways && opened?.kind === "opened" ? <p>{t("opened")}</p> : null}
        {ways && opened?.kind === "refused" ? <p><bdi>{opened.message}</bdi></p> : null}
        {ways && (!canOpen || opened?.kind === "unknown") ? <Own started={s.kind === "going"} t={t} /> : null}
      </div>
    </section>
  );
}

function details(s: Standing, moderator: boolean, t: Translate): readonly string[] {
  switch (s.kind) {
    case "off":
      return [t("off.text"), t("off.admin")];
    case "down":
      return [t("down.text")];
    case "removed":
      return [t("removed.text")];
    case "ended":
      return [s.ms < MINUTE ? t("ended.soon") : t("ended.minutes", { n: Math.ceil(s.ms / MINUTE) }), ...(moderator ? [t("ended.moderator")] : [])];
    case "going":
      return s.here ? [t("going.here")] : [];
    case "empty":
      return [];
  }
}

/** What the reader may use, where that is not everything. */
function Mine({ call, t }: { readonly call: Call; readonly t: Translate }) {
  if (call.mine.length === SOURCES.length) return null;
  return <p className="quiet">{call.mine.length === 0 ? t("mine.none") : t("mine.some", { what: listed(call.mine, t) })}</p>;
}

/** The way into the call by the client's own button. */
function Own({ started, t }: { readonly started: boolean; readonly t: Translate }) {
  return (
    <div className="own">
      <h2>{t(started ? "own.join" : "own.start")}</h2>
      <p>{t("own.text")}</p>
      <ul>
        <li>{t("own.web")}</li>
        <li>{t("own.phone")}</li>
      </ul>
    </div>
  );
}

function Everybody({ call, view, launcher, onEnd, t }: { readonly call: Call; readonly view: View; readonly launcher: Launcher; readonly onEnd: () => void; readonly t: Translate }) {
  return (
    <section className="everybody" aria-labelledby="everybody-title">
      <h2 id="everybody-title">{t("everybody.title")}</h2>
      <div className="buttons"><Press busy={view.busy.has("mute all")} idle={!call.members.some((m) => m.devices.length > 0)} onClick={() => void launcher.act("mute all", { action: "mute", user_id: EVERYBODY })}>{t("everybody.mute")}</Press></div>
      <May legend={t("everybody.may")} id={EVERYBODY} sources={view.wanted[EVERYBODY] ?? call.sources} onChange={(sources) => void launcher.allow(EVERYBODY, sources)} t={t} />
      <p className="quiet">{t("everybody.note")}</p>
      {call.ended > 0 ? null : <div className="buttons"><Press className="grave" busy={view.busy.has("end")} onClick={onEnd}>{t("everybody.end")}</Press></div>}
    </section>
  );
}

/** What has come of the last decision. The place is always there, so that screen readers hear what comes into it. */
function Told({ said, t }: { readonly said: View["said"]; readonly t: Translate }) {
  const told = said && tell(said, t);
  const [read, setRead] = useState<View["said"]>();
  const good = told?.tone === "good";
  useEffect(() => {
    if (!good) return;
    const timer = setTimeout(() => setRead(said), READ_MS);
    return () => clearTimeout(timer);
  }, [said, good]);
  if (said && said === read) return <div className="told" role="status" />;
  return <div className="told" role="status" data-tone={told?.tone}>{told ? <p>{told.text}</p> : null}</div>;
}

function Sure({ question, onAnswer, t }: { readonly question: Question; readonly onAnswer: (act: Act | undefined, key: string) => void; readonly t: Translate }) {
  const { kind } = question;
  const values = question.kind === "end" ? {} : { name: question.member.name };
  const yes = () => (question.kind === "end" ? onAnswer({ action: "end" }, "end") : onAnswer({ action: question.kind, user_id: question.member.user_id }, `${question.member.user_id} ${question.kind}`));
  return (
    <Dialog
      title={t(`${kind}.title`, values)}
      onClose={() => onAnswer(undefined, "")}
      actions={
        <>
          <button type="button" onClick={() => onAnswer(undefined, "")} autoFocus>{t("cancel")}</button>
          <SteadyButton className="danger" onClick={yes}>{t(`${kind}.confirm`)}</SteadyButton>
        </>
      }
    >
      <p>{t(`${kind}.text`, values)}</p>
    </Dialog>
  );
}
