import { useEffect, useState } from "react";
import { Refused } from "../link/session";
import { Dialog } from "../ui/Dialog";
import type { Translate } from "../ui/i18n";
import type { Board } from "./board";

/** The way to the page for the room's boards: a link that the person opens, because a client's frame opens no window by itself. */
export default function Setup({ board, t, onClose }: { readonly board: Board; readonly t: Translate; readonly onClose: () => void }) {
  const [url, setUrl] = useState("");
  const [problem, setProblem] = useState("");
  useEffect(() => {
    board.ask.setup(t("language")).then(setUrl, (err: unknown) => setProblem(err instanceof Refused ? err.message : String(err)));
  }, [board]);
  return (
    <Dialog title={t("setup.title")} onClose={onClose} actions={<button type="button" onClick={onClose} autoFocus>{t("close")}</button>}>
      <p>{t("setup.text")}</p>
      {url === "" ? null : <p><a href={url} target="_blank" rel="noopener noreferrer" onClick={onClose}>{t("setup.open")}</a></p>}
      <p role="status">{problem}</p>
    </Dialog>
  );
}
