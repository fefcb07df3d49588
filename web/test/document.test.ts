import { beforeAll, describe, expect, test } from "vitest";
import * as A from "@automerge/automerge/slim";
import { PageDocument } from "../src/doc/core";
import { difference, rebase } from "../src/doc/split";
import { encodeElement, type Props } from "../src/doc/values";
import { actor, genesis, startEngine } from "./support/document";
import { pick, seeded } from "./support/random";
import { rectangle, stroke, words } from "./support/scene";

beforeAll(startEngine);

const create = (e: ReturnType<typeof rectangle>) => ({ id: e.id, create: true, props: encodeElement(e)! });
const put = (id: string, props: Props, textBase?: string) => ({ id, create: false, props, ...(textBase === undefined ? {} : { textBase }) });
const splice = (text: string, s: { at: number; remove: number; insert: string }) => text.slice(0, s.at) + s.insert + text.slice(s.at + s.remove);

describe("document", () => {
  test("WG15 two documents from the genesis merge in either order", () => {
    const [a, b] = [new PageDocument(genesis, actor(1)), new PageDocument(genesis, actor(2))];
    const x = a.commit([create(rectangle("r"))]).changes;
    const y = b.commit([create(words("t", "hello"))]).changes;
    a.apply(y);
    b.apply(x);
    expect(a.heads()).toEqual(b.heads());
    expect(a.elements()).toEqual(b.elements());
    expect(Object.keys(a.elements()).sort()).toEqual(["r", "t"]);
  });
  test("WG15 strings are registers, originalText is text", () => {
    const a = new PageDocument(genesis, actor(1));
    const [change] = a.commit([create(words("t", "hi"))]).changes;
    const ops = A.decodeChange(change!).ops;
    expect(ops.filter((o) => o.action === "makeText").map((o) => o.key)).toEqual(["originalText"]);
    expect(ops.some((o) => o.key === "strokeColor" && o.action === "set" && (o as { value?: unknown }).value === "#1e1e1e")).toBe(true);
  });
  test("WG15 a report names what changed, and nothing twice", () => {
    const [a, b] = [new PageDocument(genesis, actor(1)), new PageDocument(genesis, actor(2))];
    const made = a.commit([create(rectangle("r"))]).changes;
    expect(b.apply(made)[0]!.props).toEqual(a.elements().r);
    const moved = a.commit([put("r", { x: 55 })]).changes;
    expect(b.apply(moved)).toEqual([{ id: "r", props: { x: 55 } }]);
    expect(b.apply(moved)).toEqual([]);
  });
  test("WG16 five hundred pasted rectangles become changes that the server takes", () => {
    const a = new PageDocument(genesis, actor(1));
    const { changes } = a.commit(Array.from({ length: 500 }, (_, i) => create(rectangle(`rectangle-${i}`, { x: i * 1.37 }))));
    expect(changes.length).toBeGreaterThan(1);
    for (const c of changes) {
      expect(c.length).toBeLessThanOrEqual(32_768);
      expect(A.decodeChange(c).ops.length).toBeLessThanOrEqual(5_000);
    }
    const b = new PageDocument(genesis, actor(2));
    b.apply(changes);
    expect(Object.keys(b.elements()).length).toBe(500);
  });
  test("WG16 the longest text the server takes is written in pieces", () => {
    const a = new PageDocument(genesis, actor(1));
    const text = "The quick brown fox ".repeat(1000);
    const { changes } = a.commit([create(words("t", text))]);
    for (const c of changes) {
      expect(c.length).toBeLessThanOrEqual(32_768);
      expect(A.decodeChange(c).ops.length).toBeLessThanOrEqual(5_000);
    }
    expect(a.elements().t!.originalText).toBe(text);
    expect(a.elements().t!.text).toBe(text);
  });
  test("WG16 the largest stroke is within the limits", () => {
    const a = new PageDocument(genesis, actor(1));
    const points = Array.from({ length: 40_000 }, (_, i) => [Math.sin(i) * 300, i / 3] as [number, number]);
    const { changes } = a.commit([create(stroke("s", points, { pressures: points.map((_, i) => (i % 100) / 100), simulatePressure: false }))]);
    for (const c of changes) expect(c.length).toBeLessThanOrEqual(32_768);
  });
  test("WG17 two people typing in one text keep both", () => {
    const [a, b] = [new PageDocument(genesis, actor(1)), new PageDocument(genesis, actor(2))];
    b.apply(a.commit([create(words("t", "one two"))]).changes);
    const x = a.commit([put("t", { originalText: "zero one two" }, "one two")]).changes;
    const y = b.commit([put("t", { originalText: "one two three" }, "one two")]).changes;
    a.apply(y);
    b.apply(x);
    expect(a.elements().t!.originalText).toBe("zero one two three");
    expect(b.elements()).toEqual(a.elements());
  });
  test("WG17 an edit based on an older text does not take back what arrived meanwhile", () => {
    expect(rebase("abc", "abcX", "Yabc").reduce(splice, "Yabc")).toBe("YabcX");
    expect(rebase("abc", "Xabc", "abcY").reduce(splice, "abcY")).toBe("XabcY");
    expect(rebase("hello world", "hello", "hello big world").reduce(splice, "hello big world")).not.toContain("world");
    expect(rebase("a", "b", "c").reduce(splice, "c")).toBe("cb");
    const random = seeded(11);
    for (let i = 0; i < 2000; i++) {
      const text = () => Array.from({ length: Math.floor(random() * 8) }, () => pick(random, ["a", "b", "😀"])).join("");
      const [base, wanted, now] = [text(), text(), text()];
      const d = difference(base, wanted);
      expect(d ? splice(base, d) : base).toBe(wanted);
      expect(rebase(base, wanted, base).reduce(splice, base)).toBe(wanted);
      const merged = rebase(base, wanted, now).reduce(splice, now);
      expect(merged.isWellFormed()).toBe(true);
      for (const s of rebase(base, wanted, now)) expect(s.at + s.remove).toBeLessThanOrEqual(now.length);
    }
  });
  test("WG18 a restored document is told what it lacks, of our own changes only", () => {
    const a = new PageDocument(genesis, actor(1));
    const b = new PageDocument(genesis, actor(2));
    const mine = a.commit([create(rectangle("mine"))]).changes;
    const theirs = b.commit([create(rectangle("theirs"))]).changes;
    a.apply(theirs);
    const restored = new PageDocument(genesis, actor(3));
    restored.apply(mine);
    const later = a.commit([put("mine", { x: 5 })]).changes;
    const missing = restored.missing(a, ["01".repeat(16)]);
    expect(missing).toEqual(later);
  });
});
