import { createRoot } from "react-dom/client";
import { App } from "../classroom/app";
import "../classroom/classroom.css";
import { ConfigError, parseConfig } from "../classroom/config";
import { pickLanguage, translator } from "../classroom/i18n";
import { SettingsStore } from "../classroom/settings";
import { openMemory } from "../classroom/storage";
import { Notice } from "../classroom/ui/parts";
import { Root } from "../classroom/ui/Root";

const place = document.getElementById("root");
if (!place) throw new Error("the page lacks its root element");
const root = createRoot(place);
const memory = openMemory();
const settings = new SettingsStore(memory);

try {
  const app = new App(parseConfig(document.getElementById("lectern-config")?.textContent ?? "", window.location.origin), memory, settings);
  root.render(<Root app={app} />);
  void app.resume();
} catch (err) {
  if (!(err instanceof ConfigError)) throw err;
  const t = translator(pickLanguage(navigator.languages));
  root.render(
    <main className="centre">
      <Notice title={t("app.badConfig")}>
        <p>{t("app.badConfigHint", { reason: err.message })}</p>
      </Notice>
    </main>,
  );
}
