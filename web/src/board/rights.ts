/** Whether this person draws on the open page, by role and rules. The server decides; here it is shown, and what it would refuse is not begun. */
import type { Store } from "../ui/store";
import { hindrance, parseRules, type Hindrance } from "./rules";
import type { View } from "./view";

export interface RightsOptions {
  readonly view: Store<View>;
  readonly person: () => string;
  /** The page that is open. */
  readonly open: () => string;
  readonly mayWrite: () => boolean;
  /** They could, and cannot any more: what is in the hand goes. */
  readonly lost: () => void;
}

export class Rights {
  private ruledAt = 0; // place in the log of the rules that are known: when it is sent again, old ones come by

  constructor(private readonly options: RightsOptions) {}

  hindrance(doc: string): Hindrance {
    const { role, rules } = this.options.view.get();
    return hindrance(rules, role, this.options.person(), doc);
  }

  /** The rules that the welcome brought stand as of this entry. */
  welcomed(seq: number): void {
    this.ruledAt = seq;
  }

  /** Rules came; answers whether they are news. */
  ruled(bytes: Uint8Array, seq: number): boolean {
    if (seq <= this.ruledAt) return false;
    this.ruledAt = seq;
    this.options.view.set({ rules: parseRules(bytes) });
    this.look();
    return true;
  }

  /** What keeps the person from drawing here may have changed. */
  look(): void {
    const { view, open, mayWrite, lost } = this.options;
    const could = view.get().hindrance === "";
    view.set({ hindrance: this.hindrance(open()) });
    if (could && !mayWrite()) lost();
  }
}
