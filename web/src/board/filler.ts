/** Gives the editor a large page bit by bit, so that one can draw on a slow machine long before it has drawn everything (SPEC WG82). */
export interface FillerOptions {
  render(ids: readonly string[]): void;
  /** Somebody is in the middle of a gesture: drawing more would make it stutter. */
  busy(): boolean;
  done(): void;
}

/** The editor takes about 1 ms for an element, on a slow machine 4. */
export const FIRST_ELEMENTS = 100;
const BUSY_MS = 100;

export class Filler {
  // Owned by Board.
  private rest: readonly string[] = [];
  private size = FIRST_ELEMENTS;
  private round = 0;

  constructor(private readonly options: FillerOptions) {}

  get filling(): boolean {
    return this.rest.length > 0;
  }

  /** What is still to be drawn; replaces what was. */
  begin(rest: readonly string[]): void {
    this.rest = rest;
    this.size = FIRST_ELEMENTS;
    this.later(++this.round);
  }

  private later(round: number): void {
    if (this.rest.length === 0) return this.options.done();
    // A frame and a turn of the event loop between two bits: the person's input comes first.
    requestAnimationFrame(() => setTimeout(() => this.next(round)));
  }

  private next(round: number): void {
    if (round !== this.round) return;
    if (this.options.busy()) return void setTimeout(() => this.next(round), BUSY_MS);
    const bit = this.rest.slice(0, this.size);
    this.rest = this.rest.slice(this.size);
    this.size *= 2; // every bit draws what is there already once more
    this.options.render(bit);
    this.later(round);
  }
}
