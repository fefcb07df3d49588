/** The whiteboard page: everything behind the small entry. */
import { createRoot } from "react-dom/client";
import { languages as excalidrawLanguages } from "@excalidraw/excalidraw";
import type { Host, PageConfig } from "../host/widget";
import { translator } from "../ui/i18n";
import "../ui/board.css";
import { App } from "./App";
import type { Begun } from "./begin";
import type { ExcalidrawAPI } from "./Canvas";
import { exposeDiagnostics } from "./diagnostics";

/** The editor has drawn what it was given. */
const whenDrawn = (then: () => void) => requestAnimationFrame(() => requestAnimationFrame(then));

export function openBoard(root: HTMLElement, host: Host, config: PageConfig, { board, first }: Begun): void {
  const language = excalidrawLanguages.find((l) => l.code.toLowerCase() === host.language.toLowerCase())?.code
    ?? excalidrawLanguages.find((l) => l.code.split("-")[0] === host.language.split("-")[0])?.code ?? "en";
  document.documentElement.lang = host.language;
  let api: ExcalidrawAPI | null = null;
  exposeDiagnostics(board, config, () => api);
  let told = false;
  const tell = () => {
    if (told || !api || !board.view.get().ready || !board.mayWrite) return;
    told = true;
    requestAnimationFrame(() => performance.mark("lectern-editable"));
  };
  board.view.subscribe(tell);
  const shown = (a: ExcalidrawAPI) => {
    api = a;
    tell(); // the document may have been there first
    whenDrawn(() => first.lift());
    const uncover = () => board.view.get().whole && whenDrawn(() => first.remove());
    board.view.subscribe(uncover);
    uncover();
  };
  createRoot(root).render(<App board={board} host={host} t={translator(host.language)} language={language} onAPI={shown} onScroll={(look) => first.follow(look)} />);
}
