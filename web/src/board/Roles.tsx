import { useEffect, useState } from "react";
import type { Host } from "../host/widget";
import { Refused, ROLES, type Role, type Roles as RolesAnswer } from "../link/session";
import { Dialog } from "../ui/Dialog";
import type { Translate } from "../ui/i18n";
import type { Board } from "./board";

interface Props {
  readonly board: Board;
  readonly host: Pick<Host, "setPowerLevels">;
  readonly t: Translate;
  readonly onClose: () => void;
}

const HEARD_MS = 400; // what was changed comes back by the homeserver

/** Who may do what in this room, in words; whoever may changes it here. */
export default function Roles({ board, host, t, onClose }: Props) {
  const [roles, setRoles] = useState<RolesAnswer>();
  const [busy, setBusy] = useState("");
  const [said, setSaid] = useState("");
  const load = () => board.ask.roles().then(setRoles, failed);
  const failed = (err: unknown) => setSaid(t("roles.failed", { message: err instanceof Refused ? err.message : t("roles.notLet") }));
  useEffect(() => void load(), [board]);

  async function change(user_id: string, name: string, role: Role): Promise<void> {
    setBusy(user_id);
    setSaid("");
    try {
      const content = await board.ask.setRole(user_id, role);
      if (content) {
        setSaid(t("roles.asking"));
        await host.setPowerLevels(content);
      }
      await new Promise((resolve) => setTimeout(resolve, HEARD_MS));
      await load();
      setSaid(t("roles.changed", { name, role: t(`roles.${role}`) }));
    } catch (err) {
      failed(err);
    }
    setBusy("");
  }

  return (
    <Dialog title={t("roles.title")} onClose={onClose} actions={<button type="button" onClick={onClose} autoFocus>{t("close")}</button>}>
      <p className="quiet">{t("roles.text")}</p>
      {roles ? <p className="quiet">{t("roles.levels", { draw: roles.draw, moderate: roles.moderate })}</p> : null}
      <ul className="roles">
        {roles?.people.map((p) => (
          <li key={p.user_id}>
            <span>
              <bdi>{p.name || p.user_id}</bdi>
              {p.external ? <span className="quiet"> {t("people.external", { server: p.external })}</span> : null}
            </span>
            {p.may_change ? (
              <select aria-label={t("roles.of", { name: p.name || p.user_id })} value={p.role} disabled={busy !== ""} onChange={(e) => void change(p.user_id, p.name || p.user_id, e.target.value as Role)}>
                {ROLES.map((r) => <option key={r} value={r}>{t(`roles.${r}`)}</option>)}
              </select>
            ) : (
              <span className="quiet">{t(`roles.${p.role}`)}</span>
            )}
          </li>
        ))}
      </ul>
      {roles?.more ? <p className="quiet">{t("roles.more")}</p> : null}
      <p role="status">{said}</p>
    </Dialog>
  );
}
