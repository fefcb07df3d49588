import { createContext, useContext, useMemo, useSyncExternalStore } from "react";
import type { App } from "../app";
import { translator, type Translate } from "../i18n";
import type { Settings, SettingsStore } from "../settings";

export const AppContext = createContext<App | null>(null);

export function useApp(): App {
  const app = useContext(AppContext);
  if (!app) throw new Error("AppContext is missing");
  return app;
}

/** Appearance and language, also for pages without an App. */
export const SettingsContext = createContext<SettingsStore | null>(null);

export function useSettings(): Settings {
  const settings = useContext(SettingsContext);
  if (!settings) throw new Error("SettingsContext is missing");
  return useSyncExternalStore(settings.subscribe, settings.get);
}

export function useT(): Translate {
  const { language } = useSettings();
  return useMemo(() => translator(language), [language]);
}
