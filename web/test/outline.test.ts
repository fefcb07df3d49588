import { describe, expect, test } from "vitest";
import { outlineOf } from "../src/board/outline";
import type { SceneElement } from "../src/board/element";

const at = (id: string, type: string, x: number, y: number, more: object = {}) => ({ id, type, x, y, isDeleted: false, ...more }) as unknown as SceneElement;

describe("outline", () => {
  test("OL1 reading order, labels on their shapes, what arrows connect", () => {
    const scene = [
      at("c", "rectangle", 300, 10), at("c-label", "text", 310, 20, { containerId: "c", originalText: "Leaf" }),
      at("b", "ellipse", 10, 20), at("t", "text", 0, 200, { text: "wrapped\nwords", originalText: "wrapped words" }),
      at("a", "arrow", 100, 100, { startBinding: { elementId: "c" }, endBinding: { elementId: "b" } }), at("gone", "text", 0, 0, { isDeleted: true, originalText: "no" }),
      at("half", "arrow", 100, 300, { startBinding: { elementId: "gone" }, endBinding: null }),
    ];
    expect(outlineOf(scene).map((i) => [i.id, i.text, i.from, i.to])).toEqual([["b", "", "", ""], ["c", "Leaf", "", ""], ["a", "", "Leaf", "ellipse"], ["t", "wrapped words", "", ""], ["half", "", "", ""]]);
    expect(outlineOf(scene, true).map((i) => i.id).slice(0, 2)).toEqual(["c", "b"]);
  });
  test("OL1 a label whose shape is gone stands for itself", () => {
    expect(outlineOf([at("t", "text", 0, 0, { containerId: "nowhere", originalText: "alone" })])).toEqual([{ id: "t", kind: "text", text: "alone", from: "", to: "" }]);
  });
});
