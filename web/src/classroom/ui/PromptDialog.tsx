import { useState, type FormEvent } from "react";
import type { Prompt } from "../prompts";
import { useT } from "./context";
import { Dialog } from "./parts";

export function PromptDialog({ prompt, userId }: { readonly prompt: Prompt; readonly userId: string }) {
  switch (prompt.kind) {
    case "capabilities":
      return <CapabilityDialog prompt={prompt} />;
    case "identity":
      return <IdentityDialog prompt={prompt} userId={userId} />;
  }
}

function CapabilityDialog({ prompt }: { readonly prompt: Extract<Prompt, { kind: "capabilities" }> }) {
  const t = useT();
  const { widget, ask } = prompt;
  const [ticked, setTicked] = useState<ReadonlySet<string>>(() => new Set(ask.map((a) => a.capability)));
  const [remember, setRemember] = useState(true);
  const { host } = new URL(widget.url);

  function toggle(capability: string): void {
    const next = new Set(ticked);
    if (!next.delete(capability)) next.add(capability);
    setTicked(next);
  }
  function submit(ev: FormEvent): void {
    ev.preventDefault();
    prompt.answer({ allowed: ticked, remember });
  }

  return (
    <Dialog title={t("prompt.capTitle", { name: widget.name })} testId="prompt-capabilities" onCancel={() => prompt.answer({ allowed: new Set(), remember: false })}>
      <form onSubmit={submit}>
        <p className="faint small break">{t("prompt.capFrom", { host })}</p>
        <ul className="ticks">
          {ask.map(({ capability, wording }) => (
            <li key={capability}>
              <label className="tick">
                <input type="checkbox" checked={ticked.has(capability)} onChange={() => toggle(capability)} />
                <span className="break">{t(wording.key, wording.params)}</span>
              </label>
            </li>
          ))}
        </ul>
        <p className="faint small">{t("prompt.capHint")}</p>
        <label className="tick remember">
          <input type="checkbox" checked={remember} onChange={() => setRemember(!remember)} />
          <span>{t("prompt.remember")}</span>
        </label>
        <div className="row end">
          <button type="button" className="button" data-testid="prompt-deny" onClick={() => prompt.answer({ allowed: new Set(), remember })}>{t("prompt.capDeny")}</button>
          <button type="submit" className="button primary" data-testid="prompt-allow">{t("prompt.capAllow")}</button>
        </div>
      </form>
    </Dialog>
  );
}

function IdentityDialog({ prompt, userId }: { readonly prompt: Extract<Prompt, { kind: "identity" }>; readonly userId: string }) {
  const t = useT();
  const { widget } = prompt;
  const [remember, setRemember] = useState(false);
  const { host } = new URL(widget.url);

  function submit(ev: FormEvent): void {
    ev.preventDefault();
    prompt.answer({ allow: true, remember });
  }

  return (
    <Dialog title={t("prompt.idTitle", { name: widget.name })} testId="prompt-identity" onCancel={() => prompt.answer({ allow: false, remember: false })}>
      <form onSubmit={submit}>
        <p className="break">{t("prompt.idText", { host, user: userId })}</p>
        <label className="tick remember">
          <input type="checkbox" checked={remember} onChange={() => setRemember(!remember)} />
          <span>{t("prompt.remember")}</span>
        </label>
        <div className="row end">
          <button type="button" className="button" data-testid="prompt-deny" onClick={() => prompt.answer({ allow: false, remember })}>{t("prompt.idDeny")}</button>
          <button type="submit" className="button primary" data-testid="prompt-allow">{t("prompt.idAllow")}</button>
        </div>
      </form>
    </Dialog>
  );
}
