import type { Props } from "./values";

/** What one gesture does to one element. */
export interface ElementWrite {
  readonly id: string;
  /** The element is new; an existing one of that id is written to all the same. */
  readonly create: boolean;
  readonly props: Props;
  /** `originalText` as the author last saw it: the edit is the difference to this, applied to whatever the text is by now. */
  readonly textBase?: string;
}

/** To the worker. Answers come in order. */
export type Request =
  | { readonly type: "init"; readonly wasm: string; readonly genesis: Uint8Array }
  /** bytes undefined: the genesis. changes: those that come on top. offer: actors whose missing changes to hand back. */
  | {
      readonly type: "load";
      readonly load: number;
      readonly bytes: Uint8Array | undefined;
      readonly actor: Uint8Array;
      readonly changes: readonly Uint8Array[];
      readonly offer: readonly string[] | undefined;
    }
  | { readonly type: "actor"; readonly actor: Uint8Array }
  | { readonly type: "apply"; readonly changes: readonly Uint8Array[] }
  | { readonly type: "commit"; readonly gesture: number; readonly writes: readonly ElementWrite[] }
  | { readonly type: "heads"; readonly ask: number };

/** Present values of the named properties; undefined: the property is gone. */
export interface ElementReport {
  readonly id: string;
  readonly props: Readonly<Record<string, Props[string] | undefined>>;
}

/** From the worker. */
export type Answer =
  | { readonly type: "ready" }
  | { readonly type: "loaded"; readonly load: number; readonly elements: Record<string, Props>; readonly offered: readonly Uint8Array[] }
  | { readonly type: "report"; readonly elements: readonly ElementReport[] }
  | { readonly type: "committed"; readonly gesture: number; readonly changes: readonly Uint8Array[]; readonly elements: readonly ElementReport[] }
  | { readonly type: "heads"; readonly ask: number; readonly heads: readonly string[]; readonly changes: number }
  /** The document can no longer be trusted: load it again. */
  | { readonly type: "broken"; readonly during: string; readonly message: string };
