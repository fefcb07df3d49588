import { describe, expect, test } from "vitest";
import grammar from "../../crdt/schema/testdata/properties.json";
import { decodeElement } from "../src/board/element";
import { packPoints, unpackPoints } from "../src/doc/points";
import { encodeElement, encodeValue, rules, validID } from "../src/doc/values";
import { pick, seeded } from "./support/random";
import { rectangle, stroke, words } from "./support/scene";

describe("values", () => {
  test("WG12 the property table is the server's", () => {
    expect(Object.keys(rules).sort()).toEqual(Object.keys(grammar.properties).sort());
    const written = [rectangle("a"), stroke("b", [[0, 0], [1, 1]]), words("c", "x")].flatMap((e) => Object.keys(e));
    const unknown = new Set(written.filter((k) => !(k in rules) && !grammar.notStored.includes(k)));
    expect([...unknown]).toEqual([]);
  });
  test("WG12 every kind in the table has an encoding", () => {
    for (const [key, rule] of Object.entries(rules)) {
      const good = { null: null, bool: true, string: rule.words?.[0] ?? "abc", number: rule.numbers?.[0] ?? rule.max ?? 1, bytes: key === "points" ? [[0, 0]] : [0.5], text: "t" } as Record<string, unknown>;
      for (const kind of rule.kinds) {
        const value = kind === "string" && rule.format?.startsWith("json") ? (rule.format === "json-array" ? [] : {}) : kind === "string" && rule.format === "link" ? "https://a.example/" : good[kind];
        expect([key, kind, encodeValue(key, value)]).not.toEqual([key, kind, undefined]);
      }
    }
  });
  test("WG12 values that the server would refuse are not written", () => {
    expect(encodeValue("x", NaN)).toBeUndefined();
    expect(encodeValue("x", Infinity)).toBeUndefined();
    expect(encodeValue("x", 1e12)).toBe(1e9);
    expect(Object.is(encodeValue("x", -0), 0)).toBe(true);
    expect(encodeValue("strokeStyle", "wavy")).toBeUndefined();
    expect(encodeValue("link", "javascript:alert(1)")).toBeNull();
    expect(encodeValue("strokeColor", "url(x)\u0000")).toBeUndefined();
    expect(encodeValue("unheard", 1)).toBeUndefined();
    expect(encodeValue("customData", { a: "x".repeat(5000) })).toBeNull();
    expect(encodeValue("fontFamily", 4)).toBeUndefined();
    expect(encodeValue("text", "a\ud800b")).toBe("a\ufffdb");
    expect((encodeValue("text", "ä".repeat(20_000)) as string).length).toBeLessThanOrEqual(15_500);
    expect(encodeElement({ ...rectangle("e"), type: "embeddable" })).toBeUndefined();
    expect(encodeElement(stroke("s", []))).toBeUndefined();
    expect(validID("__proto__")).toBe(false);
    expect(validID("ü")).toBe(false);
  });
  test("WG13 points survive packing to 1/8 px", () => {
    const random = seeded(3);
    for (let i = 0; i < 200; i++) {
      const points = Array.from({ length: 1 + Math.floor(random() * 40) }, () => [(random() - 0.5) * pick(random, [10, 1e4, 1e8]), (random() - 0.5) * 1e5] as [number, number]);
      const back = unpackPoints(packPoints(points))!;
      expect(back.length).toBe(points.length);
      back.forEach(([x, y], n) => {
        expect(Math.abs(x - points[n]![0])).toBeLessThanOrEqual(1 / 16);
        expect(Math.abs(y - points[n]![1])).toBeLessThanOrEqual(1 / 16);
      });
      expect(packPoints(back)).toEqual(packPoints(points));
    }
  });
  test("WG13 bytes that are not whole points are refused", () => {
    for (const bytes of [[], [1], [1, 0x80], [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0]]) expect(unpackPoints(Uint8Array.from(bytes))).toBeUndefined();
  });
  test("WG13 an hour-long stroke fits into one change", () => {
    const points = Array.from({ length: 60_000 }, (_, i) => [Math.sin(i) * 300, i / 3] as [number, number]);
    const props = encodeElement(stroke("s", points, { pressures: points.map(() => 0.3), simulatePressure: false }))!;
    const bytes = (props.points as Uint8Array).length + (props.pressures as Uint8Array).length;
    expect(bytes).toBeLessThanOrEqual(28_000);
    expect(unpackPoints(props.points as Uint8Array)!.length).toBe((props.pressures as Uint8Array).length);
  });
  test("WG14 what others wrote inside structured values is checked before it is drawn", () => {
    const base = encodeElement(rectangle("a"))!;
    expect(decodeElement("a", { ...base, roundness: "\u0000{\"type\":\"x\"}" })).not.toHaveProperty("roundness");
    expect(decodeElement("a", { ...base, groupIds: "\u0000[1]" })).not.toHaveProperty("groupIds");
    expect(decodeElement("a", { ...base, groupIds: "\u0000{broken" })).not.toHaveProperty("groupIds");
    expect(decodeElement("a", { ...base, type: "iframe" })).toBeUndefined();
    expect(decodeElement("a", { ...encodeElement(stroke("a", [[0, 0]]))!, points: Uint8Array.of(0x80) })).toBeUndefined();
  });
});
