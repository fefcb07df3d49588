/** The state that the page shows besides the drawing, and what it tells people. */
import type { LinkState } from "../link/link";
import type { Saved } from "../wire/frames";
import type { Lost } from "./outstanding";
import { NOBODY, type Presenting } from "./present";
import type { Cursors, Participant } from "./presence";
import { NO_RULES, type Hindrance, type Rules } from "./rules";

export type Notice =
  | Lost
  | { readonly kind: "gathered"; readonly name: string }
  | { readonly kind: "held"; readonly name: string; readonly count: number; readonly let: () => void }
  | { readonly kind: "unsupported" | "drop" | "guarded" | "viewer.demoted" | "viewer.promoted" | "pages.unsent" | "pages.full" | "pages.failed" | "rules.failed" };

/** What the page shows besides the drawing. */
export interface View {
  readonly link: LinkState;
  /** What is shown is the board as it is. */
  readonly ready: boolean;
  /** Something is shown, perhaps without the newest changes. */
  readonly shown: boolean;
  /** The editor has drawn all that is shown. */
  readonly whole: boolean;
  readonly role: string;
  readonly encrypted: boolean | undefined;
  readonly companion: string;
  readonly saved: Saved;
  /** Gestures that the server does not have. */
  readonly unsaved: number;
  /** Some of them would be gone if this tab were, and have been for a while. */
  readonly tabOnly: boolean;
  /** Whether this device keeps unsent work. */
  readonly durable: boolean;
  readonly people: readonly Participant[];
  readonly elements: number;
  readonly presenting: Presenting;
  /** How others' cursors are shown. */
  readonly cursors: Cursors;
  /** The element that is selected, "" for none or several. */
  readonly selected: string;
  readonly notices: readonly Notice[];
  /** Spoken by screen readers when it changes. */
  readonly announcement: { readonly kind: "joined" | "left"; readonly name: string } | { readonly kind: "page"; readonly page: number } | undefined;
  readonly documentProblem: boolean;
  /** Documents of the pages, in their order. */
  readonly docs: readonly string[];
  /** The open one, 0 for the first. */
  readonly page: number;
  /** Another one is about to be open. */
  readonly turning: boolean;
  readonly rules: Rules;
  /** Why this person does not draw on the open page. */
  readonly hindrance: Hindrance;
}

/** Before anything is known. */
export const FIRST_VIEW: View = {
  link: { kind: "connecting", problem: "" },
  ready: false,
  shown: false,
  whole: false,
  role: "",
  encrypted: undefined,
  companion: "",
  saved: { seq: 0, at: 0, problem: "", since: 0 },
  unsaved: 0,
  tabOnly: false,
  durable: true,
  people: [],
  elements: 0,
  selected: "",
  presenting: NOBODY,
  cursors: "names",
  notices: [],
  announcement: undefined,
  documentProblem: false,
  page: 0,
  turning: false,
  rules: NO_RULES,
  hindrance: "viewer",
  docs: [],
};
