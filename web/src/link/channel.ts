import { encodeFrame, type ClientFrame, type Lane } from "../wire/frames";
import { backoff } from "./backoff";
import type { OpenPeer, Peer } from "./peer";
import type { IceServer } from "./session";
import { count, type Stats } from "./stats";

export interface ChannelEvents {
  /** Sends over the WebSocket. */
  signal(frame: ClientFrame): void;
  /** The channel took its ticket: the log may move here. */
  opened(): void;
  /** The channel is gone or silent: the log goes back to the WebSocket. */
  lost(): void;
  received(bytes: Uint8Array, lane: "live" | Lane): void;
}

const SILENCE_MS = 3_000; // the server pings every second
const OPEN_MS = 15_000; // a ticket lives as long
const FIRST_TRY_AFTER = 3; // attempts of the backoff to skip: a failed channel is tried again after seconds, not at once

/** The data channel lane of one connection: opens it, watches it, opens it again later. */
export class Channel {
  // Owned by Link.
  private peer: Peer | undefined;
  private ticket: Uint8Array = new Uint8Array();
  private open = false;
  private failures = 0;
  private lastHeard = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly openPeer: OpenPeer,
    /** Asked before every attempt: credentials of the last one may be over. */
    private readonly servers: () => readonly IceServer[],
    private readonly random: () => number,
    private readonly stats: Stats,
    private readonly events: ChannelEvents,
  ) {}

  get ready(): boolean {
    return this.open;
  }

  start(): void {
    this.stop();
    this.failures = 0;
    this.dial();
  }

  /** Silently, because the connection is gone or the page ends. */
  stop(): void {
    clearTimeout(this.timer);
    this.open = false;
    this.peer?.close();
    this.peer = undefined;
  }

  async answered(sdp: string, ticket: Uint8Array): Promise<void> {
    this.ticket = ticket;
    try {
      await this.peer?.answer(sdp);
    } catch {
      this.fail();
    }
  }

  /** False when the channel is not open; the link goes back to the WebSocket by itself. */
  sendLog(bytes: Uint8Array): boolean {
    try {
      if (!this.open) return false;
      this.peer?.sendLog(bytes);
      return true;
    } catch {
      queueMicrotask(() => this.fail());
      return false;
    }
  }

  sendLive(bytes: Uint8Array): boolean {
    return this.open && (this.peer?.sendLive(bytes) ?? false);
  }

  /** Called every second; inUse: the log runs here, so the server pings here. */
  check(inUse: boolean): void {
    if (inUse && this.open && Date.now() - this.lastHeard > SILENCE_MS) this.fail();
  }

  /** Gives the channel up, tells the link, and tries again later. */
  fail(): void {
    if (!this.peer) return;
    const wasOpen = this.open;
    this.stop();
    if (wasOpen) this.events.lost();
    this.timer = setTimeout(() => this.dial(), 2_000 + backoff(FIRST_TRY_AFTER + this.failures++, this.random));
  }

  private dial(): void {
    let peer: Peer;
    const mine = () => this.peer === peer;
    try {
      peer = this.openPeer(
        {
          opened: () => {
            if (!mine()) return;
            clearTimeout(this.timer);
            const bytes = encodeFrame({ type: "ticket", ticket: this.ticket });
            peer.sendLog(bytes);
            count(this.stats.log.sent, bytes.length);
            this.open = true;
            this.lastHeard = Date.now();
            this.events.opened();
          },
          received: (channel, bytes) => {
            if (!mine()) return;
            this.lastHeard = Date.now();
            if (this.failures > 0 && channel === "log") this.failures = 0;
            this.events.received(bytes, channel === "log" ? 1 : "live");
          },
          closed: () => mine() && this.fail(),
        },
        this.servers(),
      );
    } catch {
      return; // no WebRTC in this browser or by its policy: the WebSocket carries everything
    }
    this.peer = peer;
    this.timer = setTimeout(() => this.fail(), OPEN_MS);
    peer.offer().then(
      (sdp) => mine() && this.events.signal({ type: "rtc.offer", sdp }),
      () => mine() && this.fail(),
    );
  }
}
