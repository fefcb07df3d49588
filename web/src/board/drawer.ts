/** What the outline does with the editor: adds, removes and shows elements, as the person's own gestures. */
import { CaptureUpdateAction, convertToExcalidrawElements, newElementWith } from "@excalidraw/excalidraw";
import type { ExcalidrawAPI } from "./Canvas";
import type { SceneElement } from "./element";
import type { Drawer, NewKind } from "./Outline";

const GAP = 40;
const SIZE = { width: 220, height: 90 };

export function drawerOn(api: ExcalidrawAPI): Drawer {
  const all = () => api.getSceneElementsIncludingDeleted();
  const write = (elements: ReturnType<typeof all>) => api.updateScene({ elements, captureUpdate: CaptureUpdateAction.IMMEDIATELY });
  return {
    elements: () => api.getSceneElements() as unknown as readonly SceneElement[],
    add: (kind, text) => {
      const place = placeFor(api);
      const made = convertToExcalidrawElements([skeleton(kind, text, place)] as never);
      write([...all(), ...made]);
    },
    remove: (id) => write(all().map((e) => (e.id === id || (e.type === "text" && e.containerId === id) ? newElementWith(e, { isDeleted: true }) : e))),
    show: (id) => {
      const element = api.getSceneElements().find((e) => e.id === id);
      if (element) api.scrollToContent(element, { fitToViewport: false, animate: false });
    },
  };
}

function skeleton(kind: NewKind, text: string, place: { readonly x: number; readonly y: number }): object {
  if (kind === "text") return { type: kind, ...place, text };
  return { type: kind, ...place, ...SIZE, ...(text === "" ? {} : { label: { text } }) };
}

/** Below what is there; on an empty page in the middle of what is seen. */
function placeFor(api: ExcalidrawAPI): { x: number; y: number } {
  const elements = api.getSceneElements();
  if (elements.length > 0) return { x: Math.min(...elements.map((e) => e.x)), y: Math.max(...elements.map((e) => e.y + e.height)) + GAP };
  const { scrollX, scrollY, width, height, zoom } = api.getAppState();
  return { x: width / 2 / zoom.value - scrollX - SIZE.width / 2, y: height / 2 / zoom.value - scrollY - SIZE.height / 2 };
}
