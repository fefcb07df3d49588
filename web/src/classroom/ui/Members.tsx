import type { MemberView } from "../matrix";
import { useApp, useT } from "./context";
import { Avatar, Icon } from "./parts";

export function Members({ members, me, count, hidden, onClose }: { readonly members: readonly MemberView[]; readonly me: string; readonly count: string; readonly hidden: boolean; readonly onClose: () => void }) {
  const app = useApp();
  const t = useT();
  return (
    <aside className="people" id="people" aria-label={t("members.title")} hidden={hidden}>
      <header>
        <h2>{t("members.title")}</h2>
        <span className="faint small grow">{count}</span>
        <button className="icon-button" aria-label={t("members.hide")} onClick={onClose}><span aria-hidden="true">✕</span></button>
      </header>
      <ul>
        {members.map((m) => (
          <li key={m.userId} className="person" data-testid={`person-${m.userId}`}>
            <Avatar name={m.name} id={m.userId} />
            <span className="grow stack">
              <span className="ellipsis" title={m.userId}>{m.name}</span>
              {m.userId === me && <span className="faint small">{t("members.you")}</span>}
              {m.external !== "" && (
                <span className="external small" title={t("members.externalHint", { server: m.external })}>
                  <Icon name="globe" /> <span className="ellipsis">{t("members.external", { server: m.external })}</span>
                </span>
              )}
            </span>
            {m.userId === app.config.companion ? (
              <span className="role" title={t("members.companionHint")}>{t("members.companion")}</span>
            ) : m.membership === "invite" ? (
              <span className="role faint">{t("members.invited")}</span>
            ) : (
              <span className={`role role-${m.role}`} title={t(`role.${m.role}Hint`)}>{t(`role.${m.role}`)}</span>
            )}
          </li>
        ))}
      </ul>
    </aside>
  );
}
