/** The kinds of widgets that can be added, boards first. Another kind is one more line here (and its words in the catalogue); its page is at `/widgets/` + kind. */
import type { MessageKey } from "../i18n";
import type { IconName } from "../ui/parts";

interface KindWords {
  readonly label: MessageKey;
  readonly hint: MessageKey;
  readonly icon: IconName;
}

export const KINDS = {
  whiteboard: { label: "kind.whiteboard", hint: "kind.whiteboardHint", icon: "board" },
  call: { label: "kind.call", hint: "kind.callHint", icon: "call" },
} as const satisfies Readonly<Record<string, KindWords>>;

export type Kind = keyof typeof KINDS;
export const kinds = Object.keys(KINDS) as readonly Kind[];
/** The kind that an address of this Lectern shows. */
export function kindAt(url: string, lectern: string): Kind | undefined {
  const kind = url.startsWith(`${lectern}/widgets/`) ? url.slice(`${lectern}/widgets/`.length).split(/[?#]/)[0] : undefined;
  return isKind(kind) ? kind : undefined;
}
/** The kinds that a Lectern offers, as it tells its pages; all of those known here from one that does not say. */
export const offeredOf = (v: unknown): readonly Kind[] => (Array.isArray(v) ? kinds.filter((k) => v.includes(k)) : kinds);
export const isKind = (s: unknown): s is Kind => typeof s === "string" && Object.hasOwn(KINDS, s);
