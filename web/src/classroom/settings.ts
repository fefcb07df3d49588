/** Appearance and language: the person's choice, else what the device says. Applied to the document element. */
import { isLanguage, pickLanguage, type Language } from "./i18n";
import type { Memory } from "./storage";

export type ThemeChoice = "system" | "light" | "dark";
export const themeChoices: readonly ThemeChoice[] = ["system", "light", "dark"];

export interface Settings {
  readonly themeChoice: ThemeChoice;
  /** What the choice comes to now. */
  readonly theme: "light" | "dark";
  readonly language: Language;
}

export class SettingsStore {
  private value: Settings;
  private readonly listeners = new Set<() => void>();
  private readonly dark = window.matchMedia("(prefers-color-scheme: dark)");

  constructor(private readonly memory: Memory) {
    this.value = this.read();
    this.dark.addEventListener("change", () => this.refresh());
    this.apply();
  }

  readonly get = (): Settings => this.value;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  setTheme(choice: ThemeChoice): void {
    this.memory.set("theme", choice);
    this.refresh();
  }

  setLanguage(language: Language): void {
    this.memory.set("language", language);
    this.refresh();
  }

  private read(): Settings {
    const kept = this.memory.get("theme");
    const themeChoice = kept === "light" || kept === "dark" ? kept : "system";
    const language = this.memory.get("language") ?? "";
    return {
      themeChoice,
      theme: themeChoice === "system" ? (this.dark.matches ? "dark" : "light") : themeChoice,
      language: isLanguage(language) ? language : pickLanguage(navigator.languages),
    };
  }

  private refresh(): void {
    this.value = this.read();
    this.apply();
    for (const l of this.listeners) l();
  }

  private apply(): void {
    const root = document.documentElement;
    root.dataset["theme"] = this.value.theme;
    root.lang = this.value.language;
  }
}
