/** The worker that owns the document. One request at a time, answers in order: see messages.ts. */
import * as A from "@automerge/automerge/slim";
import { PageDocument } from "./core";
import type { Answer, Request } from "./messages";

const port = globalThis as unknown as { postMessage(a: Answer): void; onmessage: ((e: MessageEvent<Request>) => void) | null };

// Owned by the queue below.
let genesis: Uint8Array = new Uint8Array();
let page: PageDocument | undefined;
let queue: Promise<void> = Promise.resolve();

port.onmessage = ({ data }) => {
  queue = queue.then(() => handle(data)).catch((err: unknown) => {
    port.postMessage({ type: "broken", during: data.type, message: err instanceof Error ? err.message : String(err) });
  });
};

async function handle(request: Request): Promise<void> {
  switch (request.type) {
    case "init":
      genesis = request.genesis;
      await A.initializeWasm(request.wasm as unknown as Parameters<typeof A.initializeWasm>[0]);
      return port.postMessage({ type: "ready" });
    case "load": {
      const old = page;
      const next = new PageDocument(request.bytes ?? genesis, request.actor);
      if (request.changes.length > 0) next.apply(request.changes);
      const offered = request.offer && old ? next.missing(old, request.offer) : [];
      if (offered.length > 0) next.apply(offered);
      page = next;
      return port.postMessage({ type: "loaded", load: request.load, elements: page.elements(), offered });
    }
    case "actor":
      return page?.setActor(request.actor);
    case "apply":
      if (page) port.postMessage({ type: "report", elements: page.apply(request.changes) });
      return;
    case "commit":
      if (page) port.postMessage({ type: "committed", gesture: request.gesture, ...page.commit(request.writes) });
      return;
    case "heads":
      return port.postMessage({ type: "heads", ask: request.ask, heads: page?.heads() ?? [], changes: page?.changeCount() ?? 0 });
  }
}
