/** A page's past (docs/protocol.md §1.7): earlier versions, bringing back what was removed, and who drew what. */
import type { ElementWrite } from "../doc/messages";
import type { Page } from "../doc/page";
import { readScene, type SceneElementProps } from "../first/scene";
import type { Drew, Session, Version } from "../link/session";

export interface HistoryOptions {
  readonly session: Pick<Session, "versions" | "version" | "drew">;
  readonly page: Pick<Page, "shadow" | "again">;
  /** The page that is open. */
  readonly doc: () => string;
}

export class History {
  constructor(private readonly options: HistoryOptions) {}

  versions(): Promise<readonly Version[]> {
    return this.options.session.versions(this.options.doc());
  }

  async at(seq: number): Promise<readonly SceneElementProps[]> {
    return readScene(await this.options.session.version(this.options.doc(), seq));
  }

  /** Those of a version that the page does not show now. */
  missing(version: readonly SceneElementProps[]): readonly SceneElementProps[] {
    const { shadow } = this.options.page;
    return version.filter(({ id }) => (shadow.get(id)?.isDeleted ?? true) === true);
  }

  /** Puts elements on the page as they were; what is there stays as it is. */
  bringBack(elements: readonly SceneElementProps[]): void {
    const writes = elements.map(({ id, props }): ElementWrite => ({ id, create: true, props: { ...props, isDeleted: false } }));
    for (let i = 0; i < writes.length; i += AT_ONCE) this.options.page.again(writes.slice(i, i + AT_ONCE));
  }

  drew(element: string): Promise<Drew> {
    return this.options.session.drew(this.options.doc(), element);
  }
}

/** Elements of one gesture. */
const AT_ONCE = 50;
