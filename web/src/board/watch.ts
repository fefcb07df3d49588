/**
 * Who only watches needs no document: the scene is shown, and each time the log grows, what has changed in it is asked for (docs/protocol.md
 * §1.3). Neither the document's worker nor its engine is loaded.
 */
import type { Shadow } from "../doc/shadow";
import type { ElementReport } from "../doc/messages";
import { readScene } from "../first/scene";
import type { FirstScene } from "../first/first";
import { Refused, type SceneAnswer, type Session } from "../link/session";

export interface WatchOptions {
  readonly shadow: Shadow;
  readonly session: Pick<Session, "scene">;
  /** The whole scene was replaced. */
  loaded(): void;
  changed(ids: ReadonlySet<string>): void;
  /** It cannot be had at the moment; tried again. */
  problem(): void;
}

/** Entries that come together are asked for together. */
const PAUSE_MS = 300;
const RETRY_MS = 2_000;

export class Watch {
  /** Somebody watches. */
  on = false;
  heads: readonly string[] = [];
  // Owned by Board.
  private board = "";
  private doc = "";
  private log = ""; // "": nothing is shown yet
  private seq = 0;
  private target = 0; // of the log
  private asking = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: WatchOptions) {}

  get shown(): boolean {
    return this.on && this.log !== "";
  }

  /** What was painted is what is watched from there on. */
  begin(scene: FirstScene): void {
    if (this.log !== "") return;
    [this.log, this.doc, this.seq, this.heads] = [scene.log, scene.doc, scene.seq, scene.heads];
  }

  /** From now on, as of this place in the log. */
  start(board: string, doc: string, log: string, seq: number): void {
    if (this.doc !== doc || this.log !== log) this.log = "";
    [this.on, this.board, this.doc, this.target] = [true, board, doc, seq];
    if (this.log === "" || this.seq < seq) this.due(0);
    else this.options.loaded();
  }

  stop(): void {
    this.on = false;
    this.log = "";
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  /** The log has entries up to here. */
  grown(seq: number): void {
    this.target = Math.max(this.target, seq);
    if (this.on && this.target > this.seq) this.due(PAUSE_MS);
  }

  private due(ms: number): void {
    if (this.timer !== undefined || this.asking) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      void this.ask();
    }, ms);
  }

  private async ask(): Promise<void> {
    this.asking = true;
    let pause = PAUSE_MS;
    try {
      const { doc } = this;
      const since = this.log === "" ? ("live" as const) : this.seq;
      const answer = await this.options.session.scene(this.board, doc, since);
      if (!this.on || doc !== this.doc) return;
      if (since !== "live" && answer.log !== this.log) this.log = ""; // another incarnation: all of it
      else this.take(answer);
    } catch (err) {
      console.warn("the scene could not be fetched", err instanceof Refused ? err.code : err);
      if (this.on) this.options.problem();
      pause = RETRY_MS;
    } finally {
      this.asking = false;
    }
    if (this.on && (this.log === "" || this.seq < this.target)) this.due(pause);
  }

  private take(answer: SceneAnswer): void {
    const first = this.log === "";
    [this.log, this.seq, this.heads] = [answer.log, answer.seq, answer.heads];
    const { shadow } = this.options;
    const elements = readScene(answer);
    if (answer.full) {
      shadow.load(Object.fromEntries(elements.map((e) => [e.id, e.props])));
      return this.options.loaded();
    }
    const reports: ElementReport[] = elements.map(({ id, props }) => {
      const gone = Object.keys(shadow.get(id) ?? {}).filter((key) => !(key in props));
      return { id, props: { ...props, ...Object.fromEntries(gone.map((key) => [key, undefined])) } };
    });
    for (const id of answer.gone ?? []) if (shadow.get(id)) reports.push({ id, props: { isDeleted: true } });
    const changed = shadow.report(reports);
    if (first) this.options.loaded();
    else if (changed.size > 0) this.options.changed(changed);
  }
}
