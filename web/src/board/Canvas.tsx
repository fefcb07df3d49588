import { CaptureUpdateAction, Excalidraw, MainMenu, restoreElements } from "@excalidraw/excalidraw";
import "@excalidraw/excalidraw/index.css";
import { memo, useCallback, useEffect, useRef, type ComponentProps } from "react";
import type { Look } from "../first/fit";
import type { Theme } from "../host/widget";
import type { Translate } from "../ui/i18n";
import type { Board, Surface } from "./board";
import type { SceneElement } from "./element";

type Props = ComponentProps<typeof Excalidraw>;
export type ExcalidrawAPI = Parameters<NonNullable<Props["excalidrawAPI"]>>[0];
type AppState = ReturnType<ExcalidrawAPI["getAppState"]>;
type SceneData = Parameters<ExcalidrawAPI["updateScene"]>[0];

export interface CanvasProps {
  readonly board: Board;
  readonly theme: Theme;
  readonly language: string;
  readonly viewOnly: boolean;
  readonly t: Translate;
  readonly onAPI: (api: ExcalidrawAPI) => void;
  readonly onScroll: (look: Look) => void;
  readonly onClear: () => void;
  readonly onLink: (url: string) => void;
}

/** Whether a gesture is under way. What it does travels on the live lane until it ends. */
export function isBusy(s: AppState): boolean {
  return Boolean(
    s.newElement || s.multiElement || s.editingTextElement || s.resizingElement || s.selectedElementsAreBeingDragged || s.isResizing || s.isRotating || s.isCropping ||
      s.selectedLinearElement?.isDragging || s.editingLinearElement?.isDragging,
  );
}

/** Ids in the user's hands, with what hangs on them: moving a shape moves its text and arrows too. */
export function heldIds(s: AppState, elements: readonly SceneElement[]): Set<string> {
  const held = new Set<string>();
  for (const id of [
    s.newElement?.id, s.multiElement?.id, s.editingTextElement?.id, s.resizingElement?.id,
    s.selectedLinearElement?.isDragging ? s.selectedLinearElement.elementId : undefined, s.editingLinearElement?.elementId,
  ]) if (id) held.add(id);
  if (s.selectedElementsAreBeingDragged || s.isResizing || s.isRotating || s.isCropping) for (const id of Object.keys(s.selectedElementIds)) held.add(id);
  if (held.size === 0) return held;
  for (const e of elements) {
    if (held.has(e.id)) for (const b of e.boundElements ?? []) held.add(b.id);
    else if (typeof e.frameId === "string" && held.has(e.frameId)) held.add(e.id);
  }
  return held;
}

function surfaceOf(api: ExcalidrawAPI): Surface {
  const elements = () => api.getSceneElementsIncludingDeleted() as unknown as readonly SceneElement[];
  return {
    elements,
    busy: () => isBusy(api.getAppState()),
    held: () => heldIds(api.getAppState(), elements()),
    replace: (next) => api.updateScene({ elements: next as unknown as NonNullable<SceneData["elements"]>, captureUpdate: CaptureUpdateAction.NEVER }),
    complete: (element) => restoreElements([element] as never, null, { repairBindings: false })[0] as unknown as SceneElement | undefined,
    size: () => api.getAppState(),
    looks: () => {
      const { scrollX, scrollY, zoom } = api.getAppState();
      return { scrollX, scrollY, zoom: zoom.value };
    },
    empty: () => {
      const nothing = { selectedElementIds: {}, selectedGroupIds: {}, selectedLinearElement: null, editingGroupId: null } as SceneData["appState"];
      api.updateScene({ elements: [], appState: nothing, captureUpdate: CaptureUpdateAction.NEVER });
      api.history.clear();
    },
    look: ({ scrollX, scrollY, zoom }) => api.updateScene({ appState: { scrollX, scrollY, zoom: { value: zoom } } as SceneData["appState"] }),
    showCollaborators: (people) => api.updateScene({ collaborators: people as unknown as NonNullable<SceneData["collaborators"]> }),
  };
}

const uiOptions: NonNullable<Props["UIOptions"]> = {
  canvasActions: { loadScene: false, saveToActiveFile: false, clearCanvas: false, toggleTheme: false, changeViewBackgroundColor: false, export: { saveFileToDisk: true } },
  tools: { image: false },
};

/** Excalidraw, bound to the board. What it offers beyond drawing (images, embeds, library, AI, files) is off. */
export const Canvas = memo(function Canvas({ board, theme, language, viewOnly, t, onAPI, onScroll, onClear, onLink }: CanvasProps) {
  const api = useRef<ExcalidrawAPI | null>(null);

  // Excalidraw's menu button has no name (axe: button-name), and that of the zoom button is not what stands on it (label-content-name-mismatch). They are
  // made anew when the layout changes.
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const name = () => {
      root.current?.querySelector(".main-menu-trigger:not([aria-label])")?.setAttribute("aria-label", t("menu"));
      root.current?.querySelector(".reset-zoom-button")?.removeAttribute("aria-label"); // its title says what it does
    };
    const observer = new MutationObserver(name);
    if (root.current) observer.observe(root.current, { childList: true, subtree: true });
    name();
    return () => observer.disconnect();
  }, [t]);

  const attach = useCallback((a: ExcalidrawAPI) => {
    api.current = a;
  }, []);

  const attached = useRef(false);
  const change = useCallback<NonNullable<Props["onChange"]>>((elements, state) => {
    if (!attached.current && api.current) {
      // Only now: while it starts, Excalidraw empties its scene.
      attached.current = true;
      board.attach(surfaceOf(api.current));
      return onAPI(api.current);
    }
    board.sceneChanged(elements as unknown as readonly SceneElement[], isBusy(state));
    const [one, ...more] = Object.keys(state.selectedElementIds);
    board.selected(more.length === 0 && one !== undefined && !isBusy(state) ? one : "");
  }, [board, onAPI]);

  const pointer = useCallback<NonNullable<Props["onPointerUpdate"]>>(({ pointer: p, button }) => {
    const selected = Object.keys(api.current?.getAppState().selectedElementIds ?? {});
    board.pointerMoved({ x: Math.round(p.x * 10) / 10, y: Math.round(p.y * 10) / 10, tool: p.tool, down: button === "down", selected });
  }, [board]);

  const scrolled = useCallback<NonNullable<Props["onScrollChange"]>>((scrollX, scrollY, zoom) => onScroll({ scrollX, scrollY, zoom: zoom.value }), [onScroll]);

  const paste = useCallback<NonNullable<Props["onPaste"]>>((_data, event) => {
    const files = event?.clipboardData?.files.length ?? 0;
    if (files > 0) board.notify({ kind: "unsupported" });
    return files === 0;
  }, [board]);

  const linkOpened = useCallback<NonNullable<Props["onLinkOpen"]>>((element, event) => {
    event.preventDefault();
    if (element.link) onLink(element.link);
  }, [onLink]);

  return (
    <div
      ref={root}
      className="canvas"
      onDropCapture={(e) => {
        // A dropped file would replace the scene behind the document's back.
        if (e.dataTransfer.files.length === 0 && !e.dataTransfer.types.some((type) => type.includes("excalidraw"))) return;
        e.preventDefault();
        e.stopPropagation();
        board.notify({ kind: "drop" });
      }}
    >
      <Excalidraw
        excalidrawAPI={attach}
        onChange={change}
        onPointerUpdate={pointer}
        onScrollChange={scrolled}
        onPaste={paste}
        onLinkOpen={linkOpened}
        theme={theme}
        langCode={language}
        viewModeEnabled={viewOnly}
        isCollaborating
        aiEnabled={false}
        validateEmbeddable={false}
        handleKeyboardGlobally
        autoFocus
        UIOptions={uiOptions}
        name={t("board.title")}
      >
        <MainMenu>
          <MainMenu.DefaultItems.SaveAsImage />
          <MainMenu.DefaultItems.SearchMenu />
          <MainMenu.DefaultItems.Help />
          {viewOnly ? null : <MainMenu.Item onSelect={onClear}>{t("clear.menu")}</MainMenu.Item>}
        </MainMenu>
      </Excalidraw>
    </div>
  );
});
