import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { startEngine } from "./support/document";
import { EpochModel } from "./support/epochs";
import { Member } from "./support/member";
import { pick, seeded } from "./support/random";
import { rectangle, stroke, words } from "./support/scene";
import { FakeServer } from "./support/server";

beforeAll(startEngine);
beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("requestAnimationFrame", (f: () => void) => setTimeout(f, 16));
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

function classroom(people: number, seed = 1) {
  const server = new FakeServer();
  server.model = new EpochModel(server.entries);
  const members = Array.from({ length: people }, (_, i) => new Member(server, seeded(seed * 100 + i), `@p${i}:example.org`));
  /** Everything under way arrives; `ms` of time pass in steps. */
  const settle = async (ms = 3_000, who = members, step = 20) => {
    for (let t = 0; t < ms; t += step) {
      await vi.advanceTimersByTimeAsync(step);
      for (const m of who) {
        m.worker.run();
        m.carry();
      }
    }
  };
  const agree = () => {
    const present = server.model!.pages.at(-1)!;
    for (const m of members) {
      expect([m.page.unsaved, m.board.link.unacknowledged, m.page.epoch]).toEqual([0, 0, server.model!.epoch]);
      expect(m.worker.page!.heads()).toEqual(present.heads());
      expect(m.worker.page!.elements()).toEqual(present.elements());
      for (const id of m.page.shadow.ids()) expect(m.page.shadow.get(id)).toEqual(present.elements()[id]);
      expect(m.visible()).toEqual(members[0]!.visible());
    }
  };
  return { server, model: server.model, members, settle, agree, close: () => members.forEach((m) => m.board.close()) };
}

describe("epochs", () => {
  test("WG60 a squash moves everybody over, and what is drawn meanwhile arrives", async () => {
    const t = classroom(2);
    const [a, b] = t.members as [Member, Member];
    await t.settle(500);
    a.scene.add(rectangle("r"));
    a.scene.add(rectangle("gone", { index: "a2" }));
    a.tell();
    await t.settle(500);
    a.scene.change("gone", { isDeleted: true });
    a.tell();
    await t.settle(500);
    t.model.squash();
    const before = b.scene.replaced;
    await t.settle(100);
    b.scene.change("r", { x: 77 });
    b.tell(); // before the document of the new epoch is there: late
    await t.settle();
    t.agree();
    expect(t.server.entries.map((e) => e[2])).toContain(4);
    expect(a.scene.get("r").x).toBe(77);
    expect([a.fetches, b.fetches]).toEqual([1, 1]);
    expect(b.scene.replaced - before).toBeLessThanOrEqual(2);
    t.close();
  });
  test("WG60 undo of an erasing that the squash has forgotten makes the element again", async () => {
    const t = classroom(2);
    const [a, b] = t.members as [Member, Member];
    await t.settle(500);
    a.scene.add(rectangle("r", { x: 5 }));
    a.tell();
    await t.settle(300);
    a.scene.change("r", { isDeleted: true });
    a.tell();
    await t.settle(300);
    t.model.squash();
    await t.settle();
    expect(t.model.pages.at(-1)!.elements().r).toBeUndefined();
    a.scene.change("r", { isDeleted: false }); // as Excalidraw's undo does it
    a.tell();
    await t.settle(500);
    t.agree();
    expect(b.scene.get("r")).toMatchObject({ x: 5, isDeleted: false });
    t.close();
  });
  test("WG61 gestures made while the new document is awaited are shown at once and made in the new epoch", async () => {
    const t = classroom(1);
    const [a] = t.members as [Member];
    await t.settle(500);
    a.scene.add(rectangle("r"));
    a.tell();
    a.worker.run();
    a.carry(); // sent; its echo stays away
    await vi.advanceTimersByTimeAsync(0);
    t.model.squash();
    a.page.hold();
    a.scene.add(rectangle("waits", { index: "a5" }));
    a.tell();
    a.worker.run();
    expect(a.page.shadow.get("waits")).toBeDefined();
    expect(a.page.unsaved).toBe(2);
    expect(a.worker.page!.elements().waits).toBeUndefined();
    await t.settle();
    t.agree();
    expect(t.server.entries.find((e) => e[1] === 1 && e[2] === 1)).toBeDefined();
    t.close();
  });
  test("WG61 when the connection breaks meanwhile, what waited is made in the old epoch and carried over later", async () => {
    const t = classroom(2);
    const [a, b] = t.members as [Member, Member];
    await t.settle(500);
    a.page.hold();
    a.scene.add(rectangle("r"));
    a.tell();
    a.worker.run();
    expect(a.worker.page!.elements().r).toBeUndefined();
    a.goOffline();
    a.worker.run();
    expect(a.worker.page!.elements().r).toBeDefined();
    t.model.squash();
    await t.settle();
    a.online = true;
    await t.settle(40_000, t.members, 200);
    t.agree();
    expect(b.scene.get("r").x).toBe(10);
    expect(t.server.entries.map((e) => e[2])).toEqual([2, 4, 3]);
    t.close();
  });
  test("WG62 offline over two squashes and out of the log's reach: the old drawing stays until everything made for it is acknowledged", async () => {
    const t = classroom(2);
    const [a, b] = t.members as [Member, Member];
    await t.settle(500);
    a.scene.add(rectangle("r"));
    a.tell();
    await t.settle(300);
    b.goOffline();
    for (let i = 0; i < 50; i++) {
      b.scene.change("r", { y: 100 + i });
      b.scene.add(rectangle(`b${i}`, { index: `a5${i}V` }));
      b.tell();
      a.scene.change("r", { x: i });
      a.tell();
      await t.settle(20);
      if (i === 20 || i === 40) t.model.squash();
    }
    await t.settle();
    t.server.reach = 3;
    const sizes = new Set<number>();
    b.online = true;
    for (let i = 0; i < 2_000 && b.page.epoch < 2; i++) {
      await t.settle(20);
      sizes.add(b.scene.list.filter((e) => !e.isDeleted).length);
    }
    await t.settle();
    expect([...sizes]).toEqual([51]); // never less
    t.agree();
    expect(a.scene.get("r")).toMatchObject({ x: 49, y: 149 });
    t.close();
  });
  test("WG61 the old drawing stays until the changes made for it are acknowledged, however long that takes", async () => {
    const t = classroom(2);
    const [a, b] = t.members as [Member, Member];
    await t.settle(500);
    a.scene.add(rectangle("r"));
    a.tell();
    await t.settle(300);
    t.model.squash();
    await t.settle(40);
    b.unread = true;
    b.scene.add(rectangle("late", { index: "a2" }));
    b.tell();
    b.worker.run();
    const shown = new Set<string>();
    for (let ms = 0; ms < 6_000; ms += 20) {
      if (ms === 4_000) b.unread = false;
      await t.settle(20);
      shown.add(b.scene.list.map((e) => e.id).join());
      if (ms === 3_900) expect([a.page.epoch, b.page.epoch, b.fetches]).toEqual([1, 0, 1]);
    }
    expect([...shown]).toEqual(["r,late"]);
    t.agree();
    t.close();
  });
  test("WG62 the answer to a change whose echo never came is `known`", async () => {
    const t = classroom(1);
    const [a] = t.members as [Member];
    await t.settle(500);
    a.scene.add(rectangle("r"));
    a.tell();
    a.worker.run();
    await vi.advanceTimersByTimeAsync(0);
    t.server.open!.read(); // committed
    a.cut(); // and the echo is lost
    for (let i = 0; i < 5; i++) t.model.squash();
    t.model.save();
    t.server.reach = 0;
    await t.settle(5_000);
    expect(t.server.seen.filter((f) => f[0] === 3)).toHaveLength(2);
    expect(t.server.entries.filter((e) => e[2] === 1 || e[2] === 4)).toHaveLength(1);
    t.agree();
    t.close();
  });
  test("WG63 more entries of the next epoch than are kept: the log is asked for them again", async () => {
    const t = classroom(2);
    const [a, b] = t.members as [Member, Member];
    await t.settle(500);
    t.model.squash();
    await t.settle(2_500, [a]); // a moves, b does not hear of it
    for (let i = 0; i < 4_200; i++) t.server.entries.push(["page", 1, 9, new Uint8Array(16), new Uint8Array()]); // of a kind that is counted
    const { entries } = t.server;
    entries.forEach((e, i) => e[2] === 9 && (entries[i] = [e[0], 7, 3, e[3], new Uint8Array(10)])); // of a later epoch still
    a.scene.add(rectangle("r"));
    a.tell();
    await t.settle(500, [a]);
    await t.settle(4_000);
    expect(b.page.keptFrom).toBeGreaterThan(1);
    t.agree();
    t.close();
  });

  for (const seed of [1, 2, 3, 4])
    test(`WG20 three people converge over squashes, breaks and offline work, seed ${seed}`, async () => {
      const t = classroom(3, seed);
      const random = seeded(seed * 31);
      await t.settle(500);
      const made = new Map<string, string>(); // element -> who
      const erased = new Set<string>();
      let n = 0;
      for (let step = 0; step < 260; step++) {
        await vi.advanceTimersByTimeAsync(Math.floor(random() * 60));
        const m = pick(random, t.members);
        const alive = m.scene.list.filter((e) => !e.isDeleted);
        const e = alive.length > 0 ? pick(random, alive) : undefined;
        const dice = random();
        if (!e || dice < 0.14) {
          const index = `a${String.fromCharCode(65 + Math.min(25, Math.floor(n / 6)))}`;
          const make = pick(random, [rectangle, (id: string, o: Record<string, unknown>) => stroke(id, [[0, 0], [random() * 9, 5]], o), (id: string, o: Record<string, unknown>) => words(id, "text", o)]);
          made.set(`e${n}`, m.person);
          m.scene.add(make(`e${n++}`, { index, x: Math.round(random() * 500) }));
          m.tell();
        } else if (dice < 0.28) {
          m.scene.change(e.id, { x: Math.round(random() * 500) });
          m.tell();
        } else if (dice < 0.34) {
          m.scene.change(e.id, { strokeColor: pick(random, ["#e03131", "#2f9e44", "#1971c2"]) });
          m.tell();
        } else if (dice < 0.38) {
          erased.add(e.id);
          m.scene.change(e.id, { isDeleted: true });
          m.tell();
        } else if (dice < 0.42) {
          const dead = m.scene.list.filter((x) => x.isDeleted);
          if (dead.length === 0) continue;
          m.scene.change(pick(random, dead).id, { isDeleted: false });
          m.tell();
        } else if (dice < 0.48 && e.type === "text") {
          const text = String(e.originalText) + pick(random, ["a", "bc", "😀"]);
          m.scene.change(e.id, { originalText: text, text });
          m.tell();
        } else if (dice < 0.5) t.model.squash();
        else if (dice < 0.52) t.model.save();
        else if (dice < 0.54) m.goOffline();
        else if (dice < 0.58) m.online = true;
        else if (dice < 0.6) m.cut();
        else if (dice < 0.61) t.server.reach = pick(random, [0, 5, Infinity]);
        else if (dice < 0.78) m.worker.run(1 + Math.floor(random() * 3));
        else m.carry(1 + Math.floor(random() * 4));
      }
      for (const m of t.members) m.online = true;
      await t.settle(60_000, t.members, 200);
      for (const m of t.members) m.tell();
      await t.settle(5_000);
      t.agree();
      const there = t.model.pages.at(-1)!.elements();
      for (const [id, person] of made) if (!erased.has(id)) expect([id, person, there[id] !== undefined]).toEqual([id, person, true]);
      expect(t.model.epoch).toBeGreaterThan(0);
      t.close();
    });
});
