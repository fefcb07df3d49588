import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as A from "@automerge/automerge/slim";
import { PageDocument } from "../../src/doc/core";
import type { Answer, Request } from "../../src/doc/messages";
import type { Port } from "../../src/doc/page";

export const genesis = new Uint8Array(readFileSync(new URL("../../../crdt/schema/genesis/whiteboard.page.automerge", import.meta.url)));

/** The same engine as the page's, from the same file. */
export async function startEngine(): Promise<void> {
  await A.initializeWasm(new Uint8Array(readFileSync(createRequire(import.meta.url).resolve("@automerge/automerge/automerge.wasm"))));
}

export const actor = (n: number) => new Uint8Array(16).fill(n);

/** The document worker behind a queue: answers come only when run() is called, as late as the test likes. */
export class QueuedWorker implements Port {
  page: PageDocument | undefined;
  private handler: (answer: Answer) => void = () => undefined;
  private readonly requests: Request[] = [];

  post(request: Request): void {
    this.requests.push(structuredClone(request));
  }

  onAnswer(handler: (answer: Answer) => void): void {
    this.handler = handler;
  }

  get waiting(): number {
    return this.requests.length;
  }

  stop(): void {
    this.requests.length = 0;
    this.handler = () => undefined;
  }

  run(n = Infinity): void {
    for (let i = 0; i < n && this.requests.length > 0; i++) {
      const answer = this.handle(this.requests.shift()!);
      if (answer) this.handler(structuredClone(answer));
    }
  }

  private handle(r: Request): Answer | undefined {
    switch (r.type) {
      case "load": {
        const old = this.page;
        const next = new PageDocument(r.bytes ?? genesis, r.actor);
        if (r.changes.length > 0) next.apply(r.changes);
        const offered = r.offer && old ? next.missing(old, r.offer) : [];
        if (offered.length > 0) next.apply(offered);
        this.page = next;
        return { type: "loaded", load: r.load, elements: next.elements(), offered };
      }
      case "actor":
        this.page?.setActor(r.actor);
        return undefined;
      case "apply":
        return this.page && { type: "report", elements: this.page.apply(r.changes) };
      case "commit":
        return this.page && { type: "committed", gesture: r.gesture, ...this.page.commit(r.writes) };
      case "heads":
        return { type: "heads", ask: r.ask, heads: this.page?.heads() ?? [], changes: this.page?.changeCount() ?? 0 };
      case "init":
        return { type: "ready" };
    }
  }
}
