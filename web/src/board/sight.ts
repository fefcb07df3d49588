/** From where a page is looked at: brought into view once, when there is something to see; afterwards the view is the person's, also when they come back. */
import type { Props } from "../doc/values";
import type { Place } from "../wire/frames";
import { fit, shapeOf, type Look } from "../first/fit";

/** The editor, as far as it is turned to something. */
export interface Eye {
  look(look: Look): void;
  /** Where the person is. */
  looks(): Look;
  /** Of the viewport, in CSS pixels. */
  size(): { readonly width: number; readonly height: number };
}

/** Extents in the scene. */
export type Area = Pick<Place, "x" | "y" | "width" | "height">;

/** The view that shows an area, at most four times as large as it is. */
export function lookAt({ x, y, width, height }: Area, eye: Eye): Look {
  const size = eye.size();
  const zoom = Math.min(4, Math.max(0.1, Math.min(size.width / width, size.height / height)));
  return { zoom, scrollX: size.width / 2 / zoom - (x + width / 2), scrollY: size.height / 2 / zoom - (y + height / 2) };
}

/** What somebody sees now. */
export function areaOf(eye: Eye): Area {
  const { scrollX, scrollY, zoom } = eye.looks();
  const { width, height } = eye.size();
  return { x: Math.round(-scrollX), y: Math.round(-scrollY), width: Math.max(1, Math.round(width / zoom)), height: Math.max(1, Math.round(height / zoom)) };
}

export class Sight {
  // Owned by Board.
  private wanted: Look | undefined;
  private done = false;
  private readonly left = new Map<string, Look>(); // by document, of pages that are not open

  /** The page was painted like this before the editor was there: nothing is to jump. */
  painted(look: Look | undefined): void {
    this.wanted ??= look;
  }

  /** `drawn`: what was there at the start, when it has arrived; all of it is to be seen unless it was painted or the person was here before. */
  show(eye: Eye, drawn: () => readonly Readonly<Props>[]): void {
    if (this.done) return;
    const { width, height } = eye.size();
    const look = this.wanted ?? fit(drawn().filter((p) => p.isDeleted !== true).map(shapeOf), width, height);
    if (!look) return;
    this.done = true;
    eye.look(look);
  }

  /** The person draws: from now on the view is theirs. */
  taken(): void {
    this.done = true;
  }

  /** What is to be seen of a page that will be open. */
  aim(doc: string, look: Look): void {
    this.left.set(doc, look);
  }

  turn(eye: Eye, from: string, to: string): void {
    this.left.set(from, eye.looks());
    this.wanted = this.left.get(to);
    this.done = false;
  }
}
