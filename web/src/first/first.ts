/**
 * The first second of a joiner: signed in, the scene is fetched beside everything else and painted over the empty page, until the editor
 * stands behind the painting with the same elements in the same place. Plain DOM, because nothing heavy is loaded yet.
 */
import type { Host } from "../host/widget";
import { pageToOpen } from "../board/pages";
import { Refused, type Session } from "../link/session";
import { translator } from "../ui/i18n";
import { fit, shapeOf, type Look, type Shape } from "./fit";
import { paint } from "./painter";
import { readScene, type SceneElementProps } from "./scene";

/** What a joiner is shown before the document is there. */
export interface FirstScene {
  readonly doc: string;
  readonly log: string;
  readonly epoch: number;
  /** Every entry of the log up to it is in. */
  readonly seq: number;
  readonly heads: readonly string[];
  readonly elements: readonly SceneElementProps[];
  /** How it was painted; undefined: there was nothing to paint. */
  readonly look: Look | undefined;
}

/** Who is not signed in by then is perhaps being asked something: the editor is loaded meanwhile. */
const SIGN_IN_MS = 1_500;
/** Without a painting by then, on a slow network, the editor is loaded all the same. */
const PAINT_MS = 4_000;

export class FirstPaint {
  /** undefined: there is no scene, or it cannot be had; then the document alone shows the board. */
  readonly scene: Promise<FirstScene | undefined>;
  /** There is something to see, or there will not be in time. */
  readonly shown: Promise<void>;
  // Owned by the page's one thread.
  private layer: HTMLElement | undefined;
  private look: Look | undefined;
  private over = false;

  constructor(
    private readonly host: Host,
    private readonly session: Session,
  ) {
    this.scene = this.fetch().catch((err: unknown) => {
      if (!(err instanceof Refused)) console.warn("the first painting failed", err);
      return undefined; // whoever connects meets the same refusal, and says so
    });
    const painted = this.scene.then(() => new Promise<void>((resolve) => requestAnimationFrame(() => setTimeout(resolve))));
    const patience = pause(SIGN_IN_MS).then(() => (session.info ? pause(PAINT_MS - SIGN_IN_MS) : undefined));
    this.shown = Promise.race([painted, patience]);
  }

  /** The editor is there and has begun to draw: the painting stays above it, as a film that one can see and draw through. */
  lift(): void {
    this.layer?.classList.add("lifted");
    addEventListener("resize", () => this.remove(), { once: true });
  }

  /** The editor is looked at from elsewhere: the painting does not fit any more. */
  follow(look: Look): void {
    const { look: mine } = this;
    if (!this.layer?.classList.contains("lifted") || !mine) return;
    const near = (a: number, b: number) => Math.abs(a - b) * mine.zoom < 1;
    if (!near(look.scrollX, mine.scrollX) || !near(look.scrollY, mine.scrollY) || Math.abs(look.zoom / mine.zoom - 1) > 0.001) this.remove();
  }

  /** The editor shows the board: the painting goes. */
  remove(): void {
    this.over = true;
    this.layer?.remove();
    this.layer = undefined;
  }

  private async fetch(): Promise<FirstScene | undefined> {
    const { board, docs } = await this.session.begin();
    const open = pageToOpen(board.id, docs);
    const ref = docs.find((d) => d.doc === open);
    if (!ref || ref.seq === 0) return undefined; // all there is stands in the log
    const answer = await this.session.scene(board.id, ref.doc);
    const elements = readScene(answer);
    const look = this.paint(elements.map((e) => shapeOf(e.props)));
    return { doc: ref.doc, log: answer.log, epoch: answer.epoch, seq: answer.seq, heads: answer.heads, elements, look };
  }

  private paint(shapes: readonly Shape[]): Look | undefined {
    if (this.over || shapes.length === 0) return undefined;
    const t = translator(this.host.language);
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", "true");
    const [board, area, status] = [div("board first"), div("canvas"), div("status")];
    const [line, state] = [div("line"), div("state")];
    state.dataset.tone = "busy";
    state.setAttribute("role", "status");
    state.textContent = t("status.looking");
    area.append(canvas);
    line.append(state);
    status.append(line);
    board.append(area, status);
    document.body.append(board);
    this.layer = board;
    const [width, height, ratio] = [area.clientWidth, area.clientHeight, devicePixelRatio];
    const look = fit(shapes, width, height);
    const context = canvas.getContext("2d");
    if (!look || !context) return undefined;
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    this.look = look;
    paint(context, shapes, look, width, height, ratio);
    requestAnimationFrame(() => performance.mark("lectern-first-paint"));
    return look;
  }
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

function div(className: string): HTMLElement {
  const e = document.createElement("div");
  e.className = className;
  return e;
}
