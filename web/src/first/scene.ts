/** A scene as the server sends it (docs/protocol.md §1.3), in the document's own form. */
import type { Props, Value } from "../doc/values";
import type { SceneAnswer } from "../link/session";

export interface SceneElementProps {
  readonly id: string;
  readonly props: Props;
}

const BYTES = new Set(["points", "pressures"]);

/** Elements in drawing order; what cannot be read is left out. */
export function readScene(answer: Pick<SceneAnswer, "elements">): SceneElementProps[] {
  return answer.elements.map(({ id, ...values }) => {
    const props: Props = {};
    for (const [key, value] of Object.entries(values)) {
      const read = BYTES.has(key) ? bytes(value) : plain(value);
      if (read !== undefined) props[key] = read;
    }
    return { id: String(id), props };
  });
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
