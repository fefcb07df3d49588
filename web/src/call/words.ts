import { speaker, type Values } from "../ui/fill";
import { de } from "./messages.de";
import { en } from "./messages.en";

export type Message = keyof typeof en;
export type Catalogue = Readonly<Record<Message, string>>;
export type Translate = (message: Message, values?: Values) => string;

export const catalogues: Readonly<Record<string, Catalogue>> & { readonly en: Catalogue } = { en, de };

/** The page's sentences in a BCP 47 language, English where there is no catalogue of it. */
export const translator = (language: string): Translate => speaker<Message>(catalogues, language);
