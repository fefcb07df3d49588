import wasmUrl from "@automerge/automerge/automerge.wasm?url";
import genesisUrl from "../../../crdt/schema/genesis/whiteboard.page.automerge?inline";
import workerUrl from "./document.worker?worker&url";
import type { Answer, Request } from "./messages";
import type { Port } from "./page";

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

/** Starts the document worker. The page's policy allows scripts of this origin only, and one Trusted Types policy, `lectern`, for this one URL. */
export function spawnWorker(): Port {
  const trusted = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  const policy = trusted?.createPolicy("lectern", {
    createScriptURL: (url) => {
      if (url !== workerUrl) throw new TypeError("not the document worker");
      return url;
    },
  });
  const worker = new Worker(policy ? policy.createScriptURL(workerUrl) : workerUrl, { type: "module", name: "document" });
  worker.postMessage({ type: "init", wasm: new URL(wasmUrl, location.href).href, genesis: bytesOf(genesisUrl) } satisfies Request);
  return {
    post: (request) => worker.postMessage(request),
    onAnswer: (handler) => {
      worker.onmessage = (e: MessageEvent<Answer>) => handler(e.data);
      worker.onerror = (e) => handler({ type: "broken", during: "worker", message: e.message });
    },
  };
}

/** A worker that starts when it is first needed, or when start() says that it will be: who only watches never loads it. */
export function spawnLater(spawn: () => Port = spawnWorker): Port & { start(): void } {
  let port: Port | undefined;
  let handler: ((answer: Answer) => void) | undefined;
  const start = () => {
    if (port) return port;
    port = spawn();
    if (handler) port.onAnswer(handler);
    return port;
  };
  return {
    start,
    post: (request) => start().post(request),
    onAnswer: (h) => {
      handler = h;
      port?.onAnswer(h);
    },
  };
}

/** The bytes of a base64 data URL: the genesis travels inside the script (crdt/schema/genesis is its one source). */
export function bytesOf(dataUrl: string): Uint8Array {
  return Uint8Array.from(atob(dataUrl.slice(dataUrl.indexOf(",") + 1)), (c) => c.charCodeAt(0));
}
