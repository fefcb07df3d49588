/**
 * Undo and redo of texts. Excalidraw's history holds whole texts: undoing "I added a word" sets the text of before, and what others wrote
 * meanwhile would go with it. So each of one's own edits is remembered as what its undo will look like, and when the text becomes just that,
 * the edit alone is taken back.
 */
export interface TextEdit {
  readonly base: string;
  readonly wanted: string;
}

interface Reversal extends TextEdit {
  readonly sets: string; // what the editor will set the text to
}

const REMEMBERED = 50; // of each element

export class Reversals {
  // Owned by Binding.
  private readonly byElement = new Map<string, Reversal[]>();

  /** The user's editor turned `before`, as it was last shown, into `after`: gives the edit that was meant. */
  edit(id: string, before: string, after: string): TextEdit {
    const list = this.byElement.get(id) ?? [];
    this.byElement.set(id, list);
    const at = list.findLastIndex((r) => r.sets === after);
    const meant = at >= 0 ? list.splice(at, 1)[0]! : { base: before, wanted: after };
    list.push({ sets: before, base: meant.wanted, wanted: meant.base });
    if (list.length > REMEMBERED) list.shift();
    return { base: meant.base, wanted: meant.wanted };
  }
}
