/** The whiteboard page's entry: answers the Matrix client at once, signs in, paints what the board shows and connects, then loads the editor. */
import { begin } from "../board/begin";
import { showNoHost, showStarting } from "../host/page";
import { readConfig, startHost } from "../host/widget";
import { translator } from "../ui/i18n";
import "../ui/page.css";

const config = readConfig();
const host = startHost(config);
const t = translator(host.language);
const root = document.getElementById("root")!;
(window as { EXCALIDRAW_ASSET_PATH?: string }).EXCALIDRAW_ASSET_PATH = "/assets/excalidraw/";

if ("reason" in host) showNoHost(root, host, config, t);
else {
  showStarting(root, host, t);
  const begun = begin(host, config);
  void begun.first.shown.then(() => import("../board/main")).then(({ openBoard }) => openBoard(root, host, config, begun));
}
