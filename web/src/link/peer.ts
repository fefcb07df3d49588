import type { Welcome } from "../wire/frames";

export interface PeerEvents {
  /** The channel `log` is open: the ticket goes first. */
  opened(): void;
  received(channel: "log" | "live", bytes: Uint8Array): void;
  /** Once. */
  closed(): void;
}

/** The WebRTC side of a session: two data channels to the server (docs/protocol.md §3). */
export interface Peer {
  offer(): Promise<string>;
  answer(sdp: string): Promise<void>;
  /** Throws when the channel is not open. */
  sendLog(bytes: Uint8Array): void;
  /** False when the channel is not open or is behind: live frames are dropped rather than queued. */
  sendLive(bytes: Uint8Array): boolean;
  close(): void;
}

export type OpenPeer = (events: PeerEvents, ice: Welcome["ice"]) => Peer;

const LIVE_BACKLOG = 64 * 1024;

/** Opens a peer connection without media. The server is ICE-lite and answers with its candidates: nothing trickles, nothing is gathered first. */
export const openPeer: OpenPeer = (events, ice) => {
  const connection = new RTCPeerConnection({
    iceServers: ice.map((s) => ({ urls: [...s.urls], ...(s.username === "" ? {} : { username: s.username, credential: s.credential }) })),
  });
  const log = connection.createDataChannel("log", { ordered: true });
  const live = connection.createDataChannel("live", { ordered: false, maxRetransmits: 0 });
  let over = false;
  const closed = () => {
    if (over) return;
    over = true;
    connection.close();
    events.closed();
  };
  for (const [name, channel] of [["log", log], ["live", live]] as const) {
    channel.binaryType = "arraybuffer";
    channel.onmessage = (e: MessageEvent) => {
      if (!over && e.data instanceof ArrayBuffer) events.received(name, new Uint8Array(e.data));
    };
  }
  log.onopen = () => !over && events.opened();
  log.onclose = closed;
  connection.onconnectionstatechange = () => {
    if (connection.connectionState === "failed" || connection.connectionState === "closed") closed();
  };
  return {
    offer: async () => {
      const offer = await connection.createOffer();
      await connection.setLocalDescription(offer);
      return offer.sdp ?? "";
    },
    answer: (sdp) => connection.setRemoteDescription({ type: "answer", sdp }),
    sendLog: (bytes) => log.send(bytes as Uint8Array<ArrayBuffer>),
    sendLive: (bytes) => {
      if (live.readyState !== "open" || live.bufferedAmount > LIVE_BACKLOG) return false;
      live.send(bytes as Uint8Array<ArrayBuffer>);
      return true;
    },
    close: () => {
      over = true;
      connection.close();
    },
  };
};
