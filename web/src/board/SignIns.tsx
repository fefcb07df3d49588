import { useEffect, useState } from "react";
import { Refused, type SignIn } from "../link/session";
import { Dialog } from "../ui/Dialog";
import type { Translate } from "../ui/i18n";
import type { Board } from "./board";

interface Props {
  readonly board: Board;
  readonly t: Translate;
  readonly language: string;
  readonly onClose: () => void;
}

/** Where this person has boards open, and ending it: at a computer in the library, say. */
export default function SignIns({ board, t, language, onClose }: Props) {
  const [list, setList] = useState<readonly SignIn[]>();
  const [said, setSaid] = useState("");
  const failed = (err: unknown) => setSaid(err instanceof Refused ? err.message : String(err));
  const load = () => board.ask.signIns().then(setList, failed);
  useEffect(() => void load(), [board]);
  const end = (id: string) => board.ask.endSignIn(id).then(() => (setSaid(t("signins.ended")), load()), failed);
  const when = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  const others = list?.filter((s) => !s.this) ?? [];
  return (
    <Dialog
      title={t("signins.title")}
      onClose={onClose}
      actions={
        <>
          <button type="button" onClick={onClose} autoFocus>{t("close")}</button>
          {others.length > 0 ? <button type="button" className="danger" onClick={() => void end("others")}>{t("signins.others")}</button> : null}
        </>
      }
    >
      <p className="quiet">{t("signins.text")}</p>
      <ul className="roles">
        {list?.map((s) => (
          <li key={s.id}>
            <span>
              <bdi>{s.board || t("signins.gone")}</bdi>, <bdi>{s.room || "–"}</bdi>
              <span className="quiet"> {t("signins.since", { at: when.format(s.since) })}</span>
            </span>
            {s.this ? <span className="quiet">{t("signins.this")}</span> : <button type="button" aria-label={t("signins.endOf", { board: s.board, at: when.format(s.since) })} onClick={() => void end(s.id)}>{t("signins.end")}</button>}
          </li>
        ))}
      </ul>
      <p role="status">{said}</p>
    </Dialog>
  );
}
