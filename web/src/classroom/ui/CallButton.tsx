import { useState, useSyncExternalStore } from "react";
import { callLevel, mayCall } from "../call/members";
import { powerOf, stateLevel } from "../roles";
import type { Classroom, RoomDetail } from "../matrix";
import { reasonOf } from "../reason";
import { useApp, useT } from "./context";
import { Dialog, Icon } from "./parts";

/** Says who is in the room's call, and opens it. */
export function CallButton({ classroom, detail, onOpen }: { readonly classroom: Classroom; readonly detail: RoomDetail; readonly onOpen: () => void }) {
  const app = useApp();
  const t = useT();
  const call = useSyncExternalStore(app.calls.subscribe, app.calls.get);
  const [refused, setRefused] = useState<{ readonly title: string; readonly text: string } | null>(null);
  const { summary, powers, members } = detail;
  if (call?.roomId === summary.id) return null; // the call itself is there, with its own way out
  const others = detail.call.filter((id) => id !== classroom.me);
  const names = others.map((id) => members.find((m) => m.userId === id)?.name ?? id);

  function open(): void {
    if (!mayCall(powers, classroom.me)) {
      const level = stateLevel(powers, "m.room.power_levels");
      const who = classroom.whoHas(summary.id, level, app.config.companion).join(", ");
      const text = `${t("call.noPower", { level: callLevel(powers), own: powerOf(powers, classroom.me) })} ${t(who === "" ? "call.askNobody" : "call.ask", { who })}`;
      return setRefused({ title: t("call.noPowerTitle"), text });
    }
    try {
      onOpen();
    } catch (err) {
      setRefused({ title: t("call.title"), text: reasonOf(err) });
    }
  }
  const running = others.length > 0;
  return (
    <>
      <button className={running ? "button small primary" : "button small"} data-testid="call-open" aria-label={running ? t("call.joinHint", { count: others.length, names: names.join(", ") }) : t("call.openHint")} title={running ? names.join(", ") : undefined} onClick={open}>
        <Icon name="call" />
        <span className="chip-text">{t(running ? "call.join" : "call.open")}</span>
        {running && <>{" "}<span data-testid="call-count">{others.length}</span></>}
      </button>
      {refused && (
        <Dialog title={refused.title} testId="call-refused" onCancel={() => setRefused(null)}>
          <p>{refused.text}</p>
          <div className="row end"><button className="button" onClick={() => setRefused(null)}>{t("call.close")}</button></div>
        </Dialog>
      )}
    </>
  );
}
