/** One widget in one iframe: the conversation with it, from load to removal. */
import { ClientEvent, RoomStateEvent, type MatrixEvent } from "matrix-js-sdk";
import { ClientWidgetApi, Widget, type IRoomEvent, type IWidgetApiRequest } from "matrix-widget-api";
import { ClassroomDriver, rawEvent, type DriverOptions } from "./driver";
import { admit } from "./guard";
import { reasonOf } from "./reason";
import type { Settings } from "./settings";
import { definitionOf, type RoomWidget } from "./widgets";

export type HostState = "loading" | "ready" | "slow" | "failed";

export interface HostOptions extends Omit<DriverOptions, "signal"> {
  readonly iframe: HTMLIFrameElement;
  readonly settings: { get(): Settings; subscribe(listener: () => void): () => void };
  readonly onState: (state: HostState) => void;
  /** Opens the room's call, for Lectern's own page about it; throws with a sentence. Undefined: this widget may not ask. */
  readonly onOpenCall?: (() => void) | undefined;
}

const SLOW_MS = 12_000;

/** Connects the iframe, which must be in the document and not yet loaded. The answer disconnects it. */
export function hostWidget(o: HostOptions): () => void {
  const { widget, iframe, settings } = o;
  const gone = new AbortController();
  const frame = iframe.contentWindow;
  if (!frame) throw new Error("the iframe is not in the document");
  const origin = new URL(widget.url).origin;
  const release = admit(widget.id, frame, origin);
  const driver = new ClassroomDriver({ ...o, signal: gone.signal });
  const api = new ClientWidgetApi(new Widget(definitionOf(widget)), iframe, driver);
  quiet(api, frame, origin);
  api.setViewedRoomId(widget.roomId);

  let ready = false;
  const slow = setTimeout(() => o.onState("slow"), SLOW_MS);
  const push = (): void => {
    const { theme, language } = settings.get();
    api.updateTheme({ name: theme }).catch(ignored);
    api.updateLanguage(language).catch(ignored);
  };
  if (widget.waitForIframeLoad) {
    // The library throws on the second one, which comes whenever the widget's page reloads itself. Same refusal, without that.
    api.on("action:content_loaded", (ev: CustomEvent<IWidgetApiRequest>) => {
      ev.preventDefault();
      api.transport.reply(ev.detail, { error: { message: "Not expecting content_loaded: this widget is waited for by its load event" } });
    });
  }
  if (o.onOpenCall) {
    const open = o.onOpenCall;
    api.on("action:com.educationpub.open_call", (ev: CustomEvent<IWidgetApiRequest>) => {
      ev.preventDefault();
      try {
        open();
        api.transport.reply(ev.detail, {});
      } catch (err) {
        api.transport.reply(ev.detail, { error: { message: reasonOf(err) } });
      }
    });
  }
  api.on("preparing", () => {
    clearTimeout(slow); // it answered; from here on the person may be the one who takes their time
  });
  api.on("ready", () => {
    ready = true;
    clearTimeout(slow);
    o.onState("ready");
    push();
  });
  api.on("error:preparing", () => {
    clearTimeout(slow);
    if (!gone.signal.aborted) o.onState("failed");
  });
  const unsubscribe = settings.subscribe(() => {
    if (ready) push();
  });
  const unfeed = feed(api, o);

  return () => {
    gone.abort();
    clearTimeout(slow);
    unsubscribe();
    unfeed();
    api.stop();
    silence(api);
    release();
  };
}

/** The widget may refuse or not know a push; nothing depends on the answer. */
export const ignored = (): void => {};

/** Feeds the room's events to the widget; the API drops what the widget may not see. */
function feed(api: ClientWidgetApi, { classroom, widget }: { classroom: HostOptions["classroom"]; widget: RoomWidget }): () => void {
  const { client } = classroom;
  const onState = (ev: MatrixEvent): void => {
    if (ev.getRoomId() === widget.roomId) api.feedStateUpdate(rawEvent(ev)).catch(ignored);
  };
  const onEvent = (ev: MatrixEvent): void => {
    if (ev.getRoomId() !== widget.roomId) return;
    void client.decryptEventIfNeeded(ev).then(() => {
      if (!ev.isBeingDecrypted() && !ev.isDecryptionFailure()) api.feedEvent(rawEvent(ev)).catch(ignored);
    }, ignored);
  };
  const onToDevice = (ev: MatrixEvent): void => {
    void client.decryptEventIfNeeded(ev).then(() => {
      if (ev.isDecryptionFailure()) return;
      api.feedToDevice(ev.getEffectiveEvent() as IRoomEvent, ev.isEncrypted()).catch(ignored);
    }, ignored);
  };
  client.on(RoomStateEvent.Events, onState);
  client.on(ClientEvent.Event, onEvent);
  client.on(ClientEvent.ToDeviceEvent, onToDevice);
  return () => {
    client.off(RoomStateEvent.Events, onState);
    client.off(ClientEvent.Event, onEvent);
    client.off(ClientEvent.ToDeviceEvent, onToDevice);
  };
}

/** After stop: what the library still has under way would fail as unhandled rejections; nobody waits for it any more. */
export function silence(api: ClientWidgetApi): void {
  Object.assign(api.transport, { send: () => new Promise<never>(() => {}) });
  api.removeAllListeners();
}

/** The library's transport writes every message to the console, identity tokens among them. Same sending, without that. */
export function quiet(api: ClientWidgetApi, frame: Window, origin: string): void {
  const transport = api.transport as unknown as { sendInternal(message: unknown): void };
  transport.sendInternal = (message) => frame.postMessage(message, origin);
}
