import { useEffect, useId, useRef, useState, type FormEvent } from "react";
import { SignInError } from "../account";
import { homeserverFor, type DemoUser, type Homeserver } from "../config";
import { isLanguage, languages, type Translate } from "../i18n";
import { useApp, useSettings, useT } from "./context";
import { Avatar, Spinner } from "./parts";

interface Problem {
  readonly text: string;
  readonly detail: string;
}

export function SignIn({ ended }: { readonly ended: boolean }) {
  const app = useApp();
  const t = useT();
  const { language } = useSettings();
  const ids = { hs: useId(), user: useId(), password: useId(), problem: useId() };
  const { homeservers, demoUsers } = app.config;
  const [server, setServer] = useState(homeservers[0]?.url ?? "");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const userRef = useRef<HTMLInputElement>(null);
  const passwordRef = useRef<HTMLInputElement>(null);

  useEffect(() => {
    document.title = `${t("signin.title")} · ${t("app.name")}`;
  }, [t]);

  async function attempt(homeserver: Homeserver, user: string, password: string): Promise<void> {
    setBusy(true);
    setProblem(null);
    try {
      await app.signIn(homeserver, user, password);
    } catch (err) {
      setBusy(false);
      setProblem(explain(err, homeserver, t));
      if (err instanceof SignInError && err.problem === "wrong_password") passwordRef.current?.select();
    }
  }

  function submit(ev: FormEvent): void {
    ev.preventDefault();
    const user = userRef.current?.value.trim() ?? "";
    const password = passwordRef.current?.value ?? "";
    if (user === "") {
      setProblem({ text: t("signin.userMissing"), detail: "" });
      return userRef.current?.focus();
    }
    if (password === "") {
      setProblem({ text: t("signin.passwordMissing"), detail: "" });
      return passwordRef.current?.focus();
    }
    const chosen = homeservers.find((h) => h.url === server) ?? homeserverFor(app.config, user);
    void attempt(user.startsWith("@") ? homeserverFor(app.config, user) : chosen, user, password);
  }

  return (
    <main className="signin">
      <header className="brand">
        <h1>{t("app.name")}</h1>
        <p>{t("app.tagline")}</p>
      </header>
      <div className="card">
        {ended && <p className="hint" role="status">{t("signin.ended")}</p>}
        {demoUsers.length > 0 && (
          <section aria-labelledby="demo-title">
            <h2 id="demo-title">{t("signin.demoTitle")}</h2>
            <ul className="demo">
              {demoUsers.map((u) => (
                <li key={u.user_id}>
                  <button className="button wide" disabled={busy} data-testid={`demo-${u.user_id}`} onClick={() => void attempt(homeserverFor(app.config, u.user_id), u.user_id, u.password)}>
                    <Avatar name={u.name} id={u.user_id} />
                    <span className="grow">{u.name}</span>
                    <span className="faint">{roleWord(u, t)}</span>
                  </button>
                </li>
              ))}
            </ul>
            <p className="faint small">{t("signin.demoHint")}</p>
            <p className="divider"><span>{t("signin.or")}</span></p>
          </section>
        )}
        <form onSubmit={submit} noValidate aria-label={t("signin.title")}>
          {demoUsers.length === 0 && <h2>{t("signin.title")}</h2>}
          {homeservers.length > 1 && (
            <div className="field">
              <label htmlFor={ids.hs}>{t("signin.homeserver")}</label>
              <select id={ids.hs} value={server} onChange={(ev) => setServer(ev.target.value)}>
                {homeservers.map((h) => <option key={h.url} value={h.url}>{h.name}</option>)}
              </select>
            </div>
          )}
          <div className="field">
            <label htmlFor={ids.user}>{t("signin.user")}</label>
            <span className="affix">
              <input id={ids.user} ref={userRef} name="username" autoComplete="username" autoCapitalize="none" spellCheck={false} aria-describedby={problem ? ids.problem : undefined} />
              {homeservers.length === 1 && <span className="faint suffix">:{homeservers[0]?.name}</span>}
            </span>
          </div>
          <div className="field">
            <label htmlFor={ids.password}>{t("signin.password")}</label>
            <input id={ids.password} ref={passwordRef} name="password" type="password" autoComplete="current-password" aria-describedby={problem ? ids.problem : undefined} />
          </div>
          <div role="alert" id={ids.problem}>
            {problem && (
              <div className="problem" data-testid="signin-problem">
                <p>{problem.text}</p>
                {problem.detail !== "" && <p className="small">{t("signin.detail", { detail: problem.detail })}</p>}
              </div>
            )}
          </div>
          <button className="button primary wide" type="submit" disabled={busy}>
            {busy && <Spinner />}
            {busy ? t("signin.busy") : t("signin.submit")}
          </button>
        </form>
        {!app.memory.durable && <p className="hint">{t("signin.memoryOnly")}</p>}
      </div>
      <footer className="row faint small">
        <select aria-label={t("account.language")} value={language} onChange={(ev) => isLanguage(ev.target.value) && app.settings.setLanguage(ev.target.value)}>
          {Object.entries(languages).map(([tag, name]) => <option key={tag} value={tag} lang={tag}>{name}</option>)}
        </select>
        {app.config.version !== "" && <span>{t("app.version", { version: app.config.version })}</span>}
      </footer>
    </main>
  );
}

function roleWord(user: DemoUser, t: Translate): string {
  if (user.role === "teacher") return t("role.teacher");
  if (user.role === "student") return t("role.student");
  return user.role;
}

function explain(err: unknown, homeserver: Homeserver, t: Translate): Problem {
  if (!(err instanceof SignInError)) return { text: t("signin.error.unexpected", { detail: String(err) }), detail: "" };
  const params = { server: homeserver.name, detail: err.detail, seconds: Math.max(1, Math.ceil(err.retryAfterMs / 1000)) };
  const own = err.problem === "deactivated" || err.problem === "no_password_login";
  return { text: t(`signin.error.${err.problem}`, params), detail: own ? err.detail : "" };
}
