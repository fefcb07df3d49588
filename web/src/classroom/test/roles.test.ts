import { describe, expect, test } from "vitest";
import { powerOf, roleOf, type Powers } from "../roles";

const create = (room_version = "10", more: string[] = []) => ({ sender: "@creator:x", content: { room_version, additional_creators: more } });
const levels = (powerLevels: Record<string, unknown>): Powers => ({ powerLevels, create: create() });

describe("CL8 role words from power levels", () => {
  test("CL8 defaults: 50 moderates, 0 takes part", () => {
    const p = levels({ users: { "@t:x": 50, "@s:x": 49 } });
    expect([roleOf(p, "@t:x"), roleOf(p, "@s:x"), roleOf(p, "@nobody:x")]).toEqual(["moderator", "participant", "participant"]);
  });
  test("CL8 events_default above a person makes a viewer", () => expect(roleOf(levels({ events_default: 10 }), "@s:x")).toBe("viewer"));
  test("CL8 the kind's own edit level counts before events_default", () => {
    const p = levels({ events_default: 0, events: { "com.educationpub.whiteboard.edit": 20 } });
    expect([roleOf(p, "@s:x"), roleOf(p, "@s:x", "notes")]).toEqual(["viewer", "participant"]);
  });
  test("CL8 moderation level is max(50, kick) unless set", () => {
    expect(roleOf(levels({ kick: 75, users: { "@t:x": 60 } }), "@t:x")).toBe("participant");
    expect(roleOf(levels({ kick: 10, users: { "@t:x": 20 } }), "@t:x")).toBe("participant");
    expect(roleOf(levels({ kick: 75, users: { "@t:x": 60 }, events: { "com.educationpub.moderation.action": 60 } }), "@t:x")).toBe("moderator");
  });
  test("CL8 users_default counts for people who are not named", () => expect(powerOf(levels({ users_default: 30 }), "@s:x")).toBe(30));
  test("CL8 no power-level event: the creator has 100, others 0", () => {
    const p: Powers = { powerLevels: undefined, create: create() };
    expect([powerOf(p, "@creator:x"), powerOf(p, "@s:x")]).toEqual([100, 0]);
  });
  test("CL8 creators of version 12 stand above everything, of version 11 not", () => {
    const pl = { users: {} };
    expect(powerOf({ powerLevels: pl, create: create("12", ["@second:x"]) }, "@second:x")).toBe(Infinity);
    expect(powerOf({ powerLevels: pl, create: create("12") }, "@creator:x")).toBe(Infinity);
    expect(powerOf({ powerLevels: pl, create: create("11") }, "@creator:x")).toBe(0);
  });
  test.each(["100", 1.5, null, NaN])("CL8 a level %s that is no integer counts as the default", (v) => expect(powerOf(levels({ users: { "@s:x": v } }), "@s:x")).toBe(0));
});
