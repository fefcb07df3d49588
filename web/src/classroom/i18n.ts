/** The message catalogue. A key that a language lacks does not compile. */
import { de } from "./messages/de";
import { en } from "./messages/en";

export type MessageKey = keyof typeof en;
export type Catalogue = Readonly<Record<MessageKey, string>>;
export type Params = Readonly<Record<string, string | number>>;
export type Translate = (key: MessageKey, params?: Params) => string;

export const languages = { en: "English", de: "Deutsch" } as const;
export type Language = keyof typeof languages;

export const catalogues: Readonly<Record<Language, Catalogue>> = { en, de };

export const isLanguage = (s: string): s is Language => Object.hasOwn(languages, s);

/** The first language of the person that we speak, else English. */
export function pickLanguage(preferred: readonly string[]): Language {
  for (const tag of preferred) {
    const base = tag.toLowerCase().split("-")[0] ?? "";
    if (isLanguage(base)) return base;
  }
  return "en";
}

/** Fills `{name}` in; a missing parameter stays visible, so that it is noticed. */
export function fill(message: string, params: Params = {}): string {
  return message.replace(/\{(\w+)\}/g, (whole, name: string) => (Object.hasOwn(params, name) ? String(params[name]) : whole));
}

export function translator(language: Language): Translate {
  const messages = catalogues[language];
  return (key, params) => fill(messages[key], params);
}
