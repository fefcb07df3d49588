import { describe, expect, test } from "vitest";
import { forgetSession, loadSession, saveSession, signIn, signOut, SignInError } from "../account";
import { ConfigError, homeserverFor, parseConfig, serverOf } from "../config";
import { admit, mayPass } from "../guard";
import { catalogues, fill, pickLanguage } from "../i18n";
import { reasonOf } from "../reason";
import { mapMemory } from "../storage";

const config = { homeservers: [{ name: "a.x", url: "http://127.0.0.1:1/" }, { name: "b.x", url: "http://127.0.0.1:2" }], lectern: "http://localhost:3", version: "1" };

describe("CL1 configuration", () => {
  test("CL1 a complete one, trailing slashes dropped", () => {
    const c = parseConfig(JSON.stringify({ ...config, demoUsers: [{ user_id: "@t:a.x", password: "p", name: "T", role: "teacher" }], companion: "@l:a.x" }));
    expect(c.homeservers[0]?.url).toBe("http://127.0.0.1:1");
    expect([c.demoUsers.length, c.companion, c.version]).toEqual([1, "@l:a.x", "1"]);
    expect(parseConfig(JSON.stringify({ ...config, demoUsers: null })).demoUsers).toEqual([]);
  });
  test.each([
    ["", "not JSON"],
    ["[]", "must be an object"],
    ["{}", "at least one homeserver"],
    [JSON.stringify({ ...config, homeservers: [{ name: "x" }] }), "homeservers[0].url"],
    [JSON.stringify({ ...config, lectern: "javascript:1" }), "lectern must be"],
    [JSON.stringify({ ...config, demoUsers: [{ user_id: "@t:a.x" }] }), "demoUsers[0].password"],
  ])("CL1 %s is refused with a reason", (json, reason) => {
    expect(() => parseConfig(json)).toThrow(ConfigError);
    expect(() => parseConfig(json)).toThrow(reason);
  });
  test("CL1 people go to their own homeserver", () => {
    const c = parseConfig(JSON.stringify(config));
    expect([homeserverFor(c, "@u:b.x").name, homeserverFor(c, "@u:other").name, homeserverFor(c, "plain").name]).toEqual(["b.x", "a.x", "a.x"]);
    expect(serverOf("@u:host:8448")).toBe("host:8448");
  });
});

describe("CL2 signing in", () => {
  const hs = { name: "a.x", url: "http://127.0.0.1:1" };
  const answer = (status: number, body: unknown): typeof fetch => () => Promise.resolve(new Response(typeof body === "string" ? body : JSON.stringify(body), { status }));

  test("CL2 asks with the trimmed name and gives the session", async () => {
    let sent = "";
    const s = await signIn(hs, " amir ", "pw", (url, init) => {
      sent = `${String(url)} ${String(init?.body)}`;
      return answer(200, { user_id: "@amir:a.x", device_id: "D", access_token: "T" })(url, init);
    });
    expect(sent).toContain("http://127.0.0.1:1/_matrix/client/v3/login");
    expect(sent).toContain('"user":"amir"');
    expect(s).toEqual({ homeserver: hs.url, userId: "@amir:a.x", deviceId: "D", accessToken: "T" });
  });
  test.each([
    [403, { errcode: "M_FORBIDDEN", error: "no" }, "wrong_password"],
    [401, { errcode: "M_UNAUTHORIZED" }, "wrong_password"],
    [403, { errcode: "M_USER_DEACTIVATED" }, "deactivated"],
    [429, { errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 2500 }, "rate_limited"],
    [400, { errcode: "M_UNKNOWN" }, "no_password_login"],
    [503, { errcode: "M_UNKNOWN" }, "unreachable"],
    [500, { errcode: "M_UNKNOWN", error: "boom" }, "unexpected"],
    [200, { user_id: "@a:x" }, "unexpected"],
    [200, "<html>", "unexpected"],
  ] as const)("CL2 %s %o is %s", async (status, body, problem) => {
    const err = await signIn(hs, "a", "b", answer(status, body)).then(() => null, (e: unknown) => e);
    expect(err).toBeInstanceOf(SignInError);
    expect((err as SignInError).problem).toBe(problem);
    if (problem === "rate_limited") expect((err as SignInError).retryAfterMs).toBe(2500);
  });
  test("CL2 no network is unreachable", async () => {
    await expect(signIn(hs, "a", "b", () => Promise.reject(new TypeError("Failed to fetch")))).rejects.toMatchObject({ problem: "unreachable" });
  });
  test("CL3 the session is kept, forgotten, and a damaged one counts as none", async () => {
    const memory = mapMemory();
    const session = { homeserver: hs.url, userId: "@a:x", deviceId: "D", accessToken: "T" };
    saveSession(memory, session);
    expect(loadSession(memory)).toEqual(session);
    memory.set("session", '{"homeserver":1}');
    expect(loadSession(memory)).toBeNull();
    expect(memory.get("session")).toBeNull();
    saveSession(memory, session);
    forgetSession(memory);
    expect(loadSession(memory)).toBeNull();
    expect([await signOut(session, answer(200, {})), await signOut(session, () => Promise.reject(new TypeError("x")))]).toEqual([true, false]);
  });
});

describe("CL7 widget messages", () => {
  test("CL7 pass only from the widget's own frame and origin, while it is shown", () => {
    const [mine, other] = [{} as Window, {} as Window];
    const release = admit("wb", mine, "https://w.x");
    expect(mayPass("wb", mine, "https://w.x")).toBe(true);
    expect([mayPass("wb", other, "https://w.x"), mayPass("wb", mine, "https://evil.x"), mayPass("other", mine, "https://w.x"), mayPass("", mine, "https://w.x")]).toEqual([false, false, false, false]);
    release();
    expect(mayPass("wb", mine, "https://w.x")).toBe(false);
  });
});

describe("CL13 the catalogue", () => {
  const { en, de } = catalogues;
  const params = (s: string) => [...s.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();
  test.each(Object.keys(en) as (keyof typeof en)[])("CL13 %s is there in German, with the same parameters", (key) => {
    expect(de[key].trim()).not.toBe("");
    expect(params(de[key])).toEqual(params(en[key]));
  });
  test("CL13 nothing was left in English", () => {
    const same = (Object.keys(en) as (keyof typeof en)[]).filter((k) => en[k] === de[k] && /[a-z]{4}/i.test(en[k].replace(/\{\w+\}/g, "")));
    expect(same).toEqual(["app.name", "app.version", "members.companion", "add.name"]);
  });
  test("CL13 language of the person, else English", () => {
    expect([pickLanguage(["fr", "de-AT", "en"]), pickLanguage(["fr"]), pickLanguage([])]).toEqual(["de", "en", "en"]);
    expect(fill("{a} and {b}", { a: 1 })).toBe("1 and {b}");
  });
});

test("CL4 what the server said is what people read", () => {
  expect(reasonOf(Object.assign(new Error("MatrixError: [403] …"), { errcode: "M_FORBIDDEN", data: { error: "You are banned" } }))).toBe("You are banned");
  expect(reasonOf(Object.assign(new Error("x"), { errcode: "M_FORBIDDEN" }))).toBe("M_FORBIDDEN");
  expect(reasonOf("plain")).toBe("plain");
});
