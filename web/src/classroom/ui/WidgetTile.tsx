import { useLayoutEffect, useRef, useState } from "react";
import { isCallLauncher } from "../call/address";
import type { Grants } from "../grants";
import { hostWidget, type HostState } from "../host";
import type { Classroom } from "../matrix";
import { IFRAME_ALLOW, IFRAME_SANDBOX, widgetUrl, type RoomWidget } from "../widgets";
import { useApp, useT } from "./context";
import { Spinner } from "./parts";

interface Props {
  readonly classroom: Classroom;
  readonly grants: Grants;
  readonly widget: RoomWidget;
  readonly addedBy: string;
  readonly onNavigate: (roomId: string) => void;
  readonly onCall: () => void;
}

/** A widget: first the question whether to load it (unless we added it or said yes before), then its iframe. */
export function WidgetTile(props: Props) {
  const { widget, grants } = props;
  const [round, setRound] = useState(0);
  const [, agreed] = useState(0);
  if (!grants.mayLoad(widget)) {
    return (
      <Consent
        {...props}
        onOpen={() => {
          grants.rememberLoad(widget);
          agreed((n) => n + 1);
        }}
      />
    );
  }
  // A change of the widget itself loads it anew; a new display name or theme of ours must not interrupt anybody's drawing.
  const key = `${round} ${widget.url} ${JSON.stringify(widget.data)}`;
  return <Frame key={key} {...props} onRetry={() => setRound(round + 1)} />;
}

function Consent({ widget, addedBy, onOpen }: Props & { readonly onOpen: () => void }) {
  const t = useT();
  const { host } = new URL(widget.url);
  return (
    <section className="consent" aria-labelledby="consent-title" data-testid="consent">
      <h2 id="consent-title">{t("widget.consentTitle", { name: widget.name })}</h2>
      <p className="faint">{t("widget.consentBy", { name: addedBy })}</p>
      <p>
        {t("widget.consentText", { host })} {t("widget.consentItems")}.
      </p>
      <p>{t("widget.consentNoMessages")}</p>
      <button className="button primary" data-testid="consent-open" onClick={onOpen}>{t("widget.consentOpen")}</button>
    </section>
  );
}

function Frame({ classroom, grants, widget, onNavigate, onCall, onRetry }: Props & { readonly onRetry: () => void }) {
  const app = useApp();
  const t = useT();
  const iframe = useRef<HTMLIFrameElement>(null);
  const [state, setState] = useState<HostState>("loading");
  // Fixed for the life of this frame: a new address would reload it.
  const [src] = useState(() =>
    widgetUrl(
      widget,
      {
        userId: classroom.session.userId,
        displayName: classroom.displayName(widget.roomId),
        avatarUrl: "",
        deviceId: classroom.session.deviceId,
        baseUrl: classroom.session.homeserver,
        theme: app.settings.get().theme,
        language: app.settings.get().language,
      },
      window.location.href,
    ),
  );
  const [first] = useState({ widget, onNavigate, onCall });

  // Before the browser can have loaded anything: the widget API must be listening when the iframe's load event comes.
  useLayoutEffect(() => {
    const element = iframe.current;
    if (!element) return;
    grants.rememberLoad(first.widget); // also for who added it: another moderator may rename it, and is its sender then
    const onOpenCall = isCallLauncher(first.widget.url, app.config.lectern) ? first.onCall : undefined;
    return hostWidget({ iframe: element, classroom, grants, widget: first.widget, onNavigate: first.onNavigate, prompts: app.prompts, settings: app.settings, onState: setState, onOpenCall });
  }, [app, classroom, grants, first]);

  const { host } = new URL(widget.url);
  return (
    <>
      <iframe
        ref={iframe}
        className="frame"
        data-widget={widget.id}
        data-state={state}
        title={t("widget.frame", { name: widget.name, host })}
        sandbox={IFRAME_SANDBOX}
        allow={IFRAME_ALLOW}
        allowFullScreen
        src={src}
      />
      <div role="status" className="frame-status">
        {state === "loading" && (
          <p className="pill"><Spinner /> {t("widget.loading", { name: widget.name })}</p>
        )}
        {(state === "slow" || state === "failed") && (
          <div className="card frame-problem">
            <h2>{t(state === "slow" ? "widget.slow" : "widget.failed", { name: widget.name })}</h2>
            <p>{t(state === "slow" ? "widget.slowHint" : "widget.failedHint", { host })}</p>
            <button className="button primary" onClick={onRetry}>{t("widget.retry")}</button>
          </div>
        )}
      </div>
    </>
  );
}
