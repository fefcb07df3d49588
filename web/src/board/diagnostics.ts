/**
 * `window.__lectern`: what tests and people who look for a fault may read. Documented in docs/SPEC.md (WG40). Only with `test` in the page's
 * configuration it also holds handles that change something.
 */
import type { PageConfig } from "../host/widget";
import type { Props } from "../doc/values";
import type { Board } from "./board";
import type { ExcalidrawAPI } from "./Canvas";

const violations: string[] = [];
addEventListener("securitypolicyviolation", (e) => {
  if (violations.length < 100) violations.push(`${e.effectiveDirective} ${e.blockedURI}`);
});

export function exposeDiagnostics(board: Board, config: PageConfig, api: () => ExcalidrawAPI | null): void {
  const hook = {
    /** Link state, counters per lane and direction, position in the log. */
    stats: () => ({
      link: board.link.state,
      lanes: structuredClone(board.link.stats),
      ...board.link.sequence,
      unacknowledged: board.link.unacknowledged,
      unsaved: board.outstanding.count,
      atRisk: board.outstanding.atRisk,
      epoch: board.page.epoch,
      ready: board.current,
      page: board.pages.index,
      pages: board.pages.list.length,
      watching: board.watch.on,
      role: board.view.get().role,
      people: board.view.get().people.length,
      violations: [...violations],
    }),
    /** Heads (hex, sorted) and number of changes of the document in the worker; of the scene for who only watches. */
    heads: () => (board.watch.on ? Promise.resolve({ heads: board.watch.heads, changes: 0 }) : board.page.heads()),
    /** The document's elements by id, as plain values; bytes as base64. */
    document: () => Object.fromEntries([...board.page.shadow.ids()].sort().map((id) => [id, plain(board.page.shadow.get(id) ?? {})])),
    /** The elements that Excalidraw shows, deleted ones too. */
    scene: () => structuredClone(api()?.getSceneElementsIncludingDeleted() ?? []),
    /** What the person sees of the open page. */
    view: () => {
      const s = api()?.getAppState();
      return s ? { scrollX: s.scrollX, scrollY: s.scrollY, zoom: s.zoom.value, width: s.width, height: s.height } : null;
    },
    version: config.version,
    ...(config.test ? { api, lane: (lane: 0 | 1) => board.link.switchLane(lane), disconnect: () => board.link.reconnect() } : {}),
  };
  Object.defineProperty(window, "__lectern", { value: Object.freeze(hook) });
}

function plain(props: Readonly<Props>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(props).sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => [k, v instanceof Uint8Array ? btoa(String.fromCharCode(...v)) : v]));
}
