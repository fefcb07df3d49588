/** What others do is shown once per animation frame, however much of it comes. */
export interface Changed {
  readonly cursors: boolean;
  readonly elements: boolean;
}

export class Crowd {
  private waiting: Changed = { cursors: false, elements: false };
  private drawing = false;

  constructor(private readonly show: (changed: Changed) => void) {}

  changed({ cursors, elements }: Changed): void {
    this.waiting = { cursors: this.waiting.cursors || cursors, elements: this.waiting.elements || elements };
    if (this.drawing || (!this.waiting.cursors && !this.waiting.elements)) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      const now = this.waiting;
      this.drawing = false;
      this.waiting = { cursors: false, elements: false };
      this.show(now);
    });
  }
}
