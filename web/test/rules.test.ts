import { describe, expect, test, vi } from "vitest";
import { hindrance, NO_RULES, parseRules } from "../src/board/rules";

const bytes = (s: string) => new TextEncoder().encode(s);

describe("rules", () => {
  test("RU1 RU6 why somebody does not draw", () => {
    const rules = { ...NO_RULES, barred: ["@b:e"], chosen: ["@a:e"], pages: ["p2"] };
    const of = (draw: "" | "chosen" | "moderators") => ["@m:e", "@a:e", "@b:e", "@c:e"].map((id) => hindrance({ ...rules, draw }, id === "@m:e" ? "moderator" : "participant", id, "p1"));
    expect(of("")).toEqual(["", "", "barred", ""]);
    expect(of("chosen")).toEqual(["", "", "barred", "chosen"]);
    expect(of("moderators")).toEqual(["", "moderators", "moderators", "moderators"]);
    expect([hindrance(rules, "participant", "@a:e", "p2"), hindrance(rules, "moderator", "@m:e", "p2"), hindrance(rules, "viewer", "@a:e", "p1")]).toEqual(["page", "", "viewer"]);
  });
  test("RU6 rules as they are sent, and what cannot be read", () => {
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    expect(parseRules(undefined)).toBe(NO_RULES);
    expect(parseRules(bytes('{"draw":"chosen","chosen":["@a:e",7],"pages":"x","later":1}'))).toEqual({ draw: "chosen", chosen: ["@a:e"], barred: [], pages: [] });
    expect([parseRules(bytes("{")), parseRules(bytes('{"draw":"nobody"}'))]).toEqual([NO_RULES, NO_RULES]);
    vi.restoreAllMocks();
  });
});
