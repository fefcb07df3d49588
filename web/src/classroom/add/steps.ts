/** A few steps that are done one after the other, seen by the person, and gone on with where they stopped. */
import type { MessageKey, Params } from "../i18n";
import { reasonOf } from "../reason";

/** A sentence before it is put into a language. */
export interface Sentence {
  readonly key: MessageKey;
  readonly params?: Params;
}

/** Thrown by a step that knows what to say. */
export class StepProblem extends Error {
  constructor(readonly sentence: Sentence) {
    super(sentence.key);
  }
}

export interface Step {
  readonly id: string;
  readonly label: Sentence;
  /** Ids of steps without which this one makes no sense. */
  readonly needs?: readonly string[];
  /** Done when it resolves; with a sentence: done as far as possible. Must bear being run again after it failed. */
  readonly run: () => Promise<Sentence | undefined>;
}

export type StepState = "waiting" | "running" | "done" | "noted" | "failed";

export interface StepView {
  readonly id: string;
  readonly label: Sentence;
  readonly state: StepState;
  readonly sentence?: Sentence | undefined;
}

export interface StepsView {
  readonly running: boolean;
  readonly steps: readonly StepView[];
}

const over = (s: StepView | undefined): boolean => s?.state === "done" || s?.state === "noted";

export class Steps {
  private value: StepsView;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly steps: readonly Step[]) {
    this.value = { running: false, steps: steps.map(({ id, label }) => ({ id, label, state: "waiting" })) };
  }

  readonly get = (): StepsView => this.value;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Runs what is not done yet; a failure stops only what needs it. True if everything is done. */
  async run(): Promise<boolean> {
    if (this.value.running) return false;
    this.set({ ...this.value, running: true, steps: this.value.steps.map((s) => (s.state === "failed" ? { ...s, state: "waiting", sentence: undefined } : s)) });
    for (const step of this.steps) {
      if (over(this.view(step.id)) || !(step.needs ?? []).every((id) => over(this.view(id)))) continue;
      this.update(step.id, "running");
      try {
        const sentence = await step.run();
        this.update(step.id, sentence ? "noted" : "done", sentence);
      } catch (err) {
        this.update(step.id, "failed", explain(err));
      }
    }
    this.set({ ...this.value, running: false });
    return this.value.steps.every(over);
  }

  private view(id: string): StepView | undefined {
    return this.value.steps.find((s) => s.id === id);
  }

  private update(id: string, state: StepState, sentence?: Sentence): void {
    this.set({ ...this.value, steps: this.value.steps.map((s) => (s.id === id ? { ...s, state, sentence } : s)) });
  }

  private set(view: StepsView): void {
    this.value = view;
    for (const l of this.listeners) l();
  }
}

const DETAIL = 160; // some homeservers answer with half of their log

/** What went wrong, as a sentence: the homeserver's own words, or that it did not answer. */
export function explain(err: unknown): Sentence {
  if (err instanceof StepProblem) return err.sentence;
  return { key: isRefusal(err) ? "add.refused" : "add.unreachable", params: { detail: detailOf(err) } };
}

/** The homeserver has answered, and done nothing. Everything else may have been done all the same. */
export const isRefusal = (err: unknown): boolean => typeof err === "object" && err !== null && "httpStatus" in err && typeof err.httpStatus === "number" && err.httpStatus < 500;

/** The reason, short enough to be read. */
export function detailOf(err: unknown): string {
  const reason = reasonOf(err);
  return reason.length > DETAIL ? `${reason.slice(0, DETAIL)}…` : reason;
}
