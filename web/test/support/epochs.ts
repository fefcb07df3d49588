import { createHash } from "node:crypto";
import * as A from "@automerge/automerge/slim";
import { PageDocument } from "../../src/doc/core";
import type { ElementWrite } from "../../src/doc/messages";
import { sameValue, type Props } from "../../src/doc/values";
import { authorOf } from "../../src/link/chunk";
import { genesis } from "./document";

type Row = [doc: string, epoch: number, kind: number, actor: Uint8Array, bytes: Uint8Array];

export const hashOf = (chunk: Uint8Array) => new Uint8Array(createHash("sha256").update(chunk.subarray(8)).digest());
const serverActor = (...parts: unknown[]) => Uint8Array.of(0, ...createHash("sha256").update(parts.join()).digest().subarray(0, 15));
const save = (page: PageDocument) => A.save((page as unknown as { doc: A.Doc<unknown> }).doc);

/** What the server does with one document and its epochs (SPEC EP1, EP5, EP6), with the real engine and without judging anything. */
export class EpochModel {
  epoch = 0;
  /** The archive of an epoch: its page with every change, late ones too; the last one is the present page. */
  readonly pages = [new PageDocument(genesis, new Uint8Array())];
  /** The carried page of the epoch before: squash and carries only. */
  private readonly carried = [new PageDocument(genesis, new Uint8Array())];
  private readonly known = new Set<string>();
  private snapshot = { bytes: save(this.pages[0]!), epoch: 0, seq: 0 };

  constructor(
    readonly rows: Row[],
    readonly doc = "page",
  ) {}

  /** A change of somebody's: false when it is in the log already. */
  take(epoch: number, chunk: Uint8Array): boolean {
    const key = String(chunk);
    if (this.known.has(key)) return false;
    this.known.add(key);
    const author = authorOf(chunk);
    this.pages[epoch]!.apply([chunk]);
    this.rows.push([this.doc, epoch, epoch === this.epoch ? 1 : 4, Uint8Array.from(Buffer.from(author, "hex")), chunk]);
    for (let e = epoch; e < this.epoch; e++) {
      const [from, to] = [this.pages[e]!, this.carried[e + 1]!];
      to.setActor(serverActor("carry", e + 1, author));
      const { changes } = to.commit(difference(to.elements(), from.elements()));
      this.pages[e + 1]!.apply(changes);
      for (const c of changes) this.rows.push([this.doc, e + 1, 3, serverActor("carry", e + 1, author), c]);
    }
    return true;
  }

  /** Squashes what is shown into the next epoch. */
  squash(): void {
    const shown = Object.entries(this.pages[this.epoch]!.elements()).filter(([, props]) => props.isDeleted !== true);
    const page = new PageDocument(genesis, serverActor("squash", ++this.epoch));
    page.commit(shown.map(([id, props]) => ({ id, create: true, props })));
    const bytes = save(page);
    this.pages.push(new PageDocument(bytes, new Uint8Array()));
    this.carried.push(new PageDocument(bytes, new Uint8Array()));
    this.rows.push([this.doc, this.epoch, 2, serverActor("squash", this.epoch), new Uint8Array()]);
    this.snapshot = { bytes, epoch: this.epoch, seq: this.rows.length };
  }

  /** Takes a newer snapshot; otherwise joiners get that of the squash, and entries behind it. */
  save(): void {
    this.snapshot = { bytes: save(this.pages[this.epoch]!), epoch: this.epoch, seq: this.rows.length };
  }

  /** As HTTP answers it. */
  document(): { bytes: Uint8Array | undefined; log: string; epoch: number; seq: number } {
    const { bytes, epoch, seq } = this.snapshot;
    return { bytes: seq === 0 ? undefined : bytes, log: "log-1", epoch, seq };
  }
}

/** What turns one page's elements into another's. */
function difference(from: Record<string, Props>, to: Record<string, Props>): ElementWrite[] {
  const writes: ElementWrite[] = [];
  for (const [id, props] of Object.entries(to)) {
    const old = from[id];
    if (!old) {
      if (props.isDeleted !== true) writes.push({ id, create: true, props });
      continue;
    }
    const changed = Object.fromEntries(Object.entries(props).filter(([key, value]) => !sameValue(old[key], value)));
    if (Object.keys(changed).length > 0) writes.push({ id, create: false, props: changed, ...(typeof old.originalText === "string" ? { textBase: old.originalText } : {}) });
  }
  return writes;
}
