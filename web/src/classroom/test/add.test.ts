import { describe, expect, test } from "vitest";
import { boardOf, newBoard, removal, removedBoards, widgetContent } from "../add/board";
import { layoutWith } from "../add/layout";
import { classroomLevels, grant, neededLevel } from "../add/levels";
import { checkPeople, isUserId } from "../add/people";
import { same } from "../add/same";
import { explain, StepProblem, Steps, type Step } from "../add/steps";
import { checkName, shownName } from "../names";
import type { Powers } from "../roles";

const LECTERN = "https://lectern.example";
const create = (version = "10") => ({ sender: "@creator:x", content: { room_version: version } });
const powers = (powerLevels: Record<string, unknown>, version = "10"): Powers => ({ powerLevels, create: create(version) });

describe("AD2 Lectern's power level", () => {
  const content = { users: { "@t:x": 100, "@s:x": 0 }, events: { "m.room.name": 50 }, state_default: 50, notifications: { room: 20 }, "org.example.unknown": { a: 1 } };
  test("AD2 one number is written, everything else stays, m.room.encrypted is not listed", () => {
    expect(grant(powers(content), "@lectern:x", "@t:x")).toEqual({ kind: "rewrite", level: 50, content: { ...content, users: { "@t:x": 100, "@s:x": 0, "@lectern:x": 50 } } });
  });
  test.each([50, 75, 100])("AD2 a level of %s is not lowered and nothing is written", (level) => {
    expect(grant(powers({ ...content, users: { "@t:x": 100, "@lectern:x": level } }), "@lectern:x", "@t:x")).toEqual({ kind: "enough" });
  });
  test("AD2 users_default can be enough; a text of an old room is not written over", () => {
    expect(grant(powers({ users_default: 50 }), "@lectern:x", "@t:x").kind).toBe("enough");
    expect(grant(powers({ users: { "@t:x": 100, "@lectern:x": "60" } }), "@lectern:x", "@t:x").kind).toBe("enough");
    expect(grant(powers({ users: { "@t:x": 100, "@lectern:x": "10" } }), "@lectern:x", "@t:x").kind).toBe("rewrite");
  });
  test("AD2 where state takes more than 50, it gets that", () => {
    expect(grant(powers({ ...content, state_default: 75 }), "@lectern:x", "@t:x")).toMatchObject({ level: 75, content: { users: { "@lectern:x": 75 } } });
    expect(neededLevel(powers({ events: { "m.room.encrypted": 60 } }))).toBe(60);
    expect(neededLevel(powers({ state_default: 0 }))).toBe(50);
  });
  test("AD2 who may not write power levels, or has less than is given, is told what it takes", () => {
    const element = { ...content, users: { "@t:x": 50 }, events: { "m.room.power_levels": 100 } };
    expect(grant(powers(element), "@lectern:x", "@t:x")).toEqual({ kind: "cannot", level: 50, atLeast: 100 });
    expect(grant(powers({ state_default: 75, users: { "@t:x": 60 }, events: { "m.room.power_levels": 50 } }), "@lectern:x", "@t:x")).toEqual({ kind: "cannot", level: 75, atLeast: 75 });
    expect(grant(powers({ users: ["@t:x"] }), "@lectern:x", "@creator:x").kind).toBe("cannot");
  });
  test("AD2 a creator of version 12 may although nobody lists them, and is not listed afterwards", () => {
    expect(grant(powers({ users: {}, events: { "m.room.power_levels": 150 } }, "12"), "@lectern:x", "@creator:x")).toMatchObject({ kind: "rewrite", content: { users: { "@lectern:x": 50 } } });
    expect(grant(powers({ users: {} }, "12"), "@creator:x", "@creator:x").kind).toBe("enough");
  });
  test("AD2 a room without power levels asks for none and gets none", () => {
    expect(grant({ powerLevels: undefined, create: create() }, "@lectern:x", "@creator:x")).toEqual({ kind: "enough" });
  });
  test("AD10 a new classroom: creators are listed before version 12 and not since", () => {
    expect(classroomLevels("@t:x", "@l:x", "10")).toMatchObject({ users: { "@t:x": 100, "@l:x": 50 }, users_default: 0, events_default: 0, state_default: 50, invite: 50, kick: 50, ban: 50, redact: 50 });
    expect(classroomLevels("@t:x", "@l:x", "10")["events"]).toMatchObject({ "m.room.power_levels": 100, "org.matrix.msc3401.call.member": 0 });
    expect(classroomLevels("@t:x", "@l:x", "10")["events"]).not.toHaveProperty(["m.room.encrypted"]);
    expect(classroomLevels("@t:x", "@l:x", "12")["users"]).toEqual({ "@l:x": 50 });
    expect(classroomLevels("@t:x", "@l:x", "")["users"]).toEqual({ "@t:x": 100, "@l:x": 50 });
  });
});

describe("AD3 the widget event", () => {
  const b = newBoard("whiteboard", "Lesson 3");
  test("AD3 as lectern dev writes it", () => {
    expect(b.id).toMatch(/^lectern-[a-z2-7]{10}$/);
    expect(b.board).toMatch(/^[a-z2-7]{26}$/);
    expect(widgetContent(b, LECTERN, "@t:x")).toEqual({
      id: b.id,
      creatorUserId: "@t:x",
      type: "m.custom",
      name: "Lesson 3",
      url: "https://lectern.example/widgets/whiteboard?room_id=$matrix_room_id&theme=$org.matrix.msc2873.client_theme&lang=$org.matrix.msc2873.client_language",
      data: { board: b.board, kind: "whiteboard", title: "" },
    });
  });
  test("AD3 ids are random", () => expect(new Set(Array.from({ length: 500 }, () => newBoard("whiteboard", "x")).flatMap((x) => [x.id, x.board])).size).toBe(1000));
  test("AD7 removed and put back: the same board under the same id", () => {
    const found = boardOf(b.id, widgetContent(b, LECTERN, "@t:x"), LECTERN);
    expect(found).toEqual(b);
    const content = removal(found);
    expect(content).toEqual({ "com.educationpub.removed": { kind: "whiteboard", board: b.board, name: "Lesson 3" } });
    expect(removedBoards([{ id: b.id, content }], [], LECTERN)).toEqual([b]);
  });
  test("AD7 removed by another client: known from the room's past, the newest counts", () => {
    const past = [{ id: "other", content: widgetContent(b, LECTERN, "@t:x") }, { id: b.id, content: {} }, { id: b.id, content: widgetContent({ ...b, name: "Newer" }, LECTERN, "@t:x") }, { id: b.id, content: widgetContent(b, LECTERN, "@t:x") }];
    expect(removedBoards([{ id: b.id, content: {} }], past, LECTERN)).toEqual([{ ...b, name: "Newer" }]);
    expect(removedBoards([{ id: b.id, content: {} }], [], LECTERN)).toEqual([]);
  });
  test.each([
    ["another address", { ...widgetContent(b, "https://evil.example", "@t:x") }],
    ["an address that only begins like ours", { ...widgetContent(b, `${LECTERN}.evil.example`, "@t:x") }],
    ["another page of ours", { ...widgetContent(b, LECTERN, "@t:x"), url: `${LECTERN}/widgets/whiteboard/../x` }],
    ["no board", { ...widgetContent(b, LECTERN, "@t:x"), data: { kind: "whiteboard" } }],
    ["a kind we do not have", { ...widgetContent(b, LECTERN, "@t:x"), url: `${LECTERN}/widgets/constructor`, data: { kind: "constructor", board: b.board } }],
    ["nothing", {}],
  ])("AD7 %s is not offered", (_, before) => {
    expect(removedBoards([{ id: b.id, content: {} }], [{ id: b.id, content: before }], LECTERN)).toEqual([]);
    expect(removal(boardOf(b.id, before, LECTERN))).toEqual({});
  });
  test.each([null, 7, [], { kind: "whiteboard", board: "x" }, { kind: "toString", board: b.board }])("AD7 a record %j is not offered", (record) => {
    expect(removedBoards([{ id: b.id, content: { "com.educationpub.removed": record } }], [], LECTERN)).toEqual([]);
  });
  test("AD7 a hostile name in a record is cleaned", () => {
    const [back] = removedBoards([{ id: b.id, content: { "com.educationpub.removed": { kind: "whiteboard", board: b.board, name: `\u202e${"x".repeat(10_000)}` } } }], [], LECTERN);
    expect(back?.name).toBe(`${"x".repeat(99)}…`);
  });
});

describe("AD4 the layout", () => {
  test("AD4 the first has the whole width", () => expect(layoutWith(undefined, [], ["a"])).toEqual({ widgets: { a: { container: "top", index: 0, width: 100, height: 60 } } }));
  test("AD4 others and unknown fields stay, the width is shared", () => {
    const layout = { other: 1, widgets: { right: { container: "right" }, old: { container: "top", index: 0, width: 100, height: 40, x: 1 } } };
    expect(layoutWith(layout, ["old", "right"], ["new"])).toEqual({
      other: 1,
      widgets: { right: { container: "right" }, old: { container: "top", index: 0, width: 50, height: 40, x: 1 }, new: { container: "top", index: 1, width: 50, height: 40 } },
    });
  });
  test("AD4 a full top is left as it is; places of removed widgets are given away", () => {
    const top = { widgets: Object.fromEntries(["a", "b", "c"].map((id, index) => [id, { container: "top", index, width: 33, height: 60 }])) };
    expect(layoutWith(top, ["a", "b", "c"], ["d"])).toBeNull();
    expect(Object.keys((layoutWith(top, ["a", "c"], ["d"])?.["widgets"] ?? {}) as object).sort()).toEqual(["a", "c", "d"]);
  });
  test("AD4 nothing is written for what is there already", () => expect(layoutWith({ widgets: { a: { container: "top" } } }, ["a"], ["a"])).toBeNull());
  test.each([{ widgets: 7 }, { widgets: null }, { widgets: { a: 5, b: { container: "top", index: "x" } } }])("AD4 a damaged layout %j does not stop anybody", (layout) => {
    expect(layoutWith(layout, [], ["n"])).toMatchObject({ widgets: { n: { container: "top", index: 0, width: 100 } } });
  });
});

describe("AD8 names", () => {
  test.each([
    ["  Lesson\t 3\n", "Lesson 3"],
    ["\u202egnp.exe\u2066", "gnp.exe"],
    ["a\u0000b\u0007c\u200bd\ufeff", "abcd"],
    ["e\u0301", "\u00e9"],
    ["\u{1F469}\u200d\u{1F3EB}", "\u{1F469}\u200d\u{1F3EB}"],
    [`z${"\u0335".repeat(50)}`, `z${"\u0335".repeat(4)}`],
    ["\u05e9\u05d9\u05e2\u05d5\u05e8", "\u05e9\u05d9\u05e2\u05d5\u05e8"],
    ["x\ud800", "x"],
  ])("AD8 %j is written as %j", (raw, name) => expect(checkName(raw)).toEqual({ name }));
  test.each(["", " \n", "\u202e\u200b", "\u200d"])("AD8 %j cannot be seen", (raw) => expect(checkName(raw)).toEqual({ problem: "empty", length: 0 }));
  test("AD8 a hundred characters are a name, more are refused with their number", () => {
    expect(checkName("\u{1F3EB}".repeat(100))).toEqual({ name: "\u{1F3EB}".repeat(100) });
    expect(checkName("x".repeat(10_000))).toEqual({ problem: "long", length: 10_000 });
  });
  test("AD8 others' names are cut for showing", () => {
    expect(shownName("x".repeat(1_000_000))).toBe(`${"x".repeat(99)}…`);
    expect(shownName("\u202eBoard")).toBe("Board");
    expect(shownName("\u202e")).toBe("");
  });
});

describe("AD9 Matrix IDs", () => {
  test.each(["@amir:school.example", "@a.b=c_d-e/f+g:x", "@UPPER:example.org:8448", "@u:127.0.0.1", "@u:[::1]:8448", "@!#$%&*:x", `@${"a".repeat(252)}:x`])("AD9 %s", (id) => expect(isUserId(id)).toBe(true));
  test.each(["", "amir", "@amir", "@:x", "@amir:", "#room:x", "!room:x", "@a b:x", "@\u00fc:x", "@a:-x", "@a:x-", "@a:x:port", "@a:x:123456", "@a:b/c", "@a:[zz]", `@${"a".repeat(253)}:x`, "@a\u0000:x"])("AD9 %j is none", (id) => expect(isUserId(id)).toBe(false));
  test("AD9 a field of people: each once, links too, without who comes anyway", () => {
    const text = "@a:x, @b:y;@a:x\n https://matrix.to/#/@c:z?via=z https://matrix.to/#/%40d:z @me:x";
    expect(checkPeople(text, ["@me:x"])).toEqual({ ids: ["@a:x", "@b:y", "@c:z", "@d:z"], wrong: [] });
    expect(checkPeople("amir @a:x https://matrix.to/#/%E0%A4%A", [])).toEqual({ ids: ["@a:x"], wrong: ["amir", "https://matrix.to/#/%E0%A4%A"] });
    expect(checkPeople("", [])).toEqual({ ids: [], wrong: [] });
  });
});

describe("AD6 steps", () => {
  const step = (id: string, run: Step["run"], needs: string[] = []): Step => ({ id, label: { key: "step.create" }, needs, run });
  const nothing = () => Promise.resolve(undefined);

  test("AD6 a failure stops what needs it, and trying again does nothing twice", async () => {
    const ran: string[] = [];
    let broken = true;
    const steps = new Steps([
      step("a", () => (ran.push("a"), nothing())),
      step("b", () => (ran.push("b"), broken ? Promise.reject(new StepProblem({ key: "boards.gone" })) : nothing()), ["a"]),
      step("c", () => (ran.push("c"), nothing()), ["b"]),
      step("d", () => (ran.push("d"), Promise.resolve({ key: "step.layoutCannot" } as const))),
    ]);
    const states = () => steps.get().steps.map((s) => s.state);
    expect(states()).toEqual(["waiting", "waiting", "waiting", "waiting"]);
    expect(await steps.run()).toBe(false);
    expect(states()).toEqual(["done", "failed", "waiting", "noted"]);
    expect(steps.get().steps[1]?.sentence).toEqual({ key: "boards.gone" });
    broken = false;
    expect(await steps.run()).toBe(true);
    expect(states()).toEqual(["done", "done", "done", "noted"]);
    expect(ran.join("")).toBe("abdbc");
  });
  test("AD6 two runs at once are one", async () => {
    let n = 0;
    const steps = new Steps([step("a", () => (n++, nothing()))]);
    expect(await Promise.all([steps.run(), steps.run()])).toEqual([true, false]);
    expect(n).toBe(1);
  });
  test("AD6 the homeserver's words, or that it does not answer", () => {
    expect(explain(Object.assign(new Error("x"), { httpStatus: 403, errcode: "M_FORBIDDEN", data: { error: "You are banned" } }))).toEqual({ key: "add.refused", params: { detail: "You are banned" } });
    expect(explain(Object.assign(new Error("x"), { httpStatus: 502 })).key).toBe("add.unreachable");
    expect(explain(new TypeError("Failed to fetch"))).toEqual({ key: "add.unreachable", params: { detail: "Failed to fetch" } });
  });
  test("AD6 equal state is recognised whatever the order of its keys", () => {
    expect(same({ a: 1, b: [{ c: 2 }] }, { b: [{ c: 2 }], a: 1 })).toBe(true);
    for (const [x, y] of [[{ a: 1 }, { a: 1, b: 2 }], [{ a: 1 }, { b: 1 }], [[1], { 0: 1 }], [null, {}], [{ a: undefined }, { b: 1 }], ["1", 1]]) expect(same(x, y)).toBe(false);
  });
});
