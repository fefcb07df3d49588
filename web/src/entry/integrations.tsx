/** The integration manager's entry: adding boards from inside a Matrix client (SPEC IM). */
import { createRoot } from "react-dom/client";
import "../classroom/classroom.css";
import { offeredOf } from "../classroom/add/kinds";
import { iconsOf } from "../classroom/config";
import { shownName } from "../classroom/names";
import { SettingsStore } from "../classroom/settings";
import { mapMemory } from "../classroom/storage";
import { SettingsContext } from "../classroom/ui/context";
import { Host } from "../integrations/host";
import { Lectern } from "../integrations/lectern";
import { Alone, Page } from "../integrations/Page";

const place = document.getElementById("root")!;
const config = JSON.parse(document.getElementById("lectern-config")!.textContent) as { clientOrigins: string[]; companion: string; icons?: unknown; kinds?: unknown };
const query = new URLSearchParams(location.search);
// The client puts its token into the address: it must not stay where history and screenshots show it.
history.replaceState(null, "", location.pathname);
const memory = mapMemory();
const theme = query.get("theme");
if (theme === "light" || theme === "dark") memory.set("theme", theme);
const room = query.get("room_id") ?? "";
const token = query.get("scalar_token") ?? "";

createRoot(place).render(
  <SettingsContext value={new SettingsStore(memory)}>
    {window.parent === window || room === "" || token === "" ? (
      <Alone />
    ) : (
      <Page host={new Host(config.clientOrigins, room, window.parent, window)} lectern={new Lectern(token)} place={{ lectern: location.origin, companion: config.companion, icons: iconsOf(config.icons), kinds: offeredOf(config.kinds) }} name={shownName(query.get("room_name") ?? "") || room} />
    )}
  </SettingsContext>,
);
