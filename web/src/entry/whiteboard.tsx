/** The whiteboard page's entry: answers the Matrix client at once, starts the document's worker, then loads the board. */
import { spawnWorker } from "../doc/spawn";
import { showNoHost, showStarting } from "../host/page";
import { readConfig, startHost } from "../host/widget";

const config = readConfig();
const host = startHost(config);
const root = document.getElementById("root")!;
(window as { EXCALIDRAW_ASSET_PATH?: string }).EXCALIDRAW_ASSET_PATH = "/assets/excalidraw/";

if ("reason" in host) showNoHost(root, host, config);
else {
  showStarting(root, host);
  const port = spawnWorker();
  void import("../board/main").then(({ openBoard }) => openBoard(root, host, config, port));
}
