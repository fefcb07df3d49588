/** Where a scene's elements are, and the view that shows all of them. Pure. */
import { unpackPoints } from "../doc/points";
import type { Props } from "../doc/values";

/** Excalidraw's scroll and zoom: a scene's point is drawn at ((x + scrollX) * zoom, (y + scrollY) * zoom). */
export interface Look {
  readonly scrollX: number;
  readonly scrollY: number;
  readonly zoom: number;
}

export interface Box {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

export type Points = readonly (readonly [number, number])[];

/** An element and what is worked out once about it. */
export interface Shape {
  readonly props: Readonly<Props>;
  readonly points: Points | undefined;
  /** Before it is turned, relative to its x and y. */
  readonly extent: Box;
}

/** How much of the viewport the content fills at most. */
const FILL = 0.85;
const LEAST_ZOOM = 0.1;

export const num = (v: unknown): number => (typeof v === "number" && Number.isFinite(v) ? v : 0);

export function shapeOf(props: Readonly<Props>): Shape {
  const points = props.points instanceof Uint8Array ? unpackPoints(props.points) : undefined;
  if (!points) return { props, points: undefined, extent: { x1: 0, y1: 0, x2: num(props.width), y2: num(props.height) } };
  let [x1, y1, x2, y2] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of points) {
    x1 = Math.min(x1, x);
    y1 = Math.min(y1, y);
    x2 = Math.max(x2, x);
    y2 = Math.max(y2, y);
  }
  return { props, points, extent: { x1, y1, x2, y2 } };
}

/** The middle of an element, about which it is turned, relative to its x and y. */
export function middle({ extent: { x1, y1, x2, y2 } }: Shape): [number, number] {
  return [(x1 + x2) / 2, (y1 + y2) / 2];
}

/** What an element covers in the scene. */
export function boxOf(shape: Shape): Box {
  const { props, extent } = shape;
  const [x, y, angle] = [num(props.x), num(props.y), num(props.angle)];
  const [cx, cy] = middle(shape);
  const [w, h] = [Math.abs(extent.x2 - extent.x1) / 2, Math.abs(extent.y2 - extent.y1) / 2];
  const [sin, cos] = [Math.abs(Math.sin(angle)), Math.abs(Math.cos(angle))];
  const [dx, dy] = [w * cos + h * sin, w * sin + h * cos];
  return { x1: x + cx - dx, y1: y + cy - dy, x2: x + cx + dx, y2: y + cy + dy };
}

/** The view that shows everything in a viewport of that size; undefined for nothing. At most at its natural size. */
export function fit(shapes: readonly Shape[], width: number, height: number): Look | undefined {
  if (shapes.length === 0 || width <= 0 || height <= 0) return undefined;
  let [x1, y1, x2, y2] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const shape of shapes) {
    const box = boxOf(shape);
    x1 = Math.min(x1, box.x1);
    y1 = Math.min(y1, box.y1);
    x2 = Math.max(x2, box.x2);
    y2 = Math.max(y2, box.y2);
  }
  const zoom = Math.max(LEAST_ZOOM, Math.min(1, (FILL * width) / (x2 - x1), (FILL * height) / (y2 - y1)));
  return { scrollX: width / 2 / zoom - (x1 + x2) / 2, scrollY: height / 2 / zoom - (y1 + y2) / 2, zoom };
}
