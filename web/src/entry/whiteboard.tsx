/** The whiteboard page's entry: answers the Matrix client at once, signs in and paints what the board shows, then loads the editor. */
import { spawnLater } from "../doc/spawn";
import { FirstPaint } from "../first/first";
import { showNoHost, showStarting } from "../host/page";
import { IdentityBlocked, readConfig, startHost, type Host } from "../host/widget";
import { Refused, Session } from "../link/session";

const config = readConfig();
const host = startHost(config);
const root = document.getElementById("root")!;
(window as { EXCALIDRAW_ASSET_PATH?: string }).EXCALIDRAW_ASSET_PATH = "/assets/excalidraw/";

if ("reason" in host) showNoHost(root, host, config);
else {
  showStarting(root, host);
  const session = sessionOf(host);
  const first = new FirstPaint(host, session);
  const port = spawnLater();
  // The document's engine is large: it is fetched behind the scene, and not at all by who only watches.
  void first.scene.then(() => session.info && session.info.role !== "viewer" && port.start());
  void first.shown.then(() => import("../board/main")).then(({ openBoard }) => openBoard(root, host, config, { session, first, port }));
}

function sessionOf(host: Host): Session {
  return new Session({
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
}
