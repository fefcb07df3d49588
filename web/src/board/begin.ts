/** What of a board needs no editor: signing in, the first painting, the connection, the document. It runs while the editor is still on its way. */
import type { ElementWrite } from "../doc/messages";
import { spawnLater } from "../doc/spawn";
import { FirstPaint } from "../first/first";
import { IdentityBlocked, type Host, type PageConfig } from "../host/widget";
import { openPeer } from "../link/peer";
import { Refused, Session } from "../link/session";
import { openSocket } from "../link/socket";
import { Vault } from "../link/vault";
import { Board } from "./board";

export interface Begun {
  readonly board: Board;
  readonly first: FirstPaint;
}

export function begin(host: Host, config: PageConfig): Begun {
  const session = new Session({
    roomId: host.roomId,
    widgetId: host.widgetId,
    prove: (to, type, nonce) => host.prove(to, type, nonce),
    openid: async () => {
      try {
        return await host.openid();
      } catch (err) {
        throw err instanceof IdentityBlocked ? new Refused("openid_blocked", err.message, 0) : err;
      }
    },
  });
  const first = new FirstPaint(host, session);
  const port = spawnLater();
  const holdOff = config.test === true && new URLSearchParams(location.search).get("hold") === "0";
  const keep = { open: (lost: () => void) => Vault.open<readonly ElementWrite[]>(lost), locks: navigator.locks as LockManager | undefined };
  const board = new Board({ session, port, openSocket, keep, first: first.scene, ...("RTCPeerConnection" in window ? { openPeer } : {}), ...(holdOff ? { holdElements: false } : {}) });
  // The document's engine is large: it is fetched behind the scene, and not at all by who only watches.
  void first.scene.then(() => session.info && session.info.role !== "viewer" && port.start());
  for (const change of ["online", "offline", "visibilitychange"]) addEventListener(change, () => document.visibilityState === "visible" && board.link.hurry(), true);
  addEventListener("beforeunload", (e) => board.wouldLose && e.preventDefault());
  addEventListener("pagehide", () => void session.end());
  board.view.subscribe(() => board.link.state.kind === "closed" && first.remove());
  board.link.connect();
  return { board, first };
}
