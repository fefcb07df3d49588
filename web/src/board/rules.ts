/** Who may draw where (docs/protocol.md §2.5), within what the room's power levels allow. The server decides; here it is only shown. Pure. */
export interface Rules {
  /** "": everybody. */
  readonly draw: "" | "chosen" | "moderators";
  readonly chosen: readonly string[];
  readonly barred: readonly string[];
  /** Locked ones, by document. */
  readonly pages: readonly string[];
}

export const NO_RULES: Rules = { draw: "", chosen: [], barred: [], pages: [] };

/** Why somebody does not draw on a page; "": they may. */
export type Hindrance = "" | "viewer" | "moderators" | "chosen" | "barred" | "page";

export function hindrance(rules: Rules, role: string, person: string, doc: string): Hindrance {
  if (role === "moderator") return "";
  if (role !== "participant") return "viewer";
  if (rules.draw === "moderators") return "moderators";
  if (rules.barred.includes(person)) return "barred";
  if (rules.draw === "chosen" && !rules.chosen.includes(person)) return "chosen";
  return rules.pages.includes(doc) ? "page" : "";
}

/** What cannot be read hinders nobody here: the server refuses. */
export function parseRules(bytes: Uint8Array | undefined): Rules {
  if (!bytes) return NO_RULES;
  try {
    const { draw, chosen, barred, pages } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    return { draw: draw === "chosen" || draw === "moderators" ? draw : "", chosen: texts(chosen), barred: texts(barred), pages: texts(pages) };
  } catch (err) {
    console.warn("the board's rules cannot be read", err);
    return NO_RULES;
  }
}

const texts = (v: unknown): string[] => (Array.isArray(v) ? v.filter((x) => typeof x === "string") : []);
