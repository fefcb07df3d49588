import { describe, expect, test } from "vitest";
import { packPoints } from "../src/doc/points";
import { Shadow } from "../src/doc/shadow";
import { boxOf, fit, shapeOf } from "../src/first/fit";
import { arrowhead, cornerRadius, paint, wobbleOf } from "../src/first/painter";
import { readScene } from "../src/first/scene";
import type { SceneAnswer } from "../src/link/session";
import { Session } from "../src/link/session";
import { Watch } from "../src/board/watch";

const shape = (props: Record<string, unknown>) => shapeOf(props as never);
const box = (x1: number, y1: number, x2: number, y2: number) => ({ x1, y1, x2, y2 });
const rounded = (b: object) => Object.fromEntries(Object.entries(b).map(([k, v]) => [k, Math.round(v as number) + 0]));

/** Notes what is drawn. */
function pen() {
  const calls: string[] = [];
  const context = new Proxy({} as Record<string, unknown>, {
    get: (t, key: string) => (key in t ? t[key] : (...args: unknown[]) => void calls.push([key, ...args.map((a) => (typeof a === "number" ? Math.round(a) : String(a)))].join(" "))),
    set: (t, key: string, value) => ((t[key] = value), true),
  });
  return { calls, context: context as unknown as CanvasRenderingContext2D };
}

describe("first painting", () => {
  test("WG80 where elements are: sizes, points, turned ones", () => {
    expect(boxOf(shape({ type: "rectangle", x: 10, y: 20, width: 100, height: 50 }))).toEqual(box(10, 20, 110, 70));
    expect(boxOf(shape({ type: "freedraw", x: 10, y: 20, width: 1, height: 1, points: packPoints([[0, 0], [-5, 8], [20, 3]]) }))).toEqual(box(5, 20, 30, 28));
    expect(rounded(boxOf(shape({ type: "rectangle", x: 0, y: 0, width: 100, height: 50, angle: Math.PI / 2 })))).toEqual(box(25, -25, 75, 75));
    expect(boxOf(shape({ type: "line", x: 1, y: 2, points: new Uint8Array([255]) }))).toEqual(box(1, 2, 1, 2)); // no points at all
  });

  test("WG80 the view shows everything, at most at its natural size, in the middle", () => {
    expect(fit([], 100, 100)).toBeUndefined();
    const small = fit([shape({ x: 100, y: 100, width: 50, height: 50 })], 800, 600)!;
    expect(small.zoom).toBe(1);
    expect([(125 + small.scrollX) * small.zoom, (125 + small.scrollY) * small.zoom]).toEqual([400, 300]);
    const large = fit([shape({ x: -1000, y: 0, width: 4000, height: 100 })], 800, 600)!;
    expect(large.zoom).toBeCloseTo((0.85 * 800) / 4000);
    expect((-1000 + large.scrollX) * large.zoom).toBeCloseTo(60); // the rest, shared by both sides
    expect(fit([shape({ x: 0, y: 0, width: 1e9, height: 1 })], 800, 600)!.zoom).toBe(0.1);
    expect(fit([shape({ x: 3, y: 4, width: 0, height: 0 })], 800, 600)!.zoom).toBe(1);
  });

  test("WG80 an arrowhead points where its line goes, and is never longer than half of it", () => {
    const [a, b] = arrowhead([0, 0], [100, 0], 2);
    expect([a[0], b[0]].every((x) => x > 70 && x < 100)).toBe(true);
    expect(a[1]).toBeCloseTo(-b[1]);
    const [c] = arrowhead([0, 0], [10, 0], 2);
    expect(Math.hypot(c[0] - 10, c[1])).toBeCloseTo(5);
  });

  test("WG80 corners and the hand's wobble are the element's own, every time", () => {
    const rough = "\u0000" + JSON.stringify({ type: 3 });
    expect([cornerRadius({ roundness: rough }, 40), cornerRadius({ roundness: rough }, 1000), cornerRadius({ roundness: null }, 40)]).toEqual([10, 32, 0]);
    const take = (seed: number) => Array.from({ length: 50 }, wobbleOf(seed, 1));
    expect(take(7)).toEqual(take(7));
    expect(take(7)).not.toEqual(take(8));
    expect(take(2 ** 31 - 1).every((v) => Math.abs(v) <= 1)).toBe(true);
    expect(Array.from({ length: 5 }, wobbleOf(3, 0)).every((v) => Math.abs(v) === 0)).toBe(true);
  });

  test("WG80 what is in sight is drawn, the rest left out, and nothing malformed stops it", () => {
    const { calls, context } = pen();
    const shapes = [
      { type: "rectangle", x: 0, y: 0, width: 10, height: 10, backgroundColor: "#ffc9c9", fillStyle: "solid" },
      { type: "ellipse", x: 0, y: 0, width: 10, height: 10, backgroundColor: "#ffc9c9", fillStyle: "cross-hatch" },
      { type: "diamond", x: 0, y: 0, width: 10, height: 10, angle: 1 },
      { type: "text", x: 0, y: 0, width: 90, height: 25, text: "two\nlines", fontSize: 20, lineHeight: 1.25 },
      { type: "freedraw", x: 0, y: 0, points: packPoints([[0, 0], [5, 5], [9, 1]]) },
      { type: "freedraw", x: 0, y: 0, points: packPoints([[0, 0]]) },
      { type: "arrow", x: 0, y: 0, points: packPoints([[0, 0], [5, 5], [9, 1]]), roundness: "x", endArrowhead: "triangle", startArrowhead: "dot" },
      { type: "line", x: 0, y: 0, points: packPoints([[0, 0]]) },
      { type: "frame", x: 0, y: 0, width: 10, height: 10 },
      { type: "image", x: 0, y: 0, width: 10, height: 10 },
      { type: "rectangle", x: 5000, y: 0, width: 10, height: 10, text: "far away" },
      { type: "line" }, { type: "text", text: 5 }, { type: "no such thing" }, { type: "freedraw", points: "x" }, { x: NaN, type: "rectangle", width: "wide", strokeColor: 7 }, {},
    ].map(shape);
    paint(context, shapes, { scrollX: 5, scrollY: 7, zoom: 0.5 }, 400, 300, 2);
    expect(calls.filter((c) => c.startsWith("setTransform")).length).toBe(1 + shapes.length - 1);
    expect(calls).toContain("setTransform 1 0 0 1 5 7"); // zoom 0.5 on a screen of two pixels per pixel
    expect(calls.filter((c) => c.startsWith("fillText"))).toEqual(["fillText two 0 19 90", "fillText lines 0 44 90"]);
    for (const call of ["rotate 1", "clip", "fill", "ellipse 5 5 5 5 0 0 6", "fillRect 0 0 10 10"]) expect(calls).toContain(call);
    expect(calls.join()).not.toContain("NaN");
  });

  test("WG80 a scene is read in the document's form", () => {
    const elements = readScene({ elements: [{ id: "a", type: "freedraw", points: btoa("\x01\x02"), pressures: "not base64!", x: 1, link: null, odd: { a: 1 } }] });
    expect(elements).toEqual([{ id: "a", props: { type: "freedraw", points: new Uint8Array([1, 2]), x: 1, link: null } }]);
    const columns = readScene({ columns: { id: ["b", "a"], index: ["a2", "a1"], type: ["text", "freedraw"], points: ["\u0123", "$%\u0122"], pressures: [null, 7], link: [null, []], text: ["x", null], odd: [{ a: 1 }] } });
    expect(columns).toEqual([
      { id: "a", props: { index: "a1", type: "freedraw", points: new Uint8Array([1, 2, 255]), link: null } },
      { id: "b", props: { index: "a2", type: "text", text: "x" } },
    ]);
    expect([readScene({ columns: {} }), readScene({ columns: { id: [] } }), readScene({})]).toEqual([[], [], []]);
  });

  test("WG81 signing in ahead asks once, also when it is refused", async () => {
    let asked = 0;
    const openid = () => (asked++, Promise.reject(new Error("blocked")));
    const session = new Session({ roomId: "!r", widgetId: "w", openid });
    await expect(session.begin()).rejects.toThrow("blocked");
    await expect(session.token()).rejects.toThrow("blocked");
    expect(asked).toBe(1);
    await expect(session.token()).rejects.toThrow("blocked");
    expect(asked).toBe(2);
  });
});

describe("watching", () => {
  const answer = (seq: number, elements: NonNullable<SceneAnswer["elements"]>, more: Partial<SceneAnswer> = {}): SceneAnswer => ({ log: "l", seq, epoch: 0, heads: [`h${seq}`], elements, full: false, gone: [], ...more });

  test("WG83 the scene and what changed since, without a document; gone ones go, another log begins anew", async () => {
    const shadow = new Shadow();
    const asked: (number | string | undefined)[] = [];
    const events: string[] = [];
    let next: SceneAnswer | Error = answer(0, []);
    const watch = new Watch({
      shadow,
      session: { scene: (_board, _doc, since) => (asked.push(since), next instanceof Error ? Promise.reject(next) : Promise.resolve(next)) },
      loaded: () => events.push("loaded"),
      changed: (ids) => events.push([...ids].join()),
      problem: () => events.push("problem"),
    });
    const settled = async (n: number) => {
      for (let i = 0; i < 60 && asked.length < n; i++) await new Promise((r) => setTimeout(r, 50));
      await new Promise((r) => setTimeout(r, 5));
    };
    next = answer(5, [{ id: "a", type: "rectangle", x: 1 }, { id: "b", type: "ellipse", x: 2 }], { full: true });
    watch.start("board", "d", "l", 5);
    await settled(1);
    expect([asked, events, watch.shown, watch.heads]).toEqual([["live"], ["loaded"], true, ["h5"]]);
    next = answer(8, [{ id: "a", type: "rectangle", x: 9 }], { gone: ["b", "never seen"] });
    watch.grown(7);
    watch.grown(8);
    await settled(2);
    expect([asked.slice(1), events.slice(1)]).toEqual([[5], ["a,b"]]);
    expect([shadow.get("a")?.x, shadow.get("b")?.isDeleted, shadow.get("never seen")]).toEqual([9, true, undefined]);
    next = new Error("away");
    watch.grown(9);
    await settled(3);
    expect(events.at(-1)).toBe("problem");
    next = answer(2, [{ id: "c", type: "rectangle", x: 3 }], { log: "other", full: true });
    await settled(5); // told that it is another log, asks for all of it
    expect([asked.slice(3), events.at(-1), [...shadow.ids()]]).toEqual([[8, "live"], "loaded", ["c"]]);
    watch.stop();
  });
});
