import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { closedText, headline, problemText, readersText, savedText } from "../src/board/status";
import { originOf, themeOf } from "../src/host/widget";
import { fill, languages, translator } from "../src/ui/i18n";
import { de } from "../src/ui/messages.de";
import { en } from "../src/ui/messages.en";

const t = translator("en");
const base = { link: { kind: "open", lane: 0 } as const, ready: true, shown: true, documentProblem: false, role: "participant", unsaved: 0, tabOnly: false, durable: true, saved: { seq: 1, at: 1_000_000, problem: "", since: 0 } };
const placeholders = (s: string) => [...new Set([...s.matchAll(/\{(\w+)[}|]/g)].map((m) => m[1]))].sort();

describe("words", () => {
  test("WG41 every message exists in every language, with the same placeholders", () => {
    expect(languages).toEqual(["en", "de"]);
    expect(Object.keys(de).sort()).toEqual(Object.keys(en).sort());
    for (const key of Object.keys(en) as (keyof typeof en)[]) {
      expect([key, placeholders(de[key])]).toEqual([key, placeholders(en[key])]);
      expect(de[key].trim().length).toBeGreaterThan(0);
    }
  });
  test("WG41 unknown languages read English, regional ones their language", () => {
    expect(translator("fr")("cancel")).toBe(en.cancel);
    expect(translator("de-AT")("cancel")).toBe(de.cancel);
    expect(fill("{a} {b}", { a: 1 })).toBe("1 {b}");
    expect([0, 1, 2].map((n) => fill("{n} {n|cat|cats}", { n }))).toEqual(["0 cats", "1 cat", "2 cats"]);
  });
  test("WG42 every state has a headline, and what is wrong is a sentence", () => {
    expect(headline(base, t)).toEqual({ text: "Live", tone: "good" });
    expect(headline({ ...base, ready: false, shown: false }, t)).toEqual({ text: "Loading the drawing …", tone: "busy" });
    expect(headline({ ...base, ready: false }, t)).toEqual({ text: "Loading … You can look already.", tone: "busy" });
    expect(headline({ ...base, link: { kind: "connecting", problem: "" } }, t).tone).toBe("busy");
    const away = { ...base, link: { kind: "resuming", problem: "" } as const };
    expect(headline(away, t)).toEqual({ text: "Offline, you can go on drawing", tone: "busy" });
    expect(headline({ ...away, tabOnly: true }, t).tone).toBe("bad");
    expect(headline({ ...away, role: "viewer" }, t).text).toBe("Reconnecting …");
    expect(problemText(base, 0, t)).toBe("");
    const offline = { ...base, link: { kind: "resuming", problem: "draining" } as const };
    expect(problemText({ ...offline, unsaved: 3 }, 0, t)).toContain("3 changes waiting to be sent, saved on this device.");
    expect(problemText({ ...offline, unsaved: 1, tabOnly: true }, 0, t)).toContain("1 change waiting to be sent. It is in this tab only");
    expect(problemText({ ...offline, unsaved: 1 }, 0, translator("de"))).toContain("1 Änderung wartet auf das Senden, auf diesem Gerät gesichert");
    expect(problemText({ ...offline, unsaved: 2 }, 0, translator("de"))).toContain("2 Änderungen warten");
    expect(problemText(offline, 0, t)).toContain("restarts");
    expect(problemText(offline, 0, t)).not.toContain("tab"); // no wolf
    expect(problemText({ ...offline, durable: false }, 0, t)).toContain("leave this tab open");
    expect(problemText({ ...base, durable: false }, 0, t)).toBe("");
    expect(problemText({ ...offline, role: "viewer", durable: false }, 0, t)).not.toContain("draw");
  });
  test("WG42 every reason why the copy in the room is not the newest has its own sentence, in every language, that says what becomes of one's work", () => {
    const codes = ["unreachable", "failing", "busy", "power", "too_large", "signed_out", "stuck", "heavy", "damaged", "storage", "other"];
    for (const language of languages) {
      const say = (problem: string) => problemText({ ...base, saved: { ...base.saved, problem, since: 1_000_000 } }, 1_180_000, translator(language));
      expect(new Set(codes.map(say)).size).toBe(codes.length);
      for (const code of codes) expect(say(code)).not.toMatch(/[{}]|status\./);
      expect(say("unreachable")).toContain("3 min");
      expect(say("a later version's")).toBe(say("other"));
    }
    expect(problemText({ ...base, saved: { ...base.saved, problem: "unreachable", since: 1_000_000 } }, 1_040_000, t)).toContain("has not answered for 40 s");
  });
  test("WG42 the age of the copy in the room", () => {
    const at = (s: number) => savedText(base, 1_000_000 + s * 1000, t);
    expect([at(1), at(12), at(180), at(3 * 3600)]).toEqual(["Saved to the room just now", "Saved to the room 12 s ago", "Saved to the room 3 min ago", "Saved to the room 3 h ago"]);
    expect(savedText({ saved: { seq: 0, at: 0, problem: "", since: 0 } }, 5, t)).toBe("Not saved to the room yet");
  });
  test("WG42 every closed state says why; unknown codes keep the server's words", () => {
    for (const code of ["removed", "not_joined", "server_denied", "no_widget", "board_elsewhere", "openid_blocked", "bad_frame", "board_damaged", "board_erased"]) {
      expect(closedText({ kind: "closed", code, message: "" }, t)).not.toContain("closed.");
    }
    // Not "closed for you": it is closed for everybody, and the operator has to hear of it.
    expect(headline({ ...base, link: { kind: "closed", code: "board_damaged", message: "" } }, t)).toEqual({ text: "This board is damaged", tone: "bad" });
    expect(closedText({ kind: "closed", code: "odd", message: "Because." }, t)).toContain("Because.");
  });
  test("WG43 who can read the board follows from the room", () => {
    expect(readersText({ encrypted: true, companion: "@l:e" }, t)).toContain("end-to-end encrypted");
    expect(readersText({ encrypted: false, companion: "@l:e" }, t)).toContain("not encrypted");
  });
  test("WG4 the client's origin, desktop schemes included", () => {
    expect(originOf("https://app.element.io/#/room/x")).toBe("https://app.element.io");
    expect(originOf("vector://vector/webapp/")).toBe("vector://vector");
    expect(originOf("nonsense")).toBeUndefined();
  });
  test("WG44 theme names of clients", () => {
    expect(["light", "dark", "custom-Deep Dark", "light-high-contrast", ""].map(themeOf)).toEqual(["light", "dark", "dark", "light", "light"]);
  });
  test("WG45 the sandbox has no modals: nothing calls alert, confirm or prompt", () => {
    for (const f of ["App.tsx", "Canvas.tsx", "StatusLine.tsx", "board.ts"]) {
      expect(readFileSync(new URL(`../src/board/${f}`, import.meta.url), "utf8")).not.toMatch(/\b(alert|confirm|prompt)\(/);
    }
  });
});
