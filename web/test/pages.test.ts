import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { pageToOpen } from "../src/board/pages";
import { CURSOR, ELEMENTS, encodeCursor, encodeElements } from "../src/board/live";
import { Presence } from "../src/board/presence";
import { encodeElement } from "../src/doc/values";
import { startEngine } from "./support/document";
import { Member } from "./support/member";
import { seeded } from "./support/random";
import { rectangle } from "./support/scene";
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

function classroom() {
  const server = new FakeServer();
  const [a, b] = [new Member(server, seeded(1), "@a:e"), new Member(server, seeded(2), "@b:e")];
  const settle = async (ms = 500, who = [a, b]) => {
    for (let t = 0; t < ms; t += 20) {
      await vi.advanceTimersByTimeAsync(20);
      for (const m of who) {
        m.worker.run();
        m.carry();
      }
    }
  };
  const draw = (m: Member, id: string) => {
    m.scene.add(rectangle(id));
    m.tell();
  };
  const shown = (m: Member) => (m.visible() as { id: string }[]).map((e) => e.id).sort();
  const where = (m: Member) => [m.board.view.get().page, m.board.view.get().docs.length];
  const close = () => [a, b].forEach((m) => m.board.close());
  return { server, a, b, settle, draw, shown, where, close };
}

async function twoPages() {
  const t = classroom();
  await t.settle();
  t.server.addPage();
  await t.settle();
  return t;
}

describe("pages", () => {
  test("WG90 WG91 a page is added and turned to; what was made just before is on the page where it was made", async () => {
    const t = classroom();
    await t.settle();
    expect(t.where(t.a)).toEqual([0, 1]);
    t.draw(t.a, "first");
    void t.a.board.pages.add();
    t.a.board.turn(0);
    await t.settle();
    expect([t.where(t.a), t.where(t.b)]).toEqual([[1, 2], [0, 2]]);
    expect([t.shown(t.a), t.shown(t.b)]).toEqual([[], ["first"]]);
    t.draw(t.a, "second");
    t.draw(t.b, "too");
    await t.settle();
    expect([t.shown(t.a), t.shown(t.b)]).toEqual([["second"], ["first", "too"]]);
    expect(t.server.entries.filter((e) => e[2] === 1).map((e) => e[0])).toEqual(["page", "page2", "page"]);
    t.b.board.turn(1);
    t.a.board.turn(0);
    await t.settle();
    expect([t.shown(t.a), t.shown(t.b)]).toEqual([["first", "too"], ["second"]]);
    expect(t.a.board.view.get().ready).toBe(true);
    t.draw(t.a, "third"); // under an actor whose earlier changes came as entries
    await t.settle();
    expect([t.a.page.unsaved, t.a.board.link.stats.resets]).toEqual([0, 0]);
    t.close();
  });

  test("WG95 a page whose newest entries are still coming is not ready: one's own changes are among them", async () => {
    const t = classroom();
    await t.settle();
    t.draw(t.a, "first");
    await t.settle();
    t.server.addPage();
    await t.settle();
    t.a.board.turn(1);
    await t.settle();
    t.a.board.turn(0);
    await vi.advanceTimersByTimeAsync(20);
    t.a.worker.run(); // the document is there, its entries are not
    await vi.advanceTimersByTimeAsync(1_000);
    t.a.worker.run();
    expect(t.a.board.view.get().ready).toBe(false);
    await t.settle();
    expect([t.shown(t.a), t.a.board.view.get().ready]).toEqual([["first"], true]);
    t.draw(t.a, "second");
    await t.settle();
    expect(t.shown(t.b)).toEqual(["first", "second"]);
    expect(t.a.page.unsaved).toBe(0);
    t.close();
  });

  test("WG91 a page is not turned while the server has not got everything, and says so after 5 s", async () => {
    const t = await twoPages();
    t.a.unread = true;
    t.draw(t.a, "first");
    t.a.board.turn(1);
    await t.settle(1_000);
    expect([t.where(t.a), t.a.board.view.get().turning]).toEqual([[0, 2], true]);
    t.draw(t.a, "lost on nobody");
    expect(t.a.page.unsaved).toBe(1); // nothing can be drawn while it turns
    await t.settle(4_500);
    expect([t.where(t.a), t.a.board.view.get().turning]).toEqual([[0, 2], false]);
    expect(t.a.board.view.get().notices.map((n) => n.kind)).toEqual(["pages.unsent"]);
    t.a.unread = false;
    await t.settle();
    expect(t.shown(t.b)).toContain("first");
    t.close();
  });

  test("WG91 offline no page is turned, and a break while turning leaves everybody where they are", async () => {
    const t = await twoPages();
    t.a.unread = true;
    t.draw(t.a, "first");
    t.a.board.turn(1);
    await t.settle(100);
    t.a.goOffline();
    await t.settle(100);
    expect([t.where(t.a), t.a.board.view.get().turning]).toEqual([[0, 2], false]);
    t.a.board.turn(1);
    t.draw(t.a, "second");
    await t.settle(100);
    expect([t.where(t.a), t.a.page.unsaved]).toEqual([[0, 2], 2]);
    [t.a.unread, t.a.online] = [false, true];
    t.a.board.link.hurry();
    await t.settle(2_000);
    expect([t.shown(t.b), t.a.page.unsaved]).toEqual([["first", "second"], 0]);
    t.close();
  });

  test("WG91 a break after turning: the page opens when the connection is back", async () => {
    const t = await twoPages();
    t.a.online = false; // HTTP goes first
    t.a.board.turn(1);
    await t.settle(100);
    t.a.goOffline();
    await t.settle(2_000);
    expect([t.where(t.a), t.a.board.view.get().ready]).toEqual([[1, 2], false]);
    t.a.online = true;
    t.a.board.link.hurry();
    await t.settle(5_000);
    expect([t.where(t.a), t.a.board.view.get().ready]).toEqual([[1, 2], true]);
    t.draw(t.a, "x");
    t.b.board.turn(1);
    await t.settle();
    expect(t.shown(t.b)).toEqual(["x"]);
    t.close();
  });

  test("RU3 RU6 rules that come by again, when the log is sent anew for a document, change nothing", async () => {
    const t = classroom();
    await t.settle();
    const rule = (json: string) => t.server.entries.push(["rules", 0, 6, new Uint8Array(16), new TextEncoder().encode(json)]);
    for (const draw of ["moderators", "", "chosen"]) rule(JSON.stringify({ draw }));
    await t.settle();
    const seen: string[] = [];
    t.a.board.view.subscribe(() => seen.push(t.a.board.view.get().rules.draw));
    void t.a.board.documents.refetch(); // from the genesis: everything again
    await t.settle();
    expect([seen.filter((draw) => draw !== "chosen"), t.a.board.view.get().ready, t.a.board.link.stats.gaps]).toEqual([[], true, 0]);
    rule("{}");
    await t.settle();
    expect(t.a.board.view.get().rules.draw).toBe("");
    t.close();
  });

  test("WG93 cursors and elements in progress are shown to who is on the same page", () => {
    const p = new Presence();
    p.welcome(1);
    p.update(true, [1, 2, 3].map((session) => ({ session, user_id: `@p${session}:e`, name: `P${session}`, role: "participant", external: "" })), []);
    const hand = { x: 1, y: 1, tool: "pointer", down: true, selected: [] } as const;
    const drawn = (id: string) => [{ ...encodeElement(rectangle(id))!, id }];
    p.live([{ session: 2, slot: CURSOR, payload: encodeCursor({ ...hand, page: 0 }) }, { session: 2, slot: ELEMENTS, payload: encodeElements(drawn("two"), 8_192, 0) }]);
    p.live([{ session: 3, slot: CURSOR, payload: encodeCursor({ ...hand, page: 1 }) }, { session: 3, slot: ELEMENTS, payload: encodeElements(drawn("three"), 8_192, 1) }]);
    expect([[...p.collaborators().keys()], [...p.liveElements().keys()]]).toEqual([["2"], ["two"]]);
    p.page = 1;
    expect([[...p.collaborators().keys()], [...p.liveElements().keys()]]).toEqual([["3"], ["three"]]);
  });

  test("WG94 the page that was open opens again; where nothing is stored, or it is gone, the first", () => {
    const docs = ["index", "a", "b"].map((doc) => ({ doc, epoch: 0, seq: 0 }));
    const stored = new Map([["lectern page board", "b"], ["lectern page other", "gone"]]);
    vi.stubGlobal("sessionStorage", { getItem: (k: string) => stored.get(k) ?? null });
    expect(["board", "other", "none"].map((board) => pageToOpen(board, docs))).toEqual(["b", "a", "a"]);
    vi.stubGlobal("sessionStorage", { getItem: () => { throw new Error("blocked"); } });
    expect([pageToOpen("board", docs), pageToOpen("board", [])]).toEqual(["a", ""]);
  });
});
