/**
 * The widget API's transport takes any window message with a fitting widget id, whoever sent it. This guard stands before it:
 * widget API messages pass only from the iframe that carries that widget, and from that widget's origin.
 */
interface Frame {
  readonly window: Window;
  readonly origin: string;
}

// Owned by the page's single thread; one entry per shown widget.
const frames = new Map<string, Frame>();
let installed = false;

function check(ev: MessageEvent<unknown>): void {
  const data = ev.data;
  if (typeof data !== "object" || data === null || !("api" in data)) return;
  const widgetId = "widgetId" in data && typeof data.widgetId === "string" ? data.widgetId : "";
  if (!mayPass(widgetId, ev.source, ev.origin)) ev.stopImmediatePropagation();
}

/** Whether a widget API message for `widgetId` may be heard. */
export function mayPass(widgetId: string, source: unknown, origin: string): boolean {
  const frame = frames.get(widgetId);
  return frame !== undefined && frame.window === source && frame.origin === origin;
}

/** Lets messages of this widget through until the answer is called. Must run before the transport starts listening. */
export function admit(widgetId: string, window_: Window, origin: string): () => void {
  if (!installed && typeof window !== "undefined") {
    window.addEventListener("message", check, { capture: true });
    installed = true;
  }
  const frame: Frame = { window: window_, origin };
  frames.set(widgetId, frame);
  return () => {
    if (frames.get(widgetId) === frame) frames.delete(widgetId);
  };
}
