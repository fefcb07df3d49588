/**
 * Draws a scene roughly as Excalidraw does, long before Excalidraw is there: the first thing a joiner sees. It draws elements of the document
 * as they are; what it does not understand it leaves out, for the second until the real thing covers it.
 */
import type { Props } from "../doc/values";
import { boxOf, middle, num, type Look, type Points, type Shape } from "./fit";

type Context = CanvasRenderingContext2D;

/** Of a stroke whose width follows the pen, on average. */
const FREEHAND_WIDTH = 5.2;
const FONTS: Readonly<Record<number, string>> = {
  1: "Virgil, Excalifont, cursive", 2: "Helvetica, Arial, sans-serif", 3: "Cascadia, monospace", 5: "Excalifont, Virgil, cursive", 6: "Nunito, sans-serif",
  7: '"Lilita One", sans-serif', 8: '"Comic Shanns", monospace', 9: '"Liberation Sans", Arial, sans-serif',
};
const ARROWHEAD = 0.35; // radians between an arrowhead's side and its line

/** Paints what is in sight. */
export function paint(c: Context, shapes: readonly Shape[], look: Look, width: number, height: number, ratio: number): void {
  c.setTransform(1, 0, 0, 1, 0, 0);
  c.globalAlpha = 1;
  for (const shape of shapes) {
    const box = boxOf(shape);
    const [left, top] = [(box.x1 + look.scrollX) * look.zoom, (box.y1 + look.scrollY) * look.zoom];
    const [right, bottom] = [(box.x2 + look.scrollX) * look.zoom, (box.y2 + look.scrollY) * look.zoom];
    if (right < -50 || bottom < -50 || left > width + 50 || top > height + 50) continue;
    const { props } = shape;
    const scale = look.zoom * ratio;
    c.setTransform(scale, 0, 0, scale, (num(props.x) + look.scrollX) * scale, (num(props.y) + look.scrollY) * scale);
    const angle = num(props.angle);
    if (angle !== 0) {
      const [cx, cy] = middle(shape);
      c.translate(cx, cy);
      c.rotate(angle);
      c.translate(-cx, -cy);
    }
    element(c, shape);
  }
}

function element(c: Context, shape: Shape): void {
  const { props, points } = shape;
  c.globalAlpha = num(props.opacity ?? 100) / 100;
  c.strokeStyle = colour(props.strokeColor);
  c.lineWidth = num(props.strokeWidth ?? 2);
  c.lineCap = c.lineJoin = "round";
  c.setLineDash(dashes(props));
  const [w, h] = [num(props.width), num(props.height)];
  const type = String(props.type);
  switch (type) {
    case "rectangle":
      return outlined(c, props, (wobble) => rectangle(c, w, h, cornerRadius(props, Math.min(Math.abs(w), Math.abs(h))), wobble));
    case "diamond":
      return outlined(c, props, (wobble) => polygon(c, [[w / 2, 0], [w, h / 2], [w / 2, h], [0, h / 2]], wobble, true));
    case "ellipse":
      return outlined(c, props, (wobble) => c.ellipse(w / 2, h / 2, Math.abs(w / 2 + wobble() / 2), Math.abs(h / 2 + wobble() / 2), 0, 0, 2 * Math.PI));
    case "line":
    case "arrow":
      return points && line(c, props, points);
    case "freedraw":
      return points && freehand(c, props, points);
    case "text":
      return text(c, props);
    case "frame":
      c.strokeStyle = "#bbbbbb";
      c.setLineDash([]);
      c.beginPath();
      rectangle(c, w, h, 8, straight);
      return c.stroke();
    case "image":
      c.fillStyle = "#e9ecef";
      return c.fillRect(0, 0, w, h);
  }
}

const colour = (v: unknown): string => (typeof v === "string" && v !== "" ? v : "#1e1e1e");

function dashes(props: Readonly<Props>): number[] {
  const width = num(props.strokeWidth ?? 2);
  return props.strokeStyle === "dashed" ? [8, 8 + width] : props.strokeStyle === "dotted" ? [1.5, 6 + width] : [];
}

/** Adaptive corners as Excalidraw's (roundness type 3), or proportional ones. */
export function cornerRadius(props: Readonly<Props>, side: number): number {
  const type = /"type":(\d)/.exec(typeof props.roundness === "string" ? props.roundness : "")?.[1];
  return type === undefined ? 0 : type === "3" ? Math.min(32, side / 4) : side / 4;
}

type Wobble = () => number;
const straight: Wobble = () => 0;

/** Small offsets in both directions, the same for the same element: the hand of somebody who draws quickly. */
export function wobbleOf(seed: number, roughness: number): Wobble {
  let s = (seed % 2147483646) + 1;
  return () => {
    s = (s * 48271) % 2147483647;
    return (s / 2147483647 - 0.5) * 2 * roughness;
  };
}

/** A closed shape: filled once, its outline drawn twice where it is rough. */
function outlined(c: Context, props: Readonly<Props>, path: (wobble: Wobble) => void): void {
  const wobble = wobbleOf(num(props.seed), Math.min(2, num(props.roughness ?? 1)));
  if (typeof props.backgroundColor === "string" && props.backgroundColor !== "transparent" && props.backgroundColor !== "") {
    c.beginPath();
    path(straight);
    if (props.fillStyle === "solid") {
      c.fillStyle = props.backgroundColor;
      c.fill();
    } else hatch(c, props);
  }
  stroke(c, props, wobble, path);
}

function stroke(c: Context, props: Readonly<Props>, wobble: Wobble, path: (wobble: Wobble) => void): void {
  if (props.strokeColor === "transparent") return;
  c.beginPath();
  path(wobble);
  if (num(props.roughness ?? 1) > 0 && (props.strokeStyle ?? "solid") === "solid") path(wobble);
  c.stroke();
}

/** Fills the present path with slanted lines. */
function hatch(c: Context, props: Readonly<Props>): void {
  const [w, h] = [num(props.width), num(props.height)];
  const gap = 4 * Math.max(1, num(props.strokeWidth ?? 2));
  c.save();
  c.clip();
  c.setLineDash([]);
  c.strokeStyle = colour(props.backgroundColor);
  c.lineWidth = num(props.strokeWidth ?? 2) / 2;
  c.beginPath();
  for (let x = Math.min(0, w) - Math.abs(h); x < Math.max(0, w); x += gap) {
    c.moveTo(x, Math.max(0, h));
    c.lineTo(x + Math.abs(h), Math.min(0, h));
    if (props.fillStyle !== "cross-hatch") continue;
    c.moveTo(x, Math.min(0, h));
    c.lineTo(x + Math.abs(h), Math.max(0, h));
  }
  c.stroke();
  c.restore();
}

function rectangle(c: Context, w: number, h: number, r: number, wobble: Wobble): void {
  if (r === 0) return polygon(c, [[0, 0], [w, 0], [w, h], [0, h]], wobble, true);
  c.roundRect(wobble(), wobble(), w + wobble(), h + wobble(), r);
}

function polygon(c: Context, points: Points, wobble: Wobble, closed: boolean): void {
  const ends = closed ? [...points, points[0]!] : points;
  if (wobble === straight) {
    // in one piece, so that it can be filled
    ends.forEach(([x, y], i) => (i === 0 ? c.moveTo(x, y) : c.lineTo(x, y)));
    return;
  }
  for (let i = 1; i < ends.length; i++) {
    const [[ax, ay], [bx, by]] = [ends[i - 1]!, ends[i]!];
    c.moveTo(ax + wobble(), ay + wobble());
    c.quadraticCurveTo((ax + bx) / 2 + wobble(), (ay + by) / 2 + wobble(), bx + wobble(), by + wobble());
  }
}

/** Through all points, smoothly (Catmull-Rom as Béziers). */
function curve(c: Context, points: Points, wobble: Wobble): void {
  c.moveTo(points[0]![0], points[0]![1]);
  for (let i = 1; i < points.length; i++) {
    const [p0, p1, p2, p3] = [points[i - 2] ?? points[i - 1]!, points[i - 1]!, points[i]!, points[i + 1] ?? points[i]!];
    c.bezierCurveTo(p1[0] + (p2[0] - p0[0]) / 6 + wobble(), p1[1] + (p2[1] - p0[1]) / 6 + wobble(), p2[0] - (p3[0] - p1[0]) / 6 + wobble(), p2[1] - (p3[1] - p1[1]) / 6 + wobble(), p2[0], p2[1]);
  }
}

function line(c: Context, props: Readonly<Props>, points: Points): void {
  if (points.length < 2) return;
  const round = props.roundness !== null && props.roundness !== undefined && points.length > 2 && props.elbowed !== true;
  const [first, last] = [points[0]!, points[points.length - 1]!];
  const path = (wobble: Wobble) => (round ? curve(c, points, wobble) : polygon(c, points, wobble, false));
  const area = props.type === "line" && Math.hypot(first[0] - last[0], first[1] - last[1]) < 8 && points.length > 3;
  if (area) outlined(c, props, path);
  else stroke(c, props, wobbleOf(num(props.seed), Math.min(1, num(props.roughness ?? 1))), path);
  if (props.type !== "arrow") return;
  c.setLineDash([]);
  head(c, props, props.startArrowhead, points[1]!, first);
  head(c, props, props.endArrowhead, points[points.length - 2]!, last);
}

type Point = readonly [number, number];

/** The two ends of an arrowhead's sides, for a line that comes from `from`. */
export function arrowhead(from: Point, tip: Point, strokeWidth: number): [Point, Point] {
  const length = Math.hypot(tip[0] - from[0], tip[1] - from[1]);
  const size = Math.min(20 + 2 * Math.max(0, strokeWidth - 2), length / 2);
  const angle = Math.atan2(tip[1] - from[1], tip[0] - from[0]);
  const end = (turn: number): Point => [tip[0] - size * Math.cos(angle + turn), tip[1] - size * Math.sin(angle + turn)];
  return [end(ARROWHEAD), end(-ARROWHEAD)];
}

function head(c: Context, props: Readonly<Props>, kind: unknown, from: Point, tip: Point): void {
  if (typeof kind !== "string") return;
  const [a, b] = arrowhead(from, tip, num(props.strokeWidth ?? 2));
  c.beginPath();
  if (/dot|circle/.test(kind)) c.arc(tip[0], tip[1], 2 * num(props.strokeWidth ?? 2) + 2, 0, 2 * Math.PI);
  else {
    c.moveTo(a[0], a[1]);
    c.lineTo(tip[0], tip[1]);
    c.lineTo(b[0], b[1]);
    if (kind !== "arrow") c.closePath();
  }
  c.fillStyle = c.strokeStyle;
  if (/^(dot|circle|triangle|diamond)$/.test(kind)) c.fill();
  c.stroke();
}

function freehand(c: Context, props: Readonly<Props>, points: Points): void {
  c.setLineDash([]);
  c.lineWidth = num(props.strokeWidth ?? 2) * FREEHAND_WIDTH;
  c.beginPath();
  c.moveTo(points[0]![0], points[0]![1]);
  for (let i = 1; i < points.length - 1; i++) {
    const [[x, y], next] = [points[i]!, points[i + 1]!];
    c.quadraticCurveTo(x, y, (x + next[0]) / 2, (y + next[1]) / 2);
  }
  const last = points[points.length - 1]!;
  c.lineTo(last[0] + (points.length === 1 ? 0.01 : 0), last[1]);
  c.stroke();
}

function text(c: Context, props: Readonly<Props>): void {
  const words = typeof props.text === "string" ? props.text : props.originalText;
  if (typeof words !== "string") return;
  const size = num(props.fontSize ?? 20);
  const height = size * num(props.lineHeight ?? 1.25);
  const width = num(props.width);
  c.font = `${size}px ${FONTS[num(props.fontFamily ?? 5)] ?? FONTS[5]}`;
  c.fillStyle = colour(props.strokeColor);
  c.textBaseline = "alphabetic";
  c.textAlign = props.textAlign === "center" || props.textAlign === "right" ? props.textAlign : "left";
  const x = props.textAlign === "center" ? width / 2 : props.textAlign === "right" ? width : 0;
  // The element's own fonts may not be here yet: another one is squeezed into the same width.
  words.split("\n").forEach((line, i) => c.fillText(line, x, i * height + height / 2 + size * 0.32, Math.max(1, width)));
}
