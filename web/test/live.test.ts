import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { validProps } from "../src/board/element";
import { CURSOR, decodeShown, encodeShown, PRESENT, decodeCursor, decodeElements, ELEMENTS, encodeCursor, encodeElements, LiveSender } from "../src/board/live";
import { cleanName, Presence } from "../src/board/presence";
import { encodeElement } from "../src/doc/values";
import { encodeItem } from "../src/wire/cbor";
import { rectangle, stroke } from "./support/scene";

const person = (session: number, over = {}) => ({ session, user_id: `@p${session}:e`, name: `P${session}`, role: "participant", external: "", ...over });

describe("live payloads", () => {
  test("WG32 a cursor survives the way", () => {
    const c = { x: 1.5, y: -2, tool: "laser" as const, down: true, selected: ["a"], page: 2 };
    expect(decodeCursor(encodeCursor(c))).toEqual(c);
  });
  test("WG33 payloads that are not understood are not drawn", () => {
    for (const bad of [{ x: "1", y: 2, t: "pointer" }, { x: 1e12, y: 0, t: "pointer" }, { x: 1, y: 2, t: "gun" }, [1], 7, null]) expect(decodeCursor(encodeItem(bad))).toBeUndefined();
    expect(decodeCursor(Uint8Array.of(0xff))).toBeUndefined();
    expect(decodeElements(Uint8Array.of(0x9f)).elements.size).toBe(0);
    expect([0, 3, -1, 1.5, "1", undefined].map((n) => decodeElements(encodeItem([n ?? null, { id: "ok", type: "rectangle" }])).page)).toEqual([0, 3, -1, -1, -1, -1]);
    expect(decodeElements(encodeItem([0, { id: "__proto__", type: "rectangle" }, 3, { id: "ok", type: "rectangle", x: 5, evil: 1 }])).elements.get("ok")).toEqual({ type: "rectangle", x: 5 });
    expect(decodeElements(encodeItem([0, ...Array.from({ length: 20 }, (_, i) => ({ id: `e${i}`, type: "rectangle" }))])).elements.size).toBe(8);
    expect(validProps({ id: "a", x: 1e30, fontFamily: 4, strokeStyle: "wavy", type: "iframe", isDeleted: "no", y: 3 })).toEqual({ y: 3 });
  });
  test("WG32 elements in progress fit into a payload: long strokes lose points, not the frame", () => {
    const points = Array.from({ length: 9_000 }, (_, i) => [Math.sin(i) * 200, i] as [number, number]);
    const payload = encodeElements([{ ...encodeElement(stroke("s", points))!, id: "s" }], 8_192, 0);
    expect(payload.length).toBeGreaterThan(100);
    expect(payload.length).toBeLessThanOrEqual(8_192);
    expect(decodeElements(payload).elements.get("s")!.type).toBe("freedraw");
    const many = encodeElements(Array.from({ length: 30 }, (_, i) => ({ ...encodeElement(rectangle(`r${i}`))!, id: `r${i}` })), 8_192, 0);
    expect(decodeElements(many).elements.size).toBe(8);
  });

  describe("sender", () => {
    beforeEach(() => vi.useFakeTimers());
    afterEach(() => vi.useRealTimers());
    test("WG32 sends at most 30 frames a second, the newest of each slot", () => {
      const sent: [number, number][] = [];
      const sender = new LiveSender((slot, payload) => sent.push([slot, payload[0]!]));
      for (let ms = 0; ms < 1000; ms += 5) {
        sender.set(CURSOR, () => Uint8Array.of(ms / 5));
        sender.set(ELEMENTS, () => Uint8Array.of(ms / 5));
        vi.advanceTimersByTime(5);
      }
      expect(sent.length).toBeLessThanOrEqual(30);
      expect(sent.length).toBeGreaterThan(20);
      expect(sent.filter(([s]) => s === CURSOR).length).toBeGreaterThan(5);
      vi.advanceTimersByTime(200);
      expect(sent.findLast(([s]) => s === ELEMENTS)![1]).toBe(199);
      expect(sent.findLast(([s]) => s === CURSOR)![1]).toBe(199);
    });
  });

  test("WG34 people of other homeservers carry their server's name, and names are cleaned", () => {
    const p = new Presence();
    p.welcome(1);
    p.update(true, [person(1), person(2, { name: "Bo\u202e\u0000b", external: "other.example" })], []);
    expect(p.list().map((x) => [x.label, x.self])).toEqual([["P1", true], ["Bob (other.example)", false]]);
    expect(cleanName("x".repeat(100)).length).toBe(64);
  });
  test("WG33 slots are dropped after five seconds of silence, and when the person leaves", () => {
    let now = 0;
    const p = new Presence(() => now);
    p.welcome(1);
    p.update(true, [person(1), person(2), person(3)], []);
    const cursor = encodeCursor({ x: 1, y: 1, tool: "pointer", down: false, selected: [], page: 0 });
    p.live([{ session: 2, slot: CURSOR, payload: cursor }, { session: 3, slot: CURSOR, payload: cursor }, { session: 1, slot: CURSOR, payload: cursor }]);
    p.live([{ session: 2, slot: ELEMENTS, payload: encodeItem([0, { id: "a", type: "rectangle", x: 1 }]) }]);
    expect([p.collaborators().size, p.liveElements().size]).toEqual([2, 1]); // never oneself
    p.settled(new Set(["a"]));
    expect(p.liveElements().size).toBe(0);
    p.update(false, [], [3]);
    expect(p.collaborators().size).toBe(1);
    now = 5_001;
    expect(p.sweep()).toEqual({ cursors: true, elements: true });
    expect(p.collaborators().size).toBe(0);
  });
  test("PR1 PR3 the moderator who began last presents; what is no view, or of nobody who moderates, is nothing", () => {
    let now = 0;
    const p = new Presence(() => now);
    p.welcome(1);
    p.update(true, [person(1), person(2, { role: "moderator" }), person(3, { role: "moderator" }), person(4)], []);
    const view = (x: number) => encodeShown({ page: 0, x, y: 0, width: 100, height: 50 });
    const tell = (session: number, payload: Uint8Array) => p.live([{ session, slot: PRESENT, payload }]);
    tell(4, view(4)); // a student
    expect(p.presenter()).toBeUndefined();
    tell(2, view(2));
    now = 10;
    tell(3, view(3));
    tell(2, view(5));
    expect([p.presenter()?.who.session, p.presenter()?.shown.x]).toEqual([3, 3]);
    tell(3, new Uint8Array());
    expect([p.presenter()?.who.session, p.presenter()?.shown.x]).toEqual([2, 5]);
    for (const bad of [encodeItem({ p: -1, x: 0, y: 0, w: 1, h: 1 }), encodeItem({ p: 0, x: 0, y: 0, w: 0, h: 1 }), encodeItem([1]), new Uint8Array([255])]) expect(decodeShown(bad)).toBeUndefined();
    now = 6_000;
    p.sweep();
    expect(p.presenter()).toBeUndefined();
  });
  test("PR4 cursors with names, without, and not at all", () => {
    const p = new Presence();
    p.welcome(1);
    p.update(true, [person(1), person(2)], []);
    p.live([{ session: 2, slot: CURSOR, payload: encodeCursor({ x: 1, y: 1, tool: "pointer", down: false, selected: [], page: 0 }) }]);
    expect([p.collaborators("names").get("2")?.username, p.collaborators("plain").get("2")?.username, p.collaborators("none").size]).toEqual(["P2", "", 0]);
  });
});
