/** Matrix IDs from a text field: one per line, or with spaces, commas or semicolons between them; links of matrix.to count as well. */

/** More people than this are not invited in one go. */
export const MAX_PEOPLE = 50;

const MAX_BYTES = 255; // of a user id, by the Matrix specification
// Historical names may hold every visible ASCII character but the colon. Servers: host name, IPv4 or [IPv6], and a port.
const USER_ID = /^@[\x21-\x39\x3b-\x7e]+:(?:[0-9A-Za-z](?:[0-9A-Za-z.-]*[0-9A-Za-z])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/;
const LINK = /^https:\/\/matrix\.to\/#\/([^?/]+)(?:\?.*)?$/;

export const isUserId = (s: string): boolean => s.length <= MAX_BYTES && USER_ID.test(s);

export interface PeopleCheck {
  /** Each once, in the order of the text. */
  readonly ids: readonly string[];
  /** What is no Matrix ID, as it was written. */
  readonly wrong: readonly string[];
}

/** Reads the field. `without` are people who come anyway. */
export function checkPeople(text: string, without: readonly string[]): PeopleCheck {
  const ids = new Set<string>();
  const wrong: string[] = [];
  for (const word of text.split(/[\s,;]+/u)) {
    if (word === "") continue;
    const id = fromLink(word);
    if (!isUserId(id)) wrong.push(word);
    else if (!without.includes(id)) ids.add(id);
  }
  return { ids: [...ids], wrong };
}

function fromLink(word: string): string {
  const id = LINK.exec(word)?.[1];
  if (id === undefined) return word;
  try {
    return decodeURIComponent(id);
  } catch {
    return word;
  }
}
