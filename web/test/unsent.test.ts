import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { Notice } from "../src/board/view";
import { authorOf } from "../src/link/chunk";
import { Vault } from "../src/link/vault";
import { Browser } from "./support/browser";
import { startEngine } from "./support/document";
import { EpochModel } from "./support/epochs";
import { Member } from "./support/member";
import { seeded } from "./support/random";
import { rectangle } from "./support/scene";
import { FakeServer } from "./support/server";

beforeAll(startEngine);
beforeEach(() => {
  // IndexedDB's stand-in works with setImmediate, which stays real.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"] });
  vi.stubGlobal("requestAnimationFrame", (f: () => void) => setTimeout(f, 16));
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const ADA = "@ada:example.org";
let seed = 1;

function school() {
  const server = new FakeServer();
  server.model = new EpochModel(server.entries);
  const browser = new Browser().install();
  const members: Member[] = [];
  const open = (person = ADA, tab = browser.tab()) => {
    const m = new Member(server, seeded(seed++), person, tab);
    members.push(m);
    return m;
  };
  const settle = async (ms = 1_500) => {
    for (let t = 0; t < ms; t += 20) {
      await vi.advanceTimersByTimeAsync(20);
      await new Promise((resolve) => setImmediate(resolve));
      for (const m of members) {
        m.worker.run();
        m.carry();
      }
    }
  };
  const draw = (m: Member, id: string, over: Record<string, unknown> = {}) => {
    m.scene.add(rectangle(id, { index: `a${m.scene.list.length + 1}`, ...over }));
    m.tell();
  };
  const there = () => Object.keys(server.model!.pages.at(-1)!.elements()).sort();
  const notices = (m: Member) => m.board.view.get().notices.filter((n): n is Extract<Notice, { writes: unknown }> => "writes" in n);
  const close = () => members.forEach((m) => m.board.close());
  return { server, model: server.model, browser, open, settle, draw, there, notices, close, rows: () => browser.rows() };
}

describe("unsent work", () => {
  test("WG70 it stands in the store until it is acknowledged, and not longer", async () => {
    const t = school();
    const a = t.open();
    await t.settle(500);
    a.goOffline();
    t.draw(a, "one");
    t.draw(a, "two");
    a.scene.change("one", { x: 7 });
    a.tell();
    await t.settle(500);
    const rows = await t.rows();
    expect(rows.map(([key, row]) => [key[0], key[1], row.writes.map((w) => w.id)])).toEqual([[ADA, "b", ["one"]], [ADA, "b", ["two"]], [ADA, "b", ["one"]]]);
    expect(rows.map(([key]) => key[2])).toEqual(rows.map(([, row]) => authorOf(row.chunks[0]!)));
    expect(a.board.view.get()).toMatchObject({ unsaved: 3, tabOnly: false, durable: true });
    expect(a.board.wouldLose).toBe(false);
    a.online = true;
    await t.settle(40_000);
    expect(await t.rows()).toEqual([]);
    expect([t.there(), a.board.view.get().unsaved]).toEqual([["one", "two"], 0]);
    t.close();
  });
  test("WG70 what is acknowledged before it could be stored is never stored", async () => {
    const t = school();
    const a = t.open();
    const write = vi.spyOn(Vault.prototype, "write");
    await t.settle(500);
    for (let i = 0; i < 30; i++) {
      t.draw(a, `r${i}`);
      a.worker.run();
      await Promise.resolve();
      a.carry();
    }
    await t.settle(500);
    expect(a.board.view.get().unsaved).toBe(0);
    expect(write.mock.calls.length).toBeLessThan(20); // small transactions, joined
    expect(await t.rows()).toEqual([]);
    t.close();
  });
  test("WG71 the next tab of the same person takes over what a dead one left, and everybody sees it", async () => {
    const t = school();
    const [a, b] = [t.open(), t.open("@ben:example.org")];
    await t.settle(500);
    a.goOffline();
    t.draw(a, "mine");
    a.scene.change("mine", { x: 77 });
    a.tell();
    await t.settle(200);
    const authors = new Set((await t.rows()).map(([key]) => key[2]));
    a.die();
    t.model.squash(); // meanwhile
    await t.settle();
    const next = t.open();
    await t.settle(5_000);
    for (const m of [next, b]) expect(m.scene.get("mine").x).toBe(77);
    expect(await t.rows()).toEqual([]);
    expect(next.board.view.get().unsaved).toBe(0);
    const late = t.server.entries.filter((e) => e[2] === 4);
    expect(new Set(late.map((e) => authorOf(e[4])))).toEqual(authors); // under the actor it was made under
    expect(t.notices(next)).toEqual([]);
    t.draw(next, "more");
    await t.settle(200);
    expect(authors).not.toContain(authorOf(t.server.entries.at(-1)![4]));
    t.close();
  });
  test("WG71 a living tab's work is left alone; when it dies, the other one finds it", async () => {
    const t = school();
    const a = t.open();
    await t.settle(500);
    a.goOffline();
    t.draw(a, "mine");
    await t.settle(200);
    const b = t.open();
    await t.settle(30_000);
    expect([t.there(), (await t.rows()).length]).toEqual([[], 1]);
    expect(b.board.view.get().unsaved).toBe(0);
    a.die();
    await t.settle(12_000);
    expect([t.there(), await t.rows()]).toEqual([["mine"], []]);
    t.close();
  });
  test("WG71 of two tabs that start at once only one takes it, and one that dies at it leaves it to the next", async () => {
    const t = school();
    const a = t.open();
    await t.settle(500);
    a.goOffline();
    for (let i = 0; i < 5; i++) t.draw(a, `r${i}`);
    await t.settle(200);
    a.die();
    const [b, c] = [t.open(), t.open()];
    await vi.advanceTimersByTimeAsync(300);
    for (let i = 0; i < 10; i++) {
      for (const m of [b, c]) {
        m.worker.run();
        t.server.open!.read(1);
        m.carry(1);
      }
      await vi.advanceTimersByTimeAsync(5);
    }
    b.die();
    await t.settle(30_000);
    expect(t.there()).toEqual(["r0", "r1", "r2", "r3", "r4"]);
    expect(t.server.entries.filter((e) => e[2] === 1)).toHaveLength(5);
    expect(await t.rows()).toEqual([]);
    expect(c.board.view.get().unsaved).toBe(0);
    t.close();
  });
  test("WG71 a tab that dies between sending and acknowledgement: nothing is doubled", async () => {
    const t = school();
    const a = t.open();
    await t.settle(500);
    t.draw(a, "mine");
    a.worker.run();
    await vi.advanceTimersByTimeAsync(10);
    t.server.open!.read(); // committed; the echo never comes
    a.die();
    await vi.advanceTimersByTimeAsync(100);
    expect(await t.rows()).toHaveLength(1);
    const b = t.open();
    await t.settle();
    expect(t.server.entries).toHaveLength(1);
    expect([await t.rows(), b.scene.list.length]).toEqual([[], 1]);
    t.close();
  });
  test("WG72 another person's work on the same browser is neither sent nor shown nor removed", async () => {
    const t = school();
    const a = t.open();
    await t.settle(500);
    a.goOffline();
    t.draw(a, "secret");
    await t.settle(200);
    a.die();
    const b = t.open("@ben:example.org");
    await t.settle(15_000);
    expect([t.there(), b.scene.list, t.notices(b), b.board.view.get().unsaved]).toEqual([[], [], [], 0]);
    expect(await t.rows()).toHaveLength(1);
    t.open();
    await t.settle();
    expect(t.there()).toEqual(["secret"]);
    t.close();
  });
  test("WG73 work older than 90 days is offered as a file; that of other boards is removed", async () => {
    const t = school();
    const a = t.open();
    await t.settle(500);
    a.goOffline();
    t.draw(a, "old");
    await t.settle(200);
    a.die();
    const vault = await Vault.open(() => undefined);
    const [[, row]] = (await vault.read()) as [[unknown, never]];
    await vault.write([[[ADA, "another board", "ff", 1], row], [["@ben:example.org", "b", "ee", 1], row]], []);
    vi.setSystemTime(Date.now() + 91 * 24 * 3_600_000);
    const b = t.open();
    await t.settle();
    expect(t.there()).toEqual([]);
    expect(t.notices(b).map((n) => [n.kind, n.writes.map((w) => w.id)])).toEqual([["stale", ["old"]]]);
    expect((await t.rows()).map(([key]) => key[1])).toEqual(["b"]); // until the person has seen to it
    b.board.dismiss(t.notices(b)[0]!);
    await t.settle(100);
    expect([t.notices(b), await t.rows()]).toEqual([[], []]);
    t.close();
  });
  test("WG73 a clock that is ahead by years removes nothing", async () => {
    const t = school();
    const a = t.open();
    await t.settle(500);
    a.goOffline();
    t.draw(a, "mine");
    await t.settle(200);
    a.die();
    vi.setSystemTime(Date.now() + 900 * 24 * 3_600_000);
    const b = t.open();
    Object.assign(b.session, { skew: -900 * 24 * 3_600_000 });
    await t.settle();
    expect(t.there()).toEqual(["mine"]);
    t.close();
  });
  test("WG75 left work that is refused is authored anew, and what can only be refused again is offered", async () => {
    const t = school();
    const a = t.open();
    await t.settle(500);
    a.goOffline();
    for (const id of ["first", "bad", "last"]) t.draw(a, id);
    await t.settle(200);
    const [, [, bad]] = (await t.rows()) as unknown as [unknown, [unknown, { chunks: Uint8Array[] }]];
    a.die();
    const b = t.open();
    t.server.refuse = (chunk) => (String(chunk) === String(bad.chunks[0]) ? "grammar" : undefined);
    t.draw(b, "own");
    await t.settle(5_000);
    t.draw(b, "after");
    await t.settle();
    expect(t.there()).toEqual(["after", "first", "last", "own"]);
    expect(b.scene.list.filter((e) => !e.isDeleted).map((e) => e.id).sort()).toEqual(t.there());
    expect(t.notices(b).map((n) => [n.kind, n.writes.map((w) => w.id)])).toEqual([["refused", ["bad"]]]);
    expect((await t.rows()).flatMap(([, row]) => row.writes.map((w) => w.id))).toEqual(["bad"]); // until it was saved or thrown away
    b.board.dismiss(t.notices(b)[0]!);
    await t.settle(100);
    expect([await t.rows(), b.board.view.get().unsaved]).toEqual([[], 0]);
    t.close();
  });
  test("WG75 the archive of its epoch is gone: it is authored anew in the present one", async () => {
    const t = school();
    const a = t.open();
    await t.settle(500);
    t.draw(a, "base");
    await t.settle(200);
    a.goOffline();
    t.draw(a, "mine");
    a.scene.change("base", { x: 300 });
    a.tell();
    await t.settle(200);
    a.die();
    t.model.squash();
    t.server.refuse = (_chunk, epoch) => (epoch === 0 ? "unknown_epoch" : undefined);
    const b = t.open();
    await t.settle(8_000);
    expect(t.there()).toEqual(["base", "mine"]);
    expect(b.scene.get("base").x).toBe(300);
    expect([await t.rows(), t.notices(b), b.board.view.get().unsaved]).toEqual([[], [], 0]);
    t.close();
  });
  test("WG75 several dead tabs, all refused: each is told of in a session of its own, and nothing is lost", async () => {
    const t = school();
    for (const id of ["one", "two", "three"]) {
      const m = t.open();
      await t.settle(500);
      m.goOffline();
      t.draw(m, id);
      await t.settle(200);
      m.die();
    }
    const dead = new Set((await t.rows()).map(([key]) => key[2]));
    t.server.refuse = (chunk) => (dead.has(authorOf(chunk)) ? "gap" : undefined);
    const b = t.open();
    await t.settle(20_000);
    expect(t.there()).toEqual(["one", "three", "two"]);
    expect([await t.rows(), t.notices(b), b.board.view.get().unsaved]).toEqual([[], [], 0]);
    t.close();
  });
  test("WG31 who may no longer write is offered the unsent work, also of a dead tab; who may again sends it", async () => {
    const t = school();
    const a = t.open();
    await t.settle(500);
    a.goOffline();
    t.draw(a, "mine");
    await t.settle(200);
    a.die();
    t.server.role = "viewer";
    const b = t.open();
    await t.settle();
    expect([t.there(), t.notices(b).map((n) => [n.kind, n.writes.map((w) => w.id)])]).toEqual([[], [["unsent", ["mine"]]]]);
    expect(await t.rows()).toHaveLength(1);
    t.server.role = "participant";
    b.cut();
    await t.settle(3_000);
    expect([t.there(), t.notices(b), await t.rows()]).toEqual([["mine"], [], []]);
    t.close();
  });
  test("WG31 demoted while away: offered, kept until it is thrown away", async () => {
    const t = school();
    const a = t.open();
    await t.settle(500);
    a.goOffline();
    t.draw(a, "mine");
    await t.settle(200);
    t.server.role = "viewer";
    a.online = true;
    await t.settle(3_000);
    expect(t.notices(a).map((n) => [n.kind, n.writes.map((w) => w.id)])).toEqual([["unsent", ["mine"]]]);
    expect([(await t.rows()).length, a.board.view.get().unsaved]).toEqual([1, 0]);
    a.board.dismiss(t.notices(a)[0]!);
    await t.settle(100);
    expect(await t.rows()).toEqual([]);
    t.close();
  });
  test("WG31 a board that closes for somebody offers what was not sent", async () => {
    const t = school();
    const a = t.open();
    await t.settle(500);
    a.goOffline();
    t.draw(a, "mine");
    await t.settle(200);
    a.online = true;
    await vi.advanceTimersByTimeAsync(2_000);
    t.server.open!.cut(4403);
    expect(t.notices(a).map((n) => n.writes.map((w) => w.id))).toEqual([["mine"]]);
    a.board.link.connect(); // "try again": let in once more
    await t.settle(3_000);
    expect([t.there(), t.notices(a)]).toEqual([["mine"], []]);
    t.close();
  });
  test("WG18 after a restore nothing that the restored board holds counts as unsent", async () => {
    const t = school();
    const a = t.open();
    await t.settle(500);
    t.draw(a, "mine");
    a.worker.run();
    await vi.advanceTimersByTimeAsync(50);
    t.server.open!.read();
    a.cut(); // the echo is lost
    t.model.save();
    t.server.log = "log-2";
    await t.settle(3_000);
    expect([t.there(), a.board.view.get().unsaved, await t.rows()]).toEqual([["mine"], 0, []]);
    t.close();
  });

  describe("WG74 where the browser keeps nothing", () => {
    const refusals: Record<string, (t: ReturnType<typeof school>) => void> = {
      "opening throws": () => vi.stubGlobal("indexedDB", { open: () => { throw new DOMException("denied", "SecurityError"); } }),
      "there is no IndexedDB": () => vi.stubGlobal("indexedDB", undefined),
      "opening fails": () => vi.stubGlobal("indexedDB", { open: () => { const r: Record<string, unknown> = { error: new DOMException("full", "QuotaExceededError") }; setTimeout(() => (r.onerror as () => void)()); return r; } }),
      "opening is blocked": () => vi.stubGlobal("indexedDB", { open: () => { const r: Record<string, unknown> = {}; setTimeout(() => (r.onblocked as () => void)()); return r; } }),
      "opening never answers": () => vi.stubGlobal("indexedDB", { open: () => ({}) }),
      "a newer page has changed the store": () => void indexedDB.open("lectern", 99),
      "writing fails": () => void vi.spyOn(Vault.prototype, "write").mockRejectedValue(new DOMException("full", "QuotaExceededError")),
    };
    for (const [how, refuse] of Object.entries(refusals))
      test(how, async () => {
        const t = school();
        refuse(t);
        await vi.advanceTimersByTimeAsync(100);
        const a = t.open();
        await t.settle(6_000);
        expect(a.board.view.get()).toMatchObject({ unsaved: 0, tabOnly: false });
        expect(a.board.wouldLose).toBe(false); // no wolf
        a.goOffline();
        t.draw(a, "mine");
        await t.settle(6_000);
        expect(a.board.view.get()).toMatchObject({ unsaved: 1, tabOnly: true, durable: false });
        expect(a.board.wouldLose).toBe(true);
        a.online = true;
        await t.settle(40_000);
        expect(t.there()).toEqual(["mine"]);
        expect([a.board.wouldLose, a.board.view.get().tabOnly]).toEqual([false, false]);
        t.close();
      });
    test("no Web Locks: nobody can tell a dead tab from a living one, so nothing is kept or taken over", async () => {
      const t = school();
      const a = t.open();
      await t.settle(500);
      a.goOffline();
      t.draw(a, "mine");
      await t.settle(200);
      a.die();
      const tab = t.browser.tab();
      Object.assign(tab, { locks: undefined });
      const b = t.open(ADA, tab);
      await t.settle();
      b.goOffline();
      t.draw(b, "more");
      await t.settle();
      expect(b.board.view.get()).toMatchObject({ unsaved: 1, tabOnly: true, durable: false });
      expect([t.there(), (await t.rows()).length]).toEqual([[], 1]);
      t.close();
    });
    test("the store goes while the page is open, and more than it may hold", async () => {
      const t = school();
      const a = t.open();
      await t.settle(500);
      a.goOffline();
      t.draw(a, "mine");
      await t.settle(500);
      expect(a.board.wouldLose).toBe(false);
      const request = indexedDB.deleteDatabase("lectern"); // asks every connection to go
      await t.settle(500);
      expect(request.readyState).toBe("done");
      expect([a.board.wouldLose, a.board.view.get().durable]).toEqual([true, false]);
      t.close();
    });
  });
});
