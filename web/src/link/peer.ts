import type { IceServer } from "./session";

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

/** Throws where the browser has no WebRTC. */
export type OpenPeer = (events: PeerEvents, servers: readonly IceServer[]) => Peer;

const LIVE_BACKLOG = 64 * 1024;

/** An address that this browser does not take costs the help, not the channel. */
function connectionWith(servers: readonly IceServer[]): RTCPeerConnection {
  try {
    return new RTCPeerConnection({ iceServers: servers.map(({ urls, username, credential }) => ({ urls: [...urls], username, credential })) });
  } catch (err) {
    if (servers.length === 0) throw err;
    console.warn("a TURN server cannot be used", err);
    return new RTCPeerConnection();
  }
}

/** Opens a peer connection without media. The server is ICE-lite and answers with its candidates: nothing trickles, nothing is gathered first. */
export const openPeer: OpenPeer = (events, servers) => {
  const connection = connectionWith(servers);
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
