import { createContext, useContext, useMemo, useSyncExternalStore } from "react";
import type { App } from "../app";
import { translator, type Translate } from "../i18n";
import type { Settings } from "../settings";

export const AppContext = createContext<App | null>(null);

export function useApp(): App {
  const app = useContext(AppContext);
  if (!app) throw new Error("AppContext is missing");
  return app;
}

export function useSettings(): Settings {
  const { settings } = useApp();
  return useSyncExternalStore(settings.subscribe, settings.get);
}

export function useT(): Translate {
  const { language } = useSettings();
  return useMemo(() => translator(language), [language]);
}
