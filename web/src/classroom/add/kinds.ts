/** The kinds of boards that can be added. Another kind is one more line here (and its words in the catalogue); its page is at `/widgets/` + kind. */
import type { MessageKey } from "../i18n";
import type { IconName } from "../ui/parts";

interface KindWords {
  readonly label: MessageKey;
  readonly hint: MessageKey;
  readonly icon: IconName;
}

export const KINDS = {
  whiteboard: { label: "kind.whiteboard", hint: "kind.whiteboardHint", icon: "board" },
} as const satisfies Readonly<Record<string, KindWords>>;

export type Kind = keyof typeof KINDS;
export const kinds = Object.keys(KINDS) as readonly Kind[];
export const isKind = (s: unknown): s is Kind => typeof s === "string" && Object.hasOwn(KINDS, s);
