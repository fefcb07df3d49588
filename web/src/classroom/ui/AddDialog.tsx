import { useEffect, useState } from "react";
import type { Standing } from "../add/setup";
import type { Classroom, RoomDetail } from "../matrix";
import { AddPanel } from "./AddPanel";
import { useApp, useT } from "./context";
import { Dialog } from "./parts";

interface Props {
  readonly classroom: Classroom;
  readonly detail: RoomDetail;
  readonly onClose: () => void;
  /** A board is there: show it. */
  readonly onAdded: (widgetId: string) => void;
}

/** "Add to room". */
export function AddDialog({ classroom, detail, onClose, onAdded }: Props) {
  const app = useApp();
  const t = useT();
  const { config } = app;
  useEffect(() => app.prompts.hold(), [app]); // the board that is added must not ask over what is being read here
  const [busy, setBusy] = useState(false);
  const { summary, widgets, empty, powers } = detail;
  const membership = detail.members.find((m) => m.userId === config.companion)?.membership;
  const standing: Standing = membership === "join" ? "member" : membership === "invite" ? "invited" : "absent";
  return (
    <Dialog title={t("add.title", { room: summary.name })} testId="add-dialog" onCancel={() => !busy && onClose()}>
      <AddPanel actor={{ client: classroom, config }} room={{ id: summary.id, widgets, empty, powers, standing }} onClose={onClose} onAdded={(board) => onAdded(board.id)} onBusy={setBusy} />
    </Dialog>
  );
}
