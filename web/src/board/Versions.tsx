import { useEffect, useRef, useState } from "react";
import { fit, shapeOf } from "../first/fit";
import { paint } from "../first/painter";
import type { SceneElementProps } from "../first/scene";
import { Refused, type Version } from "../link/session";
import { Dialog } from "../ui/Dialog";
import type { Translate } from "../ui/i18n";
import { SteadyButton } from "../ui/SteadyButton";
import type { Board } from "./board";

interface Props {
  readonly board: Board;
  readonly theme: string;
  readonly t: Translate;
  readonly language: string;
  readonly onClose: () => void;
}

/** Earlier versions of the open page, and bringing back what was removed since. */
export default function Versions({ board, theme, t, language, onClose }: Props) {
  const [list, setList] = useState<readonly Version[]>();
  const [chosen, setChosen] = useState<Version>();
  const [scene, setScene] = useState<readonly SceneElementProps[]>();
  const [problem, setProblem] = useState("");
  const failed = (err: unknown) => setProblem(t("versions.failed", { message: err instanceof Refused ? err.message : String(err) }));
  useEffect(() => {
    board.history.versions().then(setList, failed);
  }, [board]);
  useEffect(() => {
    if (!chosen) return;
    let current = true;
    setScene(undefined);
    setProblem("");
    board.history.at(chosen.seq).then((s) => current && setScene(s), failed);
    return () => {
      current = false;
    };
  }, [board, chosen]);
  const when = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  const people = board.view.get().people;
  const nameOf = (id = "") => people.find((p) => p.id === id)?.name ?? id;
  const label = (v: Version) => (v.why === "pause" ? t("versions.pause", { at: when.format(v.at) }) : t("versions.removed", { at: when.format(v.at), name: nameOf(v.by), count: v.count ?? 0 }));
  const missing = scene ? board.history.missing(scene) : [];
  return (
    <Dialog
      title={t("versions.title")}
      onClose={onClose}
      actions={
        <>
          <button type="button" onClick={onClose} autoFocus>{t("close")}</button>
          {scene && missing.length > 0 ? (
            <SteadyButton onClick={() => { board.history.bringBack(missing); onClose(); }}>{t("versions.back", { count: missing.length })}</SteadyButton>
          ) : null}
        </>
      }
    >
      <p className="quiet">{t("versions.text")}</p>
      {list?.length === 0 ? <p>{t("versions.none")}</p> : null}
      <fieldset className="versions" hidden={!list?.length}>
        <legend>{t("versions.choose")}</legend>
        {list?.map((v) => (
          <label key={v.seq}>
            <input type="radio" name="version" checked={chosen?.seq === v.seq} onChange={() => setChosen(v)} /> <bdi>{label(v)}</bdi>
          </label>
        ))}
      </fieldset>
      <p role="status">{problem !== "" ? problem : scene ? t(missing.length === 0 ? "versions.nothing" : "versions.missing", { count: missing.length, all: scene.length }) : ""}</p>
      {scene ? <Preview scene={scene} theme={theme} label={t("versions.preview")} /> : null}
    </Dialog>
  );
}

function Preview({ scene, theme, label }: { readonly scene: readonly SceneElementProps[]; readonly theme: string; readonly label: string }) {
  const ref = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const canvas = ref.current;
    const context = canvas?.getContext("2d");
    if (!canvas || !context) return;
    const { clientWidth: width, clientHeight: height } = canvas;
    [canvas.width, canvas.height] = [width * devicePixelRatio, height * devicePixelRatio];
    const shapes = scene.map((e) => shapeOf(e.props));
    const look = fit(shapes, width, height);
    if (look) paint(context, shapes, look, width, height, devicePixelRatio);
  }, [scene]);
  return <canvas ref={ref} className="version" data-theme={theme} role="img" aria-label={label} />;
}
