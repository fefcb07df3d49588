/** The whiteboard page: everything behind the small entry. */
import { createRoot } from "react-dom/client";
import { languages as excalidrawLanguages } from "@excalidraw/excalidraw";
import type { ElementWrite } from "../doc/messages";
import type { Port } from "../doc/page";
import { IdentityBlocked, type Host, type PageConfig } from "../host/widget";
import { openPeer } from "../link/peer";
import { Refused, Session } from "../link/session";
import { openSocket } from "../link/socket";
import { Vault } from "../link/vault";
import { translator } from "../ui/i18n";
import "../ui/board.css";
import { App } from "./App";
import { Board } from "./board";
import type { ExcalidrawAPI } from "./Canvas";
import { exposeDiagnostics } from "./diagnostics";

export function openBoard(root: HTMLElement, host: Host, config: PageConfig, port: Port): void {
  const language = excalidrawLanguages.find((l) => l.code.toLowerCase() === host.language.toLowerCase())?.code
    ?? excalidrawLanguages.find((l) => l.code.split("-")[0] === host.language.split("-")[0])?.code ?? "en";
  document.documentElement.lang = host.language;
  const session = new Session({
    roomId: host.roomId,
    widgetId: host.widgetId,
    openid: async () => {
      try {
        return await host.openid();
      } catch (err) {
        throw err instanceof IdentityBlocked ? new Refused("openid_blocked", err.message, 0) : err;
      }
    },
  });
  const holdOff = config.test === true && new URLSearchParams(location.search).get("hold") === "0";
  const keep = { open: (lost: () => void) => Vault.open<readonly ElementWrite[]>(lost), locks: navigator.locks as LockManager | undefined };
  const board = new Board({ session, port, openSocket, keep, ...("RTCPeerConnection" in window ? { openPeer } : {}), ...(holdOff ? { holdElements: false } : {}) });
  let api: ExcalidrawAPI | null = null;
  exposeDiagnostics(board, config, () => api);
  for (const change of ["online", "offline", "visibilitychange"]) addEventListener(change, () => document.visibilityState === "visible" && board.link.hurry(), true);
  addEventListener("beforeunload", (e) => board.wouldLose && e.preventDefault());
  addEventListener("pagehide", () => void session.end());
  board.link.connect();
  createRoot(root).render(<App board={board} host={host} t={translator(host.language)} language={language} onAPI={(a) => (api = a)} />);
}
