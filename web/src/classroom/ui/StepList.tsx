import { useSyncExternalStore } from "react";
import type { Steps, StepState } from "../add/steps";
import { useT } from "./context";
import { Icon, Spinner } from "./parts";

/** Steps with what has become of each. Changes are read out. */
export function StepList({ steps }: { readonly steps: Steps }) {
  const t = useT();
  const view = useSyncExternalStore(steps.subscribe, steps.get);
  return (
    <div role="status">
      <ol className="steps">
        {view.steps.map((s) => (
          <li key={s.id} className={`step step-${s.state}`} data-step={s.id} data-state={s.state}>
            <Sign state={s.state} />
            <span className="grow stack">
              <span className="break">{t(s.label.key, s.label.params)}<span className="hidden">: {t(`step.is.${s.state}`)}</span></span>
              {s.sentence && <span className="small break step-sentence">{t(s.sentence.key, s.sentence.params)}</span>}
            </span>
          </li>
        ))}
      </ol>
    </div>
  );
}

function Sign({ state }: { readonly state: StepState }) {
  switch (state) {
    case "running":
      return <Spinner />;
    case "done":
      return <Icon name="tick" />;
    case "noted":
    case "failed":
      return <Icon name="warn" />;
    case "waiting":
      return <span className="step-dot" aria-hidden="true" />;
  }
}
