import { speaker, type Values } from "./fill";
import { de } from "./messages.de";
import { en } from "./messages.en";

export { fill } from "./fill";
export type Message = keyof typeof en;
export type Catalogue = Readonly<Record<Message, string>>;
export type Translate = (message: Message, values?: Values) => string;

const catalogues: Readonly<Record<string, Catalogue>> & { readonly en: Catalogue } = { en, de };

/** The catalogue for a BCP 47 language, English where there is none. */
export const translator = (language: string): Translate => speaker<Message>(catalogues, language);

/** The languages with a catalogue of their own. */
export const languages: readonly string[] = Object.keys(catalogues);
