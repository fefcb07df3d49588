import { useId, type ReactNode, type RefObject } from "react";
import { KINDS, type Kind } from "../add/kinds";
import type { Translate } from "../i18n";
import { checkName, MAX_NAME } from "../names";
import { useT } from "./context";
import { Icon } from "./parts";

interface TextProps {
  readonly label: string;
  readonly value: string;
  readonly problem: string;
  readonly onChange: (value: string) => void;
  readonly inputRef?: RefObject<HTMLInputElement | null>;
  readonly testId: string;
}

/** A line of text with its label, and beneath it what is wrong with it. */
export function TextField({ label, value, problem, onChange, inputRef, testId }: TextProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input id={id} ref={inputRef} value={value} onChange={(ev) => onChange(ev.target.value)} autoComplete="off" aria-invalid={problem !== ""} aria-describedby={`${id}-problem`} data-testid={testId} />
      <Problem id={`${id}-problem`}>{problem}</Problem>
    </div>
  );
}

/** A place for a sentence that is read out when it appears. */
export function Problem({ id, children }: { readonly id?: string; readonly children: ReactNode }) {
  return <div role="alert" id={id}>{children !== "" && <p className="problem small" data-testid="problem">{children}</p>}</div>;
}

export function KindField({ kinds, value, onChange }: { readonly kinds: readonly Kind[]; readonly value: Kind; readonly onChange: (kind: Kind) => void }) {
  const t = useT();
  const group = useId();
  return (
    <fieldset className="kinds">
      <legend>{t("add.kind")}</legend>
      {kinds.map((kind) => (
        <label key={kind} className="kind">
          <input type="radio" name={group} checked={kind === value} onChange={() => onChange(kind)} />
          <Icon name={KINDS[kind].icon} />
          <span className="grow stack">
            <span>{t(KINDS[kind].label)}</span>
            <span className="faint small">{t(KINDS[kind].hint)}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}

/** The name as it may be written, or the sentence that says why not. */
export function nameOrProblem(raw: string, t: Translate): { readonly name: string; readonly problem: "" } | { readonly name: null; readonly problem: string } {
  const check = checkName(raw);
  if ("name" in check) return { name: check.name, problem: "" };
  return { name: null, problem: check.problem === "empty" ? t("add.nameEmpty") : t("add.nameLong", { length: check.length, max: MAX_NAME }) };
}

/** A name that none of these has: the word itself, or with a number. */
export function freeName(word: string, taken: readonly string[]): string {
  for (let n = 1; ; n++) {
    const name = n === 1 ? word : `${word} ${n}`;
    if (!taken.includes(name)) return name;
  }
}
