/** The whiteboard page: everything behind the small entry. */
import { createRoot } from "react-dom/client";
import { languages as excalidrawLanguages } from "@excalidraw/excalidraw";
import type { ElementWrite } from "../doc/messages";
import type { Port } from "../doc/page";
import type { FirstPaint } from "../first/first";
import type { Host, PageConfig } from "../host/widget";
import { openPeer } from "../link/peer";
import type { Session } from "../link/session";
import { openSocket } from "../link/socket";
import { Vault } from "../link/vault";
import { translator } from "../ui/i18n";
import "../ui/board.css";
import { App } from "./App";
import { Board } from "./board";
import type { ExcalidrawAPI } from "./Canvas";
import { exposeDiagnostics } from "./diagnostics";

/** What the entry has begun already. */
export interface Begun {
  readonly session: Session;
  readonly first: FirstPaint;
  readonly port: Port;
}

export function openBoard(root: HTMLElement, host: Host, config: PageConfig, { session, first, port }: Begun): void {
  const language = excalidrawLanguages.find((l) => l.code.toLowerCase() === host.language.toLowerCase())?.code
    ?? excalidrawLanguages.find((l) => l.code.split("-")[0] === host.language.split("-")[0])?.code ?? "en";
  document.documentElement.lang = host.language;
  const holdOff = config.test === true && new URLSearchParams(location.search).get("hold") === "0";
  const keep = { open: (lost: () => void) => Vault.open<readonly ElementWrite[]>(lost), locks: navigator.locks as LockManager | undefined };
  const board = new Board({ session, port, openSocket, keep, ...("RTCPeerConnection" in window ? { openPeer } : {}), ...(holdOff ? { holdElements: false } : {}) });
  let api: ExcalidrawAPI | null = null;
  exposeDiagnostics(board, config, () => api);
  for (const change of ["online", "offline", "visibilitychange"]) addEventListener(change, () => document.visibilityState === "visible" && board.link.hurry(), true);
  addEventListener("beforeunload", (e) => board.wouldLose && e.preventDefault());
  board.view.subscribe(() => board.link.state.kind === "closed" && first.remove());
  addEventListener("pagehide", () => void session.end());
  void first.scene.then((scene) => scene && board.preview(scene));
  board.link.connect();
  const editable = board.view.subscribe(() => {
    if (!api || !board.view.get().ready || !board.mayWrite) return;
    editable();
    performance.mark("lectern-editable");
  });
  const shown = (a: ExcalidrawAPI) => {
    api = a;
    requestAnimationFrame(() => requestAnimationFrame(() => first.remove())); // the editor has drawn what it was given
  };
  createRoot(root).render(<App board={board} host={host} t={translator(host.language)} language={language} onAPI={shown} />);
}
