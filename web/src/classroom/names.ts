/** Names that people type or that others wrote into a room. Both may hold anything. */

/** Longest name that is written, in characters. */
export const MAX_NAME = 100;

const BREAKS = /[\t\n\v\f\r\u0085\u2028\u2029]+/gu;
// Control characters, halves of characters, and what is invisible or turns the direction of what stands around it. The joiners (U+200C, U+200D) stay:
// Persian words and many emoji need them.
const HIDDEN = /[\p{Cc}\p{Cs}\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;
// No script needs more than four marks on one letter; more grow over the lines above and below.
const PILED = /(\p{M}{4})\p{M}+/gu;

const clean = (raw: string): string => raw.replace(BREAKS, " ").replace(HIDDEN, "").replace(PILED, "$1").replace(/\s+/gu, " ").trim().normalize("NFC");

export type NameCheck = { readonly name: string } | { readonly problem: "empty" | "long"; readonly length: number };

/** A name as it may be written, or why not. Too long is refused, not cut: what is left would be somebody else's choice. */
export function checkName(raw: string): NameCheck {
  const name = clean(raw);
  const { length } = [...name];
  if (!/[^\s\u200c\u200d]/u.test(name)) return { problem: "empty", length: 0 };
  return length > MAX_NAME ? { problem: "long", length } : { name };
}

/** A name of others as it is shown; "" if nothing of it can be seen. */
export function shownName(raw: string): string {
  const letters = [...clean(raw.slice(0, 20 * MAX_NAME))];
  return letters.length > MAX_NAME ? `${letters.slice(0, MAX_NAME - 1).join("")}…` : letters.join("");
}
