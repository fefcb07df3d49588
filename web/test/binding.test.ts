import { beforeAll, describe, expect, test } from "vitest";
import { Binding } from "../src/board/binding";
import { byIndex, deriveBound, jitterIndex, type SceneElement } from "../src/board/element";
import { Page } from "../src/doc/page";
import type { Entry } from "../src/wire/frames";
import { actor, QueuedWorker, startEngine } from "./support/document";
import { pick, seeded } from "./support/random";
import { FakeScene, rectangle, stroke, words } from "./support/scene";

beforeAll(startEngine);

const entry = (bytes: Uint8Array): Entry => ({ doc: "page", epoch: 0, kind: 1, actor: actor(0), bytes });

const fresh = { bytes: undefined, epoch: 0 };

/** One person: scene, binding, page and worker. Changes wait in `out` until somebody carries them. */
class Person {
  readonly scene = new FakeScene();
  readonly worker = new QueuedWorker();
  readonly out: Uint8Array[] = [];
  readonly sent: { id: number; bytes: Uint8Array }[] = [];
  readonly refused: string[] = [];
  readonly page: Page;
  readonly binding: Binding;
  constructor(n: number, holdElements = true, random: () => number = seeded(n)) {
    this.page = new Page(this.worker, {
      send: ({ changes }) => {
        this.sent.push(...changes);
        this.out.push(...changes.map((c) => c.bytes));
      },
      changed: (ids) => this.binding.remote(ids),
      loaded: () => this.binding.reload(),
      broken: () => {
        throw new Error("the engine stopped");
      },
      refused: (_gesture, writes) => this.refused.push(...writes.map((w) => w.id)),
      quiet: () => undefined,
      have: () => undefined,
    });
    this.binding = new Binding(this.scene, this.page, { holdElements, random });
    this.page.load(fresh, actor(n));
    this.worker.run();
  }
  commit(): void {
    this.binding.commit(this.scene.list);
  }
  /** Applies without the batching timer of entries(). */
  receive(changes: readonly Uint8Array[]): void {
    this.worker.post({ type: "apply", changes });
    this.worker.run();
  }
  shown(): unknown[] {
    return [...this.scene.list].sort(byIndex).map(({ version: _v, versionNonce: _n, updated: _u, lastCommittedPoint: _l, boundElements, ...e }) => ({
      ...e,
      bound: (boundElements ?? []).map((b) => b.id).sort(),
    }));
  }
}

const exchange = (a: Person, b: Person) => {
  for (let i = 0; i < 6; i++) {
    a.worker.run();
    b.worker.run();
    const [x, y] = [a.out.splice(0), b.out.splice(0)];
    if (x.length + y.length === 0) return;
    b.receive(x);
    a.receive(y);
  }
};

describe("binding", () => {
  test("WG20 what one draws the other sees, equal to the last digit", () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(rectangle("r", { x: 1.23456, index: "a1" }));
    a.scene.add(stroke("s", [[0, 0], [1.03, 2.22], [7.7, 9.9]], { index: "a2" }));
    a.scene.add(words("t", "hi", { index: "a3" }));
    a.commit();
    exchange(a, b);
    expect(b.shown()).toEqual(a.shown());
    expect(b.page.shadow.get("r")!.x).toBe(1.23);
    expect(b.scene.list.map((e) => e.id)).toEqual(["r", "s", "t"]);
  });
  test("WG20 applying others' work writes nothing back", () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(rectangle("r"));
    a.commit();
    exchange(a, b);
    b.commit();
    b.worker.run();
    expect(b.out).toEqual([]);
  });
  test("WG21 a remote colour that arrives during a drag is not written back to the old value", () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(rectangle("r"));
    a.commit();
    exchange(a, b);
    a.scene.hold.add("r");
    a.scene.change("r", { x: 50 });
    b.scene.change("r", { strokeColor: "#e03131" });
    b.commit();
    exchange(a, b);
    expect(a.scene.get("r").strokeColor).toBe("#1e1e1e"); // in the hand: not touched
    expect(a.binding.waiting).toBe(1);
    a.scene.change("r", { x: 80 });
    a.scene.hold.clear();
    a.commit();
    exchange(a, b);
    for (const p of [a, b]) expect(p.scene.get("r")).toMatchObject({ x: 80, strokeColor: "#e03131" });
  });
  test("WG21 without the queue of held elements a drag's undo would take the other's colour along", () => {
    const [a, b] = [new Person(1, false), new Person(2)];
    a.scene.add(rectangle("r"));
    a.commit();
    exchange(a, b);
    a.scene.hold.add("r");
    a.scene.change("r", { x: 50 });
    b.scene.change("r", { strokeColor: "#e03131" });
    b.commit();
    exchange(a, b);
    expect(a.scene.get("r").strokeColor).toBe("#e03131"); // touched in the hand: what the queue prevents
  });
  test("WG21 others' work that arrives before the editor has told of a change does not undo the change", () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(rectangle("r"));
    a.commit();
    exchange(a, b);
    b.scene.change("r", { strokeColor: "#e03131" });
    b.commit();
    b.worker.run();
    a.scene.change("r", { x: 80 }); // dropped; Excalidraw calls onChange a little later
    a.receive(b.out.splice(0));
    expect(a.scene.get("r")).toMatchObject({ x: 80, strokeColor: "#1e1e1e" });
    expect(a.binding.waiting).toBe(1);
    a.binding.showLive(new Map([["r", { type: "rectangle", x: 300 }]])); // a frame that comes late
    expect(a.scene.get("r").x).toBe(80);
    a.commit();
    exchange(a, b);
    for (const p of [a, b]) expect(p.scene.get("r")).toMatchObject({ x: 80, strokeColor: "#e03131" });
  });
  test("WG21 what the editor of someone who may only look changes by itself keeps nothing out", () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(rectangle("r"));
    a.commit();
    exchange(a, b);
    b.scene.change("r", { index: "a5" }); // a repair
    a.scene.change("r", { x: 80 });
    a.commit();
    exchange(a, b);
    expect(b.scene.get("r").x).toBe(10);
    b.binding.disown(b.scene.list);
    expect(b.scene.get("r")).toMatchObject({ x: 80, index: a.scene.get("r").index });
    b.commit();
    b.worker.run();
    expect(b.out).toEqual([]);
  });
  test("WG17 undoing and redoing one's own words leaves others' words in the text", () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(words("t", "one"));
    a.commit();
    exchange(a, b);
    const type = (p: Person, text: string) => {
      p.scene.change("t", { text, originalText: text });
      p.commit();
      exchange(a, b);
    };
    type(a, "one two");
    type(b, "one two three");
    type(a, "one"); // undo, as Excalidraw does it
    for (const p of [a, b]) expect(p.scene.get("t")).toMatchObject({ originalText: "one three", text: "one three" });
    type(b, "one three four");
    type(a, "one two three"); // redo
    for (const p of [a, b]) expect(String(p.scene.get("t").originalText).split(" ").sort()).toEqual(["four", "one", "three", "two"]);
    type(a, "one three four"); // undo again: now to what was there before the redo
    for (const p of [a, b]) expect(p.scene.get("t").originalText).toBe("one three four");
    type(a, "one"); // and this is typing, not undo
    for (const p of [a, b]) expect(p.scene.get("t").originalText).toBe("one");
    expect(b.shown()).toEqual(a.shown());
  });
  test("WG22 live elements of others are shown and never written", () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(stroke("s", [[0, 0], [5, 5]], { index: "a1" }));
    const live = new Map([["s", a.binding.inProgress(a.scene.get("s"))!]]);
    b.binding.showLive(live);
    expect(b.scene.get("s")).toMatchObject({ type: "freedraw", locked: true });
    b.scene.change("s", { isDeleted: true }); // whatever Excalidraw does to it
    b.commit();
    b.worker.run();
    expect(b.out).toEqual([]);
    a.commit();
    exchange(a, b);
    expect(b.scene.get("s")).toMatchObject({ locked: false, isDeleted: false });
    expect(b.shown()).toEqual(a.shown());
    b.binding.showLive(new Map());
    expect(b.shown()).toEqual(a.shown());
  });
  test("WG22 a live move is shown over the element, and touching it writes only one's own change", () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(rectangle("r"));
    a.commit();
    exchange(a, b);
    a.scene.change("r", { x: 99 });
    b.binding.showLive(new Map([["r", a.binding.inProgress(a.scene.get("r"))!]]));
    expect(b.scene.get("r").x).toBe(99);
    b.scene.change("r", { strokeColor: "#2f9e44" });
    b.commit();
    b.worker.run();
    expect(b.page.shadow.get("r")).toMatchObject({ x: 10, strokeColor: "#2f9e44" });
    b.binding.showLive(new Map()); // the other let go without moving
    expect(b.scene.get("r")).toMatchObject({ x: 10, strokeColor: "#2f9e44" });
  });
  test("WG22 words that another is typing into a text are not taken for one's own", () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(words("t", "one two"));
    a.commit();
    exchange(a, b);
    a.scene.change("t", { text: "x", originalText: "x" }); // typing over all of it
    b.binding.showLive(new Map([["t", a.binding.inProgress(a.scene.get("t"))!]]));
    const text = `${String(b.scene.get("t").originalText)} three`;
    b.scene.change("t", { text, originalText: text });
    b.commit();
    b.worker.run();
    expect(b.page.shadow.get("t")!.originalText).toBe("one two three");
    b.binding.showLive(new Map());
    a.commit();
    exchange(a, b);
    for (const p of [a, b]) expect(p.scene.get("t").originalText).toBe("x three");
  });
  test("WG22 a ghost that is let go of disappears", () => {
    const b = new Person(2);
    b.binding.showLive(new Map([["g", { type: "rectangle", x: 1, y: 2, width: 3, height: 4 }]]));
    expect(b.scene.list.length).toBe(1);
    b.binding.showLive(new Map());
    expect(b.scene.list.length).toBe(0);
  });
  test("WG23 a local write older reports cannot undo", () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(rectangle("r"));
    a.commit();
    exchange(a, b);
    b.scene.change("r", { x: 300 });
    b.commit();
    b.worker.run();
    a.worker.post({ type: "apply", changes: b.out.splice(0) }); // waits in the worker
    a.scene.change("r", { x: 400 });
    a.commit(); // later than the other's, and in the queue behind it
    a.worker.run(1);
    expect(a.scene.get("r").x).toBe(400); // no flicker back to 300
    exchange(a, b);
    for (const p of [a, b]) expect(p.scene.get("r").x).toBe(400);
  });
  test("WG24 unsupported elements are taken out of the scene and not written", () => {
    const a = new Person(1);
    a.scene.add(rectangle("e", { type: "embeddable" }));
    a.scene.add(rectangle("i", { type: "image", fileId: "f" }));
    a.commit();
    a.worker.run();
    expect([a.scene.list.length, a.out.length]).toEqual([0, 0]);
  });
  test("WG24 elements that Excalidraw lost come back from the document", () => {
    const a = new Person(1);
    a.scene.add(rectangle("r"));
    a.commit();
    a.scene.list = []; // a file was loaded over the scene
    a.commit();
    expect(a.scene.get("r").isDeleted).toBe(false);
  });
  test("WG25 bound elements are derived, on every page alike", () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(rectangle("r"));
    a.commit();
    exchange(a, b);
    const arrow = (id: string, index: string) => rectangle(id, { type: "arrow", index, points: [[0, 0], [9, 9]], startBinding: { elementId: "r", focus: 0, gap: 1 }, endBinding: null, startArrowhead: null, endArrowhead: "arrow", elbowed: false });
    a.scene.add(arrow("x", "a2"));
    b.scene.add(arrow("y", "a2"));
    a.commit();
    b.commit();
    exchange(a, b);
    for (const p of [a, b]) expect(p.scene.get("r").boundElements!.map((e) => e.id).sort()).toEqual(["x", "y"]);
    expect(deriveBound([...a.scene.list])).toEqual([]);
  });
  test("WG25 also after the editor gave an arrow its shape back, and not the shape its arrow", () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(rectangle("r"));
    const bound = { startBinding: { elementId: "r", focus: 0, gap: 1 } };
    a.scene.add(rectangle("x", { type: "arrow", index: "a2", points: [[0, 0], [9, 9]], endBinding: null, startArrowhead: null, endArrowhead: "arrow", elbowed: false, ...bound }));
    a.commit();
    exchange(a, b);
    a.scene.change("x", { startBinding: null });
    a.scene.change("r", { boundElements: null });
    a.commit();
    exchange(a, b);
    a.scene.change("x", bound); // undone
    a.commit();
    exchange(a, b);
    for (const p of [a, b]) expect(p.scene.get("r").boundElements!.map((e) => e.id)).toEqual(["x"]);
    const replaced = a.scene.replaced;
    a.commit();
    expect(a.scene.replaced).toBe(replaced); // once
  });
  test("WG26 new indices differ although both computed the same", () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(rectangle("p", { index: "a0" }));
    b.scene.add(rectangle("q", { index: "a0" }));
    a.commit();
    b.commit();
    exchange(a, b);
    const indices = a.scene.list.map((e) => e.index);
    expect(new Set(indices).size).toBe(2);
    expect(b.scene.list.map((e) => e.index)).toEqual(indices);
    expect(jitterIndex("a1", "a1V", () => 0.999)).toBe("a1"); // would pass the one above
    expect(jitterIndex("a1", undefined, () => 0)).toBe("a1001");
  });
  test("WG30 a refused change: the document is dropped and the gestures are authored again", () => {
    const a = new Person(1);
    a.scene.add(rectangle("one"));
    a.commit();
    a.worker.run();
    a.scene.add(rectangle("two", { index: "a2" }));
    a.commit();
    a.worker.run();
    const [first] = a.sent.splice(0);
    a.page.refuse((chunk) => chunk === first!.bytes, "wrong_actor");
    a.page.load(fresh, actor(7));
    a.worker.run();
    expect(a.sent.length).toBe(2);
    expect(Object.keys(a.worker.page!.elements()).sort()).toEqual(["one", "two"]);
    expect(a.scene.list.map((e) => e.id)).toEqual(["one", "two"]);
    for (const c of a.sent) a.page.acked(c.id);
    expect(a.page.unsaved).toBe(0);
  });
  test("WG30 a gesture that can only be refused again is left out and told of", () => {
    const a = new Person(1);
    a.scene.add(rectangle("bad"));
    a.commit();
    a.scene.add(rectangle("good", { index: "a2" }));
    a.commit();
    a.worker.run();
    const [first] = a.sent.splice(0);
    a.page.refuse((chunk) => chunk === first!.bytes, "grammar");
    a.page.load(fresh, actor(7));
    a.worker.run();
    expect(a.refused).toEqual(["bad"]);
    expect(a.scene.list.map((e) => e.id)).toEqual(["good"]);
    expect(a.sent.length).toBe(1);
  });
  test("WG31 who may no longer write keeps the unsent work", () => {
    const a = new Person(1);
    a.scene.add(rectangle("r"));
    a.commit();
    expect(a.page.abandon().map((w) => w.id)).toEqual(["r"]);
    expect(a.page.unsaved).toBe(0);
  });
  test("WG18 after a restore from an older copy, own changes are offered again", () => {
    const a = new Person(1);
    a.scene.add(rectangle("r"));
    a.commit();
    a.worker.run();
    a.page.acked(a.sent.splice(0)[0]!.id);
    a.page.load(fresh, actor(2), ["01".repeat(16)]);
    a.worker.run();
    expect(a.sent.length).toBe(1);
    expect(a.scene.get("r").x).toBe(10);
  });
  test("WG20 entries wait for the document", async () => {
    const [a, b] = [new Person(1), new Person(2)];
    a.scene.add(rectangle("r"));
    a.commit();
    a.worker.run();
    b.page.suspend();
    b.page.entries(a.out.splice(0).map(entry), 1);
    expect(b.worker.waiting).toBe(0);
    b.page.load(fresh, actor(2));
    a.scene.add(rectangle("later", { index: "a2" }));
    a.commit();
    a.worker.run();
    b.page.entries(a.out.map(entry), 2); // while the worker loads
    b.worker.run();
    await new Promise((resolve) => setTimeout(resolve, 0));
    b.worker.run();
    expect(b.scene.list.map((e) => e.id)).toEqual(["r", "later"]);
  });

  for (const seed of [1, 2, 3, 4, 5, 6])
    test(`WG20 three people converge, seed ${seed}`, () => {
      const random = seeded(seed);
      const people = [1, 2, 3].map((n) => new Person(n, true, seeded(seed * 100 + n)));
      const wires = people.map(() => people.map(() => [] as Uint8Array[])); // from, to: in order per sender
      const carry = (from: number) => {
        const out = people[from]!.out.splice(0);
        wires[from]!.forEach((wire, to) => to !== from && wire.push(...out));
      };
      let n = 0;
      for (let step = 0; step < 250; step++) {
        const i = Math.floor(random() * 3);
        const p = people[i]!;
        const alive = p.scene.list.filter((e) => !e.isDeleted);
        const e = alive.length > 0 ? pick(random, alive) : undefined;
        const dice = random();
        if (!e || dice < 0.12) {
          const index = `a${String.fromCharCode(65 + Math.min(25, Math.floor(n / 6)))}`;
          const make = pick(random, [rectangle, (id: string, o: Record<string, unknown>) => stroke(id, [[0, 0], [random() * 9, random() * 9]], o), (id: string, o: Record<string, unknown>) => words(id, "text", o)]);
          p.scene.add(make(`e${n++}`, { index, x: random() * 500 }));
          p.commit();
        } else if (dice < 0.3) {
          p.scene.change(e.id, { x: random() * 500 });
          p.scene.hold.delete(e.id);
          if (p.scene.hold.size === 0) p.commit();
        } else if (dice < 0.4) {
          p.scene.change(e.id, { strokeColor: pick(random, ["#e03131", "#2f9e44", "#1971c2"]) });
          if (p.scene.hold.size === 0) p.commit();
        } else if (dice < 0.46) {
          p.scene.change(e.id, { isDeleted: true });
          p.scene.hold.delete(e.id);
          if (p.scene.hold.size === 0) p.commit();
        } else if (dice < 0.56 && e.type === "text") {
          const text = String(e.originalText) + pick(random, ["a", "bc", "😀"]);
          p.scene.change(e.id, { originalText: text, text });
          if (p.scene.hold.size === 0) p.commit();
        } else if (dice < 0.66) p.scene.hold.add(e.id);
        else if (dice < 0.72) {
          p.scene.hold.clear();
          p.commit();
        } else if (dice < 0.8) p.worker.run(1 + Math.floor(random() * 2));
        else {
          carry(i);
          const from = Math.floor(random() * 3);
          const some = wires[from]![i]!.splice(0, 1 + Math.floor(random() * 4));
          if (some.length > 0) p.worker.post({ type: "apply", changes: some });
        }
      }
      for (let round = 0; round < 8; round++) {
        people.forEach((p, i) => {
          p.scene.hold.clear();
          p.commit();
          p.worker.run();
          carry(i);
        });
        people.forEach((p, to) => people.forEach((_, from) => p.receive(wires[from]![to]!.splice(0))));
      }
      const [a, b, c] = people as [Person, Person, Person];
      for (const p of [b, c]) {
        expect(p.worker.page!.heads()).toEqual(a.worker.page!.heads());
        expect(p.worker.page!.elements()).toEqual(a.worker.page!.elements());
        const visible = (q: Person) => (q.shown() as { id: string; isDeleted: boolean }[]).filter((x) => !x.isDeleted);
        expect(visible(p)).toEqual(visible(a));
      }
      for (const p of people) {
        for (const id of p.page.shadow.ids()) expect(p.page.shadow.get(id)).toEqual(p.worker.page!.elements()[id]);
        expect(p.scene.list.every((x: SceneElement) => x.isDeleted || p.page.shadow.get(x.id))).toBe(true);
      }
    });
});
