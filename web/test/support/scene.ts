import type { Scene } from "../../src/board/binding";
import type { SceneElement } from "../../src/board/element";

let counter = 1;

/** A rectangle as Excalidraw would make it. */
export function rectangle(id: string, over: Record<string, unknown> = {}): SceneElement {
  return {
    id, type: "rectangle", x: 10, y: 20, width: 100, height: 50, angle: 0, strokeColor: "#1e1e1e", backgroundColor: "transparent", fillStyle: "solid", strokeWidth: 2,
    strokeStyle: "solid", roughness: 1, opacity: 100, groupIds: [], frameId: null, roundness: { type: 3 }, seed: 7, version: 1, versionNonce: counter++, isDeleted: false,
    boundElements: null, updated: 1, link: null, locked: false, index: "a1", ...over,
  };
}

export const stroke = (id: string, points: [number, number][], over: Record<string, unknown> = {}) =>
  rectangle(id, { type: "freedraw", points, pressures: [], simulatePressure: true, lastCommittedPoint: null, roundness: null, ...over });

export const words = (id: string, text: string, over: Record<string, unknown> = {}) =>
  rectangle(id, {
    type: "text", text, originalText: text, fontSize: 20, fontFamily: 5, textAlign: "left", verticalAlign: "top", containerId: null, autoResize: true, lineHeight: 1.25,
    roundness: null, ...over,
  });

/** Excalidraw without a canvas: a list, and what the user holds. */
export class FakeScene implements Scene {
  list: readonly SceneElement[] = [];
  hold = new Set<string>();
  replaced = 0;
  elements = () => this.list;
  held = () => this.hold;
  complete = (e: Record<string, unknown>) => rectangle(String(e.id), { roundness: null, ...(e.type === "text" ? { containerId: null } : {}), ...e });
  replace(elements: readonly SceneElement[]): void {
    this.replaced++;
    this.list = elements;
  }
  get(id: string): SceneElement {
    const e = this.list.find((x) => x.id === id);
    if (!e) throw new Error(`no element ${id} in the scene`);
    return e;
  }
  /** The user's doing. */
  add(e: SceneElement): void {
    this.list = [...this.list, e];
  }
  change(id: string, over: Record<string, unknown>): void {
    this.list = this.list.map((e) => (e.id === id ? ({ ...e, ...over, version: e.version + 1, versionNonce: counter++ } as SceneElement) : e));
  }
}
