import { de } from "./messages.de";
import { en } from "./messages.en";

export type Message = keyof typeof en;
export type Catalogue = Readonly<Record<Message, string>>;
export type Translate = (message: Message, values?: Readonly<Record<string, string | number>>) => string;

const catalogues: Readonly<Record<string, Catalogue>> = { en, de };

/** The catalogue for a BCP 47 language, English where there is none. */
export function translator(language: string): Translate {
  const catalogue = catalogues[language.toLowerCase().split(/[-_]/)[0] ?? "en"] ?? en;
  return (message, values) => fill(catalogue[message], values);
}

/** Replaces {name} by its value. */
export function fill(text: string, values: Readonly<Record<string, string | number>> = {}): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

/** The languages with a catalogue of their own. */
export const languages: readonly string[] = Object.keys(catalogues);
