/** A scene as the server sends it (docs/protocol.md §1.3), in the document's own form. */
import type { Props, Value } from "../doc/values";
import type { SceneAnswer } from "../link/session";

export interface SceneElementProps {
  readonly id: string;
  readonly props: Props;
}

const BYTES = new Set(["points", "pressures"]);

/** Elements in drawing order; what cannot be read is left out. */
export function readScene({ elements, columns }: Pick<SceneAnswer, "elements" | "columns">): SceneElementProps[] {
  if (columns) return readColumns(columns);
  return (elements ?? []).map(({ id, ...values }) => {
    const props: Props = {};
    for (const [key, value] of Object.entries(values)) {
      const read = BYTES.has(key) ? bytes(value) : plain(value);
      if (read !== undefined) props[key] = read;
    }
    return { id: String(id), props };
  });
}

function readColumns({ id, ...columns }: NonNullable<SceneAnswer["columns"]>): SceneElementProps[] {
  const elements = (id ?? []).map((value) => ({ id: String(value), props: {} as Props }));
  for (const [key, column] of Object.entries(columns)) {
    elements.forEach(({ props }, i) => {
      const value = column[i] ?? undefined; // null: the element has none
      const read = Array.isArray(value) ? null : BYTES.has(key) ? bytesOfText(value) : plain(value);
      if (read !== undefined) props[key] = read;
    });
  }
  return elements.sort((a, b) => inOrder(a.props.index, b.props.index) || inOrder(a.id, b.id));
}

/** What has no index is on top. */
function inOrder(a: Value = "~", b: Value = "~"): number {
  return a === b || a === null || b === null ? 0 : a < b ? -1 : 1;
}

/** A byte stands as the character so many places on (docs/protocol.md §1.3). */
const BYTE_TEXT = 35;

function bytesOfText(value: unknown): Uint8Array | undefined {
  if (typeof value !== "string") return undefined;
  const out = new Uint8Array(value.length);
  for (let i = 0; i < value.length; i++) {
    const byte = value.charCodeAt(i) - BYTE_TEXT;
    if (byte < 0 || byte > 255) return undefined;
    out[i] = byte;
  }
  return out;
}

function plain(value: unknown): Value | undefined {
  return value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : undefined;
}

function bytes(value: unknown): Uint8Array | undefined {
  if (typeof value !== "string") return undefined;
  try {
    const binary = atob(value);
    const out = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) out[i] = binary.charCodeAt(i);
    return out;
  } catch {
    return undefined;
  }
}
