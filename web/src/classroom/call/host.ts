/** Element Call in its iframe: the conversation with it, from load to goodbye. */
import { ClientEvent, RoomStateEvent, type MatrixEvent } from "matrix-js-sdk";
import { ClientWidgetApi, Widget, type IRoomEvent, type IWidgetApiRequest } from "matrix-widget-api";
import { rawEvent } from "../driver";
import { admit } from "../guard";
import { ignored, quiet, silence, type HostOptions, type HostState } from "../host";
import { reasonOf } from "../reason";
import { definitionOf } from "../widgets";
import { MEMBER, TO_DEVICE } from "./allow";
import type { Over } from "./calls";
import { CallDriver } from "./driver";
import { encryptedOnly } from "./todevice";

const SLOW_MS = 20_000; // it is large
/** For Element Call's own goodbye, and then for ours. */
const GOODBYE_MS = 3000;

export interface CallHostOptions extends Omit<HostOptions, "onOpenCall" | "onNavigate"> {
  readonly rtcTransport: string;
  readonly onState: (state: HostState) => void;
  /** The person has entered the call, or is back in front of it. */
  readonly onJoined: (joined: boolean) => void;
  /** The token service does not let this device in. */
  readonly onRefused: (why: Omit<Over, "again">) => void;
  /** Element Call wants to be closed. */
  readonly onClose: () => void;
}

export interface HostedCall {
  /** Leaves the call and waits for it, a few seconds at most. */
  hangUp(): Promise<void>;
  /** Ends the conversation; the iframe may go. */
  stop(): void;
}

/** Connects the iframe, which must be in the document and not yet loaded. */
export function hostCall(o: CallHostOptions): HostedCall {
  const { widget, iframe, settings, classroom } = o;
  const gone = new AbortController();
  const frame = iframe.contentWindow;
  if (!frame) throw new Error("the iframe is not in the document");
  const crypto = classroom.client.getCrypto();
  if (!crypto) throw new Error("encryption is not available");
  encryptedOnly(crypto, TO_DEVICE);
  const origin = new URL(widget.url).origin;
  const release = admit(widget.id, frame, origin);
  const driver = new CallDriver({ ...o, signal: gone.signal, onNavigate: ignored });
  const api = new ClientWidgetApi(new Widget(definitionOf(widget)), iframe, driver);
  quiet(api, frame, origin);
  api.setViewedRoomId(widget.roomId);

  let ready = false;
  let joined = false;
  let closed: () => void = ignored;
  const slow = setTimeout(() => o.onState("slow"), SLOW_MS);
  const push = (): void => {
    api.updateTheme({ name: settings.get().theme }).catch(ignored);
    api.updateLanguage(settings.get().language).catch(ignored);
  };
  api.on("preparing", () => clearTimeout(slow));
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
  const answer = (action: string, then: () => void): void => {
    api.on(`action:${action}`, (ev: CustomEvent<IWidgetApiRequest>) => {
      ev.preventDefault();
      api.transport.reply(ev.detail, {});
      then();
    });
  };
  const setJoined = (now: boolean): void => {
    joined = now;
    o.onJoined(now);
  };
  answer("io.element.join", () => setJoined(true));
  answer("im.vector.hangup", () => setJoined(false));
  answer("io.element.device_mute", ignored);
  answer("set_always_on_screen", ignored);
  answer("io.element.close", () => {
    setJoined(false);
    closed();
    o.onClose();
  });
  const unsubscribe = settings.subscribe(() => {
    if (ready) push();
  });
  const unfeed = feed(api, o);
  const pageHidden = (): void => lastWords(o, driver.memberships);
  window.addEventListener("pagehide", pageHidden);

  return {
    async hangUp() {
      const goodbye = new Promise<void>((resolve) => (closed = resolve));
      if (joined) await within(GOODBYE_MS, Promise.all([api.transport.send("im.vector.hangup" as never, {}), goodbye]));
      await within(GOODBYE_MS, driver.leave());
    },
    stop() {
      gone.abort();
      clearTimeout(slow);
      unsubscribe();
      unfeed();
      window.removeEventListener("pagehide", pageHidden);
      api.stop();
      silence(api);
      release();
    },
  };
}

/** Waits for something that may fail or never end. */
async function within(ms: number, what: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  try {
    await Promise.race([what, late]);
  } catch (err) {
    console.warn("leaving the call:", reasonOf(err));
  } finally {
    clearTimeout(timer);
  }
}

/** The page is being closed or reloaded: the membership must not stay, and nothing here lives long enough to wait for an answer. */
function lastWords({ classroom: { session }, widget }: Pick<CallHostOptions, "classroom" | "widget">, keys: readonly string[]): void {
  for (const key of keys) {
    const path = ["rooms", widget.roomId, "state", MEMBER, key].map(encodeURIComponent).join("/");
    fetch(`${session.homeserver}/_matrix/client/v3/${path}`, {
      method: "PUT",
      keepalive: true,
      headers: { Authorization: `Bearer ${session.accessToken}`, "Content-Type": "application/json" },
      body: "{}",
    }).catch(ignored);
  }
}

/** Feeds what happens in the room, and media keys; the API drops what Element Call may not see. */
function feed(api: ClientWidgetApi, { classroom: { client }, widget }: Pick<CallHostOptions, "classroom" | "widget">): () => void {
  const onState = (ev: MatrixEvent): void => {
    if (ev.getRoomId() === widget.roomId) api.feedStateUpdate(rawEvent(ev)).catch(ignored);
  };
  const onEvent = (ev: MatrixEvent): void => {
    if (ev.getRoomId() !== widget.roomId) return;
    void client.decryptEventIfNeeded(ev).then(() => {
      if (!ev.isBeingDecrypted() && !ev.isDecryptionFailure()) api.feedEvent(rawEvent(ev)).catch(ignored);
    }, ignored);
  };
  // These types reach us only if they were encrypted (encryptedOnly); nothing else of the decrypted message is passed on.
  const onToDevice = (ev: MatrixEvent): void => {
    if (!TO_DEVICE.has(ev.getType())) return;
    api.feedToDevice({ type: ev.getType(), sender: ev.getSender() ?? "", content: ev.getContent() } as IRoomEvent, true).catch(ignored);
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
