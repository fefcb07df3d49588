import { CaptureUpdateAction, convertToExcalidrawElements, newElementWith, restoreElements, serializeAsJSON } from "@excalidraw/excalidraw";
import { Component, lazy, Suspense, useCallback, useEffect, useMemo, useState, useSyncExternalStore, type ReactNode } from "react";
import type { ElementWrite } from "../doc/messages";
import type { Look } from "../first/fit";
import type { Host, Theme } from "../host/widget";
import { Dialog } from "../ui/Dialog";
import type { Translate } from "../ui/i18n";
import { SteadyButton } from "../ui/SteadyButton";
import type { Board } from "./board";
import { Canvas, type ExcalidrawAPI } from "./Canvas";
import { decodeElement } from "./element";
import { Elsewhere } from "./Elsewhere";
import { PageStrip } from "./PageStrip";
import { drawerOn } from "./drawer";
import { closedText, closedTitle } from "./status";
import { StatusLine } from "./StatusLine";
import type { Askable } from "./People";
import type { Notice } from "./view";

const Outline = lazy(() => import("./Outline"));
const Roles = lazy(() => import("./Roles"));
const SignIns = lazy(() => import("./SignIns"));
const Setup = lazy(() => import("./Setup"));
const Versions = lazy(() => import("./Versions"));

export interface AppProps {
  readonly board: Board;
  readonly host: Host;
  readonly t: Translate;
  readonly language: string;
  readonly onAPI: (api: ExcalidrawAPI) => void;
  readonly onScroll: (look: Look) => void;
}

export function App({ board, host, t, language, onAPI, onScroll }: AppProps) {
  const view = useSyncExternalStore(board.view.subscribe, board.view.get);
  const [theme, setTheme] = useState<Theme>(host.theme);
  const [api, setAPI] = useState<ExcalidrawAPI | null>(null);
  const [asking, setAsking] = useState<{ kind: "clear" | Askable } | { kind: "link"; url: string } | null>(null);

  useEffect(() => host.onTheme(setTheme), [host]);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);

  const gotAPI = useCallback((a: ExcalidrawAPI) => {
    setAPI(a);
    onAPI(a);
  }, [onAPI]);
  const clear = useCallback(() => setAsking({ kind: "clear" }), []);
  const openLink = useCallback((url: string) => {
    if (/^(https:\/\/|mailto:)/.test(url)) setAsking({ kind: "link", url });
  }, []);

  const writable = view.ready && !view.turning && view.hindrance === "" && view.link.kind !== "closed";
  return (
    <Boundary t={t}>
      <main className="board" aria-label={t("board.title")}>
        <Canvas board={board} theme={theme} language={language} viewOnly={!writable} t={t} onAPI={gotAPI} onScroll={onScroll} onClear={clear} onLink={openLink} />
        <Notices notices={view.link.kind === "closed" ? view.notices.filter((n) => "writes" in n) : view.notices} board={board} t={t} />
        {view.link.kind === "closed" ? (
          <div className="closed" role="alert">
            <h1>{closedTitle(view.link, t)}</h1>
            {view.link.code === "board_elsewhere" ? <Elsewhere board={board} t={t} language={language} /> : <p>{closedText(view.link, t)}</p>}
            <button type="button" onClick={() => board.link.connect()}>{t("retry")}</button>
          </div>
        ) : null}
        <StatusLine view={view} t={t} pages={view.link.kind === "closed" ? null : <PageStrip view={view} board={board} writable={board.mayWrite} t={t} />} board={board} language={language} onAsk={(kind) => setAsking({ kind })} />
      </main>
      {asking?.kind === "clear" ? <ClearDialog t={t} onClose={() => setAsking(null)} onClear={() => api && clearBoard(api)} /> : null}
      {asking?.kind === "versions" ? <Suspense><Versions board={board} theme={theme} t={t} language={language} onClose={() => setAsking(null)} /></Suspense> : null}
      {asking?.kind === "outline" && api ? <Suspense><Outline drawer={drawerOn(api)} writable={writable} page={t("pages.short", { page: view.page + 1, count: Math.max(1, view.docs.length) })} t={t} onClose={() => setAsking(null)} /></Suspense> : null}
      {asking?.kind === "signins" ? <Suspense><SignIns board={board} t={t} language={language} onClose={() => setAsking(null)} /></Suspense> : null}
      {asking?.kind === "setup" ? <Suspense><Setup board={board} t={t} onClose={() => setAsking(null)} /></Suspense> : null}
      {asking?.kind === "roles" ? <Suspense><Roles board={board} host={host} t={t} onClose={() => setAsking(null)} /></Suspense> : null}
      {asking?.kind === "link" ? <LinkDialog t={t} url={asking.url} onClose={() => setAsking(null)} /> : null}
    </Boundary>
  );
}

function clearBoard(api: ExcalidrawAPI): void {
  const elements = api.getSceneElementsIncludingDeleted().map((e) => (e.isDeleted ? e : newElementWith(e, { isDeleted: true })));
  api.updateScene({ elements, captureUpdate: CaptureUpdateAction.IMMEDIATELY });
}

function ClearDialog({ t, onClose, onClear }: { readonly t: Translate; readonly onClose: () => void; readonly onClear: () => void }) {
  return (
    <Dialog
      title={t("clear.title")}
      onClose={onClose}
      actions={
        <>
          <button type="button" onClick={onClose} autoFocus>{t("cancel")}</button>
          <SteadyButton className="danger" onClick={() => { onClear(); onClose(); }}>{t("clear.confirm")}</SteadyButton>
        </>
      }
    >
      <p>{t("clear.text")}</p>
    </Dialog>
  );
}

function LinkDialog({ t, url, onClose }: { readonly t: Translate; readonly url: string; readonly onClose: () => void }) {
  const host = useMemo(() => (URL.canParse(url) ? new URL(url).host || url : url), [url]);
  return (
    <Dialog
      title={t("link.title")}
      onClose={onClose}
      actions={
        <>
          <button type="button" onClick={onClose} autoFocus>{t("cancel")}</button>
          <SteadyButton onClick={() => { window.open(url, "_blank", "noopener,noreferrer"); onClose(); }}>{t("link.open")}</SteadyButton>
        </>
      }
    >
      <p>{t("link.text", { host })}</p>
      <p className="url"><bdi>{url}</bdi></p>
    </Dialog>
  );
}

function Notices({ notices, board, t }: { readonly notices: readonly Notice[]; readonly board: Board; readonly t: Translate }) {
  if (notices.length === 0) return null;
  return (
    <div className="notices" role="alert">
      {notices.map((n, i) => (
        <div className="notice" key={i}>
          <p>
            {"writes" in n ? <b>{t(`${n.kind}.title`)} </b> : null}
            {n.kind === "refused" ? t("refused.text", { code: n.code }) : n.kind === "unsent" || n.kind === "stale" ? t(`${n.kind}.text`) : n.kind === "gathered" ? t(n.kind, { name: n.name }) : n.kind === "held" ? t(n.kind, { name: n.name, count: n.count }) : t(n.kind)}
          </p>
          <div className="notice-actions">
            {"writes" in n ? <button type="button" onClick={() => saveAsFile(n.writes)}>{t("unsent.save")}</button> : null}
            {n.kind === "held" ? <button type="button" onClick={() => { n.let(); board.dismiss(n); }}>{t("held.let", { name: n.name })}</button> : null}
            <button type="button" onClick={() => board.dismiss(n)}>{t("writes" in n ? "unsent.discard" : "close")}</button>
          </div>
        </div>
      ))}
    </div>
  );
}

/** Elements that did not reach the board, as a file that Excalidraw opens. */
function saveAsFile(writes: readonly ElementWrite[]): void {
  const whole = new Map<string, ElementWrite["props"]>();
  for (const w of writes) whole.set(w.id, { ...whole.get(w.id), ...w.props });
  const elements = [...whole].map(([id, props]) => decodeElement(id, props)).filter((e) => e !== undefined);
  const restored = restoreElements(elements.length > 0 ? (elements as never) : convertToExcalidrawElements([]), null);
  const url = URL.createObjectURL(new Blob([serializeAsJSON(restored, {}, {}, "local")], { type: "application/vnd.excalidraw+json" }));
  const a = document.createElement("a");
  a.href = url;
  a.download = "board-unsent.excalidraw";
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** The last resort when drawing itself throws. */
class Boundary extends Component<{ readonly t: Translate; readonly children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };
  static getDerivedStateFromError() {
    return { failed: true };
  }
  override componentDidCatch(err: unknown) {
    console.error("the board could not be drawn", err);
  }
  override render() {
    const { t, children } = this.props;
    if (!this.state.failed) return children;
    return (
      <div className="closed" role="alert">
        <h1>{t("crash.title")}</h1>
        <p>{t("crash.text")}</p>
        <button type="button" onClick={() => location.reload()}>{t("reload")}</button>
      </div>
    );
  }
}
