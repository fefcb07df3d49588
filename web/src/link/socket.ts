import { SUBPROTOCOL } from "../wire/frames";

/** Something frames can be sent on. send throws when it is not open. */
export interface Pipe {
  send(bytes: Uint8Array): void;
  close(code?: number): void;
}

export interface SocketEvents {
  opened(): void;
  received(bytes: Uint8Array): void;
  /** Once; code as in docs/protocol.md §6, 1006 when the network failed. */
  closed(code: number): void;
}

export type OpenSocket = (events: SocketEvents) => Pipe;

/** Opens the board's WebSocket at this page's own origin. */
export const openSocket: OpenSocket = (events) => {
  const url = new URL("/v1/connect", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url, SUBPROTOCOL);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => events.opened();
  socket.onmessage = (e: MessageEvent) => events.received(e.data instanceof ArrayBuffer ? new Uint8Array(e.data) : new Uint8Array());
  socket.onclose = (e) => events.closed(e.code);
  return {
    send: (bytes) => {
      if (socket.readyState !== WebSocket.OPEN) throw new Error("the socket is not open");
      socket.send(bytes as Uint8Array<ArrayBuffer>);
    },
    close: (code) => socket.close(code),
  };
};
