/** From where a page is looked at: brought into view once, when there is something to see; afterwards the view is the person's, also when they come back. */
import type { Look } from "../first/fit";

/** The editor, as far as it is turned to something. */
export interface Eye {
  /** Brings what is drawn into view. */
  reveal(): void;
  look(look: Look): void;
  /** Where the person is. */
  looks(): Look;
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

  /** `drawn`: what was there at the start has arrived. */
  show(eye: Eye, drawn: boolean): void {
    if (this.done || (!this.wanted && !drawn)) return;
    this.done = true;
    if (this.wanted) eye.look(this.wanted);
    else eye.reveal();
  }

  /** The person draws: from now on the view is theirs. */
  taken(): void {
    this.done = true;
  }

  turn(eye: Eye, from: string, to: string): void {
    this.left.set(from, eye.looks());
    this.wanted = this.left.get(to);
    this.done = false;
  }
}
