import { de } from "./messages.de";
import { en } from "./messages.en";

export type Message = keyof typeof en;
export type Catalogue = Readonly<Record<Message, string>>;
export type Translate = (message: Message, values?: Readonly<Record<string, string | number>>) => string;

const catalogues: Readonly<Record<string, Catalogue>> = { en, de };

/** The catalogue for a BCP 47 language, English where there is none. */
export function translator(language: string): Translate {
  const code = language.toLowerCase().split(/[-_]/)[0] ?? "en";
  const catalogue = catalogues[code] ?? en;
  const rules = new Intl.PluralRules(catalogue === en ? "en" : code);
  return (message, values) => fill(catalogue[message], values, rules);
}

/** Replaces {name} by its value, and {name|one|other} by the form that goes with it. */
export function fill(text: string, values: Readonly<Record<string, string | number>> = {}, rules = new Intl.PluralRules("en")): string {
  return text.replace(/\{(\w+)(?:\|([^|}]*)\|([^|}]*))?\}/g, (whole, name: string, one?: string, other?: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    if (one === undefined) return String(value);
    return (rules.select(Number(value)) === "one" ? one : other) ?? whole;
  });
}

/** The languages with a catalogue of their own. */
export const languages: readonly string[] = Object.keys(catalogues);
