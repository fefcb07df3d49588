/** The call page's entry: answers the Matrix client at once, signs in and asks for the call while the page itself is still on its way. */
import { Launcher } from "../call/launcher";
import { CallSession } from "../call/session";
import { translator } from "../call/words";
import { showNoHost, showStarting } from "../host/page";
import { IdentityBlocked, readConfig, startHost, type Host } from "../host/widget";
import { Refused } from "../link/session";
import "../ui/page.css";

const config = readConfig();
const host = startHost(config);
const root = document.getElementById("root")!;
const t = translator(host.language);

if ("reason" in host) showNoHost(root, host, config, t);
else {
  showStarting(root, host, t);
  const launcher = begin(host);
  void import("../call/main").then(({ openPage }) => openPage(root, host, launcher, t));
}
document.documentElement.lang = t("language");
document.title = t("title");

function begin(host: Host): Launcher {
  const session = new CallSession({
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
  const launcher = new Launcher({ session });
  void launcher.run();
  addEventListener("online", () => launcher.hurry(true));
  addEventListener("visibilitychange", () => document.visibilityState === "visible" && launcher.hurry());
  addEventListener("pagehide", () => {
    launcher.stop();
    void session.end();
  });
  return launcher;
}
