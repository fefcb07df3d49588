import { describe, expect, test } from "vitest";
import { sortRequest, wordingOf } from "../capabilities";
import { Grants } from "../grants";
import { Prompts, Withdrawn } from "../prompts";
import { mapMemory } from "../storage";
import type { RoomWidget } from "../widgets";

const widget = (over: Partial<RoomWidget> = {}): RoomWidget => ({
  id: "wb", roomId: "!r:x", eventId: "$1", sender: "@t:x", name: "Board", type: "m.custom", url: "https://w.x/b", data: {}, waitForIframeLoad: true, ...over,
});

describe("CL9 consent to load", () => {
  test("CL9 who added it is not asked, others are, once per address and data; a new name asks nobody again", () => {
    const memory = mapMemory();
    expect(new Grants(memory, "@t:x").mayLoad(widget())).toBe(true);
    const g = new Grants(memory, "@s:x");
    expect(g.mayLoad(widget())).toBe(false);
    g.rememberLoad(widget());
    expect(g.mayLoad(widget())).toBe(true);
    expect(g.mayLoad(widget({ eventId: "$2", name: "Lesson 3" }))).toBe(true);
    expect(g.mayLoad(widget({ eventId: "$2", url: "https://w.x/other" }))).toBe(false);
    expect(g.mayLoad(widget({ eventId: "$2", data: { board: "other" } }))).toBe(false);
    expect(g.mayLoad(widget({ id: "other" }))).toBe(false);
    expect(g.mayLoad(widget({ roomId: "!other:x" }))).toBe(false);
    expect(new Grants(memory, "@other:x").mayLoad(widget())).toBe(false);
  });
});

describe("CL10 capabilities", () => {
  test("CL10 sorted into automatic, asked and unsupported, each once", () => {
    const r = sortRequest(
      ["m.capability.screenshot", "io.element.requires_client", "org.matrix.msc2762.receive.state_event:m.room.member", "org.matrix.msc2762.send.event:m.room.message",
        "org.matrix.msc4039.upload_file", "org.matrix.msc2762.receive.state_event:m.room.member", "m.always_on_screen"],
      "!r:x",
    );
    expect(r.automatic).toEqual(["m.capability.screenshot", "io.element.requires_client"]);
    expect(r.ask.map((a) => a.wording.key)).toEqual(["cap.members"]);
    expect(r.unsupported).toEqual(["org.matrix.msc2762.send.event:m.room.message", "org.matrix.msc4039.upload_file", "m.always_on_screen"]);
  });
  test.each([
    ["org.matrix.msc2762.receive.state_event:com.x#key", "cap.state", { type: "com.x" }],
    ["org.matrix.msc2762.receive.state_event:com.x\\#y#key", "cap.state", { type: "com.x#y" }],
    ["org.matrix.msc2762.receive.event:m.room.message#m.text", "cap.messages", {}],
    ["org.matrix.msc3819.send.to_device:com.x", "cap.toDeviceSend", { type: "com.x" }],
    ["org.matrix.msc3819.receive.to_device:com.x", "cap.toDeviceReceive", { type: "com.x" }],
    ["org.matrix.msc2762.timeline:!r:x", "cap.timeline", {}],
  ] as const)("CL10 %s in words", (capability, key, params) => expect(wordingOf(capability, "!r:x")).toEqual({ key, params }));
  test.each(["org.matrix.msc2762.timeline:*", "org.matrix.msc2762.timeline:!other:x", "org.matrix.msc2762.receive.state_event:", "nonsense", ""])(
    "CL10 %s is not offered",
    (c) => expect(wordingOf(c, "!r:x")).toBeNull(),
  );
  test("CL10 remembered per room, id and address; a later request adds to it", () => {
    const g = new Grants(mapMemory(), "@s:x");
    g.rememberCapabilities(widget(), ["a"], ["b"]);
    g.rememberCapabilities(widget(), ["b"], ["c"]);
    const known = g.capabilities(widget());
    expect([[...known.allowed].sort(), [...known.declined]]).toEqual([["a", "b"], ["c"]]);
    for (const other of [widget({ roomId: "!o:x" }), widget({ id: "o" }), widget({ url: "https://evil.x" })]) expect(g.capabilities(other).allowed.size).toBe(0);
  });
  test("CL10 damaged memory asks again", () => {
    const memory = mapMemory();
    const g = new Grants(memory, "@s:x");
    g.rememberCapabilities(widget(), ["a"], []);
    for (const k of memory.keys()) memory.set(k, "{");
    expect(g.capabilities(widget()).allowed.size).toBe(0);
  });
});

describe("CL11 identity", () => {
  test("CL11 remembered per room and address, forgotten on request, for this person only", () => {
    const memory = mapMemory();
    const [s, o] = [new Grants(memory, "@s:x"), new Grants(memory, "@o:x")];
    expect(s.identity(widget())).toBe("ask");
    s.rememberIdentity(widget(), "allow");
    o.rememberIdentity(widget(), "deny");
    expect([s.identity(widget()), o.identity(widget()), s.identity(widget({ url: "https://evil.x" })), s.identity(widget({ roomId: "!o:x" }))]).toEqual(["allow", "deny", "ask", "ask"]);
    s.clear();
    expect([s.identity(widget()), o.identity(widget())]).toEqual(["ask", "deny"]);
  });
});

describe("CL12 questions", () => {
  test("CL12 come one after another, and go with their widget", async () => {
    const prompts = new Prompts();
    const gone = new AbortController();
    const first = prompts.identity(widget(), new AbortController().signal);
    const second = prompts.identity(widget({ id: "2" }), gone.signal);
    const third = prompts.capabilities(widget({ id: "3" }), [], new AbortController().signal);
    expect(prompts.current()?.widget.id).toBe("wb");
    gone.abort();
    await expect(second).rejects.toBeInstanceOf(Withdrawn);
    const p = prompts.current();
    if (p?.kind !== "identity") throw new Error("the identity question should be first");
    p.answer({ allow: true, remember: false });
    await expect(first).resolves.toEqual({ allow: true, remember: false });
    const q = prompts.current();
    if (q?.kind !== "capabilities") throw new Error("the capability question should be left");
    q.answer({ allowed: new Set(), remember: true });
    await expect(third).resolves.toMatchObject({ remember: true });
    expect(prompts.current()).toBeNull();
    await expect(prompts.identity(widget(), gone.signal)).rejects.toBeInstanceOf(Withdrawn);
  });
  test("CL12 wait while a dialog of the page is open", () => {
    const prompts = new Prompts();
    const release = [prompts.hold(), prompts.hold()];
    void prompts.identity(widget(), new AbortController().signal);
    expect(prompts.current()).toBeNull();
    release[0]?.();
    expect(prompts.current()).toBeNull();
    release[1]?.();
    expect(prompts.current()?.widget.id).toBe("wb");
  });
});
