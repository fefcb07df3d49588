import { lazy, Suspense, useSyncExternalStore } from "react";
import type { App } from "../app";
import { AppContext, SettingsContext, useApp, useT } from "./context";
import { Notice } from "./parts";
import { SignIn } from "./SignIn";

const Workspace = lazy(() => import("./Workspace"));

export function Root({ app }: { readonly app: App }) {
  return (
    <AppContext value={app}>
      <SettingsContext value={app.settings}>
        <Page />
      </SettingsContext>
    </AppContext>
  );
}

function Page() {
  const app = useApp();
  const t = useT();
  const state = useSyncExternalStore(app.subscribe, app.get);
  switch (state.kind) {
    case "signedOut":
      return <SignIn ended={state.ended} />;
    case "starting": {
      const text = state.stage === "crypto" ? t("app.loadingCrypto") : state.stage === "rooms" ? t("app.loadingRooms") : t("app.loading");
      return <Centre><Notice title={text} busy live /></Centre>;
    }
    case "busy":
      return (
        <Centre>
          <Notice title={state.takenOver ? t("failed.takenOver") : t("failed.busy")} live>
            <p>{t("failed.busyHint")}</p>
            <button className="button primary" data-testid="take-over" onClick={() => void app.resume(true)}>{t("failed.takeOver")}</button>
          </Notice>
        </Centre>
      );
    case "failed": {
      const server = new URL(state.session.homeserver).host;
      return (
        <Centre>
          <Notice title={t("failed.title")} live>
            <p>{state.stage === "crypto" ? t("failed.crypto") : t("failed.homeserver", { server })}</p>
            <p className="faint">{t("failed.detail", { detail: state.detail })}</p>
            <div className="row">
              <button className="button primary" onClick={() => void app.resume(true)}>{t("failed.retry")}</button>
              <button className="button" onClick={() => void app.signOut()}>{t("account.signOut")}</button>
            </div>
          </Notice>
        </Centre>
      );
    }
    case "open":
      return (
        <Suspense fallback={<Centre><Notice title={t("app.loading")} busy live /></Centre>}>
          <Workspace classroom={state.classroom} grants={state.grants} />
        </Suspense>
      );
  }
}

function Centre({ children }: { readonly children: React.ReactNode }) {
  return <main className="centre">{children}</main>;
}
