import { useEffect, useState } from "react";
import { Refused, type Home } from "../link/session";
import { Dialog } from "../ui/Dialog";
import type { Translate } from "../ui/i18n";
import { SteadyButton } from "../ui/SteadyButton";
import type { Board } from "./board";

interface Props {
  readonly board: Board;
  readonly t: Translate;
  readonly language: string;
}

/** Names the Lectern that keeps the board. Moderators may take it over, after they have read what that means; the server asks for the role again. */
export function Elsewhere({ board, t, language }: Props) {
  const [home, setHome] = useState<Home>();
  const [asking, setAsking] = useState(false);
  useEffect(() => {
    let current = true;
    board.ask.home().then((h) => current && setHome(h), () => undefined); // not to be had now: the sentence says what is known
    return () => {
      current = false;
    };
  }, [board]);
  if (!home || home.ours) return <p>{t("closed.board_elsewhere")}</p>;
  const names = { home: home.home, since: home.since === 0 ? "–" : new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short" }).format(home.since) };
  return (
    <>
      <p>{t("elsewhere.home", names)}</p>
      {home.may_take_over ? (
        <>
          <p>{t("elsewhere.gone")}</p>
          <button type="button" onClick={() => setAsking(true)}>{t("elsewhere.take")}</button>
        </>
      ) : null}
      {asking ? <TakeOver board={board} t={t} names={names} onClose={() => setAsking(false)} /> : null}
    </>
  );
}

function TakeOver({ board, t, names, onClose }: Pick<Props, "board" | "t"> & { readonly names: Readonly<Record<string, string>>; readonly onClose: () => void }) {
  const [running, setRunning] = useState(false);
  const [failure, setFailure] = useState("");
  const confirm = () => {
    setRunning(true);
    setFailure("");
    board.ask.takeOver().then(() => (board.link.connect(), onClose()), (err: unknown) => {
      setRunning(false);
      setFailure(err instanceof Refused ? err.message : String(err));
    });
  };
  return (
    <Dialog
      title={t("takeover.title")}
      onClose={() => running || onClose()}
      actions={
        <>
          <button type="button" onClick={onClose} disabled={running} autoFocus>{t("cancel")}</button>
          <SteadyButton className="danger" onClick={confirm} disabled={running}>{t(running ? "takeover.running" : "takeover.confirm")}</SteadyButton>
        </>
      }
    >
      <p>{t("takeover.text", names)}</p>
      <p>{t("takeover.warning")}</p>
      {failure === "" ? null : <p role="alert">{t("takeover.failed", { message: failure })}</p>}
    </Dialog>
  );
}
