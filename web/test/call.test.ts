import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Launcher } from "../src/call/launcher";
import { openCall } from "../src/call/open";
import { listed, outcome, tell } from "../src/call/outcome";
import { CallSession } from "../src/call/session";
import { barred, decided, inCall, mediaOf, notInCall, standing, toggled } from "../src/call/state";
import { SOURCES, type Act, type Answer, type Call, type Device, type Member, type Result } from "../src/call/wire";
import { catalogues, translator, type Message } from "../src/call/words";
import { Refused } from "../src/link/session";

const t = translator("en");
const device = (over: Partial<Device> = {}): Device => ({ device: "D", where: "here", listed: true, microphone: "on", camera: "off", screen_share: "off", ...over });
const member = (name: string, over: Partial<Member> = {}): Member => ({ user_id: `@${name.toLowerCase()}:a.example`, name, external: "", role: "participant", may_moderate: true, joined: true, removed: false, sources: SOURCES, devices: [device()], ...over });
const call = (over: Partial<Call> = {}): Call => ({ configured: true, revision: 1, down: false, ended: 0, moderator: true, sources: SOURCES, mine: SOURCES, element_call: "", user_id: "@me:a.example", room_name: "7b", members: [], strangers: [], ...over });
const done: Result = { outcome: "enforced", changed: 1, noted: true, kept: true };

describe("call: words", () => {
  const placeholders = (s: string) => [...new Set([...s.matchAll(/\{(\w+)[}|]/g)].map((m) => m[1]))].sort();
  test("CA9 every message exists in every language, with the same placeholders", () => {
    const { en } = catalogues;
    for (const [language, other] of Object.entries(catalogues)) {
      expect([language, Object.keys(other).sort()]).toEqual([language, Object.keys(en).sort()]);
      for (const key of Object.keys(en) as Message[]) expect([language, key, placeholders(other[key])]).toEqual([language, key, placeholders(en[key])]);
    }
    expect(translator("fr")("cancel")).toBe("Cancel");
    expect(translator("de-AT")("cancel")).toBe("Abbrechen");
  });
  test("CA6 nothing the page can say or do switches a microphone on", () => {
    // @ts-expect-error there is no such act
    const act: Act = { action: "unmute", user_id: "@ben:a.example" };
    expect(act).toBeDefined();
    expect(Object.keys(catalogues.en).filter((k) => /unmute/i.test(k))).toEqual([]);
  });
});

describe("call: how it stands", () => {
  test("CA4 what is said first", () => {
    const me = member("Me", { removed: true, devices: [] });
    const ben = member("Ben");
    expect(standing({ configured: false }).kind).toBe("off");
    expect(standing(call({ down: true, ended: 5, members: [me] })).kind).toBe("down");
    expect(standing(call({ ended: 5, members: [me] })).kind).toBe("removed");
    expect(standing(call({ ended: 90_000, members: [ben] }), 30_000)).toEqual({ kind: "ended", ms: 60_000 });
    expect(standing(call({ ended: 90_000, members: [ben] }), 90_000).kind).toBe("going"); // it has run out meanwhile
    expect(standing(call()).kind).toBe("empty");
    expect(standing(call({ members: [ben] }))).toEqual({ kind: "going", count: 1, here: false });
    expect(standing(call({ members: [ben, { ...me, removed: false, devices: [device({ where: "elsewhere" })] }] }))).toEqual({ kind: "going", count: 2, here: true });
  });
  test("CA5 who only says that they are in the call does not count, and is listed", () => {
    const ghost = member("Ghost", { devices: [device({ where: "nowhere" })] });
    expect(standing(call({ members: [ghost] })).kind).toBe("empty");
    expect(inCall(call({ members: [ghost] }), "en")).toEqual([ghost]);
  });
  test("CA5 the reader first, then moderators, then by name as people sort; decided about and away are apart", () => {
    const members = [member("zoe"), member("Ömer"), member("Ada", { role: "moderator" }), member("Klasse 10"), member("Klasse 9"), member("Me", { user_id: "@me:a.example" }), member("Out", { devices: [], removed: true })];
    expect(inCall(call({ members }), "de").map((m) => m.name)).toEqual(["Me", "Ada", "Klasse 9", "Klasse 10", "Ömer", "zoe"]);
    expect(notInCall(call({ members }), "de").map((m) => m.name)).toEqual(["Out"]);
    const twins = [member("Al", { user_id: "@b:x" }), member("Al", { user_id: "@a:x" })];
    expect(inCall(call({ members: twins }), "en").map((m) => m.user_id)).toEqual(["@a:x", "@b:x"]);
  });
  test("CA5 of several devices the loudest counts", () => {
    const of = (...media: Device["microphone"][]) => mediaOf(member("A", { devices: media.map((microphone) => device({ microphone })) }), "microphone");
    expect([of(), of("off", "off"), of("off", "muted"), of("muted", "on")]).toEqual(["off", "off", "muted", "on"]);
  });
  test("CA7 deciding about a person never makes stricter what the room's rule hides", () => {
    const room = call({ sources: ["microphone"] });
    const ben = member("Ben", { sources: ["microphone"] });
    expect(barred(room, ben)).toEqual(["camera", "screen_share"]);
    expect(decided(room, ben, toggled(ben.sources, "microphone"))).toEqual(["camera", "screen_share"]);
    const ada = member("Ada", { role: "moderator", sources: ["microphone", "camera"] });
    expect(barred(room, ada)).toEqual([]);
    expect(decided(room, ada, toggled(ada.sources, "camera"))).toEqual(["microphone"]);
    expect(toggled(["screen_share"], "microphone")).toEqual(["microphone", "screen_share"]);
  });
});

describe("call: what came of a decision", () => {
  const name = (id: string) => ({ "@ada:a.example": "Ada", "@ben:b.example": "Ben", "@dora:b.example": "Dora" })[id] ?? id;
  const say = (act: Act, result: Partial<Result> = {}, language = "en") => outcome(act, { ...done, ...result }, name, translator(language));
  const ben = { people: { "@ben:b.example": "not_possible" }, foci: { "@ben:b.example": ["livekit.other.example"] }, outcome: "not_possible" } as const;
  test("CA8 enforced", () => {
    expect(say({ action: "mute", user_id: "@ada:a.example" })).toEqual({ tone: "good", text: "Ada’s microphone is off." });
    expect(say({ action: "mute", user_id: "@ada:a.example" }, {}, "de").text).toBe("Das Mikrofon von Ada ist aus.");
    expect(say({ action: "mute", user_id: "*" }, { changed: 3 }).text).toBe("3 microphones were switched off.");
    expect(say({ action: "mute", user_id: "*" }, { changed: 0 }).text).toBe("No microphone was on, but perhaps moderators’.");
    expect(say({ action: "sources", user_id: "@ada:a.example", sources: ["microphone", "camera"] }).text).toBe("Ada may use now: microphone and camera.");
    expect(say({ action: "sources", user_id: "*", sources: [] }).text).toBe("Everybody may only listen and watch now, but moderators.");
  });
  test("CA8 not possible: nothing is claimed, and what helps is said", () => {
    expect(say({ action: "mute", user_id: "@ben:b.example" }, { ...ben, changed: 0 })).toEqual({
      tone: "bad", text: "Ben publishes on livekit.other.example, where this Lectern has no say: only removing them from the room helps.",
    });
    expect(say({ action: "remove", user_id: "@ben:b.example" }, { outcome: "not_possible", changed: 0 })).toEqual({ tone: "bad", text: "That is not possible here." });
  });
  test("CA8 partly: what was done, and whom it did not reach", () => {
    const told = say({ action: "mute", user_id: "*" }, { ...ben, people: { ...ben.people, "@dora:b.example": "not_possible" }, foci: { ...ben.foci, "@dora:b.example": ["livekit.other.example"] }, changed: 4 });
    expect(told.tone).toBe("partly");
    expect(told.text).toBe("4 microphones were switched off. Ben and Dora publish on livekit.other.example, where this Lectern has no say: only removing them from the room helps.");
    expect(say({ action: "end" }, ben).text).toMatch(/^The call is over for everyone\. Ben publishes on/);
    expect(say({ action: "mute", user_id: "@ben:b.example" }, { ...ben, changed: 1 }).text).toMatch(/^Ben’s microphone is off\. Ben publishes on/); // one device here, one there
  });
  test("CA8 requested is not done", () => {
    const told = say({ action: "mute", user_id: "@ben:b.example" }, { outcome: "requested", people: { "@ben:b.example": "requested" }, foci: { "@ben:b.example": ["lectern.other.example"] }, changed: 0 });
    expect(told).toEqual({ tone: "partly", text: "Ben: their server was asked (lectern.other.example). Whether it does so is up to it." });
    expect(say({ action: "mute", user_id: "*" }, { outcome: "requested", changed: 0 }).text).toContain("everybody: their server was asked");
  });
  test("CA8 what was not noted or not kept is said", () => {
    const told = say({ action: "remove", user_id: "@ada:a.example" }, { noted: false, kept: false });
    expect(told.tone).toBe("partly");
    expect(told.text).toMatch(/could not be written into the room.*a restart of Lectern undoes it/);
  });
  test("CA8 every act has a sentence in every language, for one and for all", () => {
    const one = ["mute", "stop_video", "stop_share", "remove", "readmit", "kick", "ban"] as const;
    const acts: Act[] = [
      ...one.map((action) => ({ action, user_id: "@ada:a.example" }) as Act),
      ...(["mute", "stop_video", "stop_share"] as const).map((action) => ({ action, user_id: "*" })),
      { action: "sources", user_id: "*", sources: ["camera"] }, { action: "sources", user_id: "@ada:a.example", sources: [] }, { action: "remove", identity: "EG_x" }, { action: "end" }, { action: "begin" },
    ];
    for (const language of Object.keys(catalogues)) {
      const texts = acts.map((act) => say(act, { changed: 1 }, language).text);
      expect(new Set(texts).size).toBe(acts.length);
      for (const text of texts) expect(text).not.toMatch(/[{}]|did\.|^$/);
    }
  });
  test("CA8 errors: the server's sentence; what is not certain is not called undone", () => {
    const failed = (status: number) => tell({ kind: "failed", status, message: "Because." }, t);
    expect(failed(403)).toEqual({ tone: "bad", text: "Nothing was changed. Because." });
    expect(failed(503).text).toBe("It is not certain that this took effect. Because.");
    expect(failed(0).text).toContain("Lectern cannot be reached");
    expect(tell({ kind: "notLet" }, t).text).toContain("prove who you are");
    expect(listed([], t)).toBe("");
  });
});

describe("call: opening it", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  test("CA3 the client opens it, says why not, does not know how, or says nothing for 5 s", async () => {
    const asked: string[] = [];
    const open = (answer: Promise<unknown>) => openCall({ ask: (action) => (asked.push(action), answer) });
    expect(await open(Promise.resolve({}))).toEqual({ kind: "opened" });
    expect(asked).toEqual(["com.educationpub.open_call"]);
    expect(await open(Promise.reject(new Error("You are in another call.")))).toEqual({ kind: "refused", message: "You are in another call." });
    expect(await open(Promise.reject(new Error("Unknown or unsupported from-widget action: com.educationpub.open_call")))).toEqual({ kind: "unknown" });
    let opened: unknown;
    void open(new Promise(() => undefined)).then((o) => (opened = o));
    await vi.advanceTimersByTimeAsync(4_900);
    expect(opened).toBeUndefined();
    await vi.advanceTimersByTimeAsync(200);
    expect(opened).toEqual({ kind: "unknown" });
    expect(vi.getTimerCount()).toBe(0);
  });
});

/** A server by hand: each question waits until it is answered. */
class Fake {
  readonly asked: number[] = [];
  readonly acts: Act[] = [];
  forgotten = 0;
  private readonly waiting: { resolve: (a: Answer) => void; reject: (e: unknown) => void }[] = [];
  result: () => Promise<Result> = () => Promise.resolve(done);

  readonly token = () => Promise.resolve("t");
  readonly forget = () => void this.forgotten++;
  readonly call = (seen: number) => {
    this.asked.push(seen);
    return new Promise<Answer>((resolve, reject) => this.waiting.push({ resolve, reject }));
  };
  readonly act = (act: Act) => {
    this.acts.push(act);
    return this.result();
  };

  async answer(answer: Answer): Promise<void> {
    this.waiting.shift()?.resolve(answer);
    await vi.advanceTimersByTimeAsync(0);
  }
  async refuse(code: string, status: number, retryMs = 0): Promise<void> {
    this.waiting.shift()?.reject(new Refused(code, `${code}.`, status, retryMs));
    await vi.advanceTimersByTimeAsync(0);
  }
}

describe("call: following it", () => {
  let fake: Fake;
  let launcher: Launcher;
  beforeEach(() => {
    vi.useFakeTimers();
    fake = new Fake();
    launcher = new Launcher({ session: fake, random: () => 1 });
    void launcher.run();
  });
  afterEach(() => {
    launcher.stop();
    vi.useRealTimers();
  });
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

  test("CA2 one question at a time, each with the revision that was seen", async () => {
    expect(fake.asked).toEqual([0]);
    await fake.answer(call({ revision: 7 }));
    await pass(300);
    expect(fake.asked).toEqual([0, 7]);
    await pass(19_000);
    expect(fake.asked).toEqual([0, 7]);
    await fake.answer(call({ revision: 8 }));
    await pass(0);
    expect(fake.asked).toEqual([0, 7, 8]); // it had been waited for: asked again at once
    expect(launcher.view.get().call).toMatchObject({ revision: 8 });
  });
  test("CA2 a server that answers at once is not asked without pause", async () => {
    await fake.answer(call({ revision: 7 }));
    await pass(300);
    await fake.answer(call({ revision: 7 }));
    await pass(4_000);
    expect(fake.asked).toEqual([0, 7]);
    await pass(1_000);
    expect(fake.asked).toEqual([0, 7, 7]);
  });
  test("CA2 pauses grow while it fails, are no shorter than the server asks for, and what was seen stays", async () => {
    await fake.answer(call({ revision: 7 }));
    await pass(300);
    await fake.refuse("unreachable", 0);
    expect(launcher.view.get()).toMatchObject({ problem: "network", call: { revision: 7 } });
    await pass(499);
    expect(fake.asked.length).toBe(2);
    await pass(1);
    expect(fake.asked.length).toBe(3);
    await fake.refuse("sync_stale", 503, 5_000);
    expect(launcher.view.get().problem).toBe("homeserver");
    await pass(4_999);
    expect(fake.asked.length).toBe(3);
    await pass(1);
    await fake.answer(call({ revision: 9 }));
    expect(launcher.view.get().problem).toBe("");
  });
  test("CA2 the network coming back ends the pause, and the wait for an answer that will not come", async () => {
    await fake.refuse("unreachable", 0);
    launcher.hurry();
    await pass(0);
    expect(fake.asked.length).toBe(2);
    await fake.answer(call({ revision: 1 }));
    await pass(300);
    expect(fake.asked.length).toBe(3);
    launcher.hurry(); // all is well: nothing to hurry
    await pass(0);
    expect(fake.asked.length).toBe(3);
    launcher.hurry(true);
    await pass(0);
    expect(fake.asked.length).toBe(4);
  });
  test("CA2 a session that ended is begun again, and nobody is alarmed", async () => {
    await fake.refuse("session_unknown", 401);
    expect(fake.forgotten).toBe(1);
    expect(launcher.view.get().problem).toBe("");
    await pass(500);
    expect(fake.asked).toEqual([0, 0]);
  });
  test("CA2 what may be a race with the homeserver is tried three times; then the page says why, and tries again when asked", async () => {
    await fake.refuse("not_joined", 403);
    await pass(500);
    await fake.refuse("not_joined", 403);
    await pass(1_000);
    await fake.refuse("not_joined", 403);
    expect(launcher.view.get().closed).toEqual({ code: "not_joined", message: "not_joined." });
    await pass(60_000);
    expect(fake.asked.length).toBe(3);
    void launcher.run();
    await pass(0);
    expect(fake.asked.length).toBe(4);
    expect(launcher.view.get().closed).toBeUndefined();
  });
  test("CA2 where calls are not set up nothing is asked again", async () => {
    await fake.answer({ configured: false });
    await pass(120_000);
    expect(fake.asked.length).toBe(1);
    expect(launcher.view.get().call).toEqual({ configured: false });
  });
  test("CA7 an act is done once, stays busy until the list shows it, and is told with the name as it was", async () => {
    await fake.answer(call({ revision: 1, members: [member("Ben")] }));
    await pass(300);
    void launcher.act("k", { action: "kick", user_id: "@ben:a.example" });
    void launcher.act("k", { action: "kick", user_id: "@ben:a.example" });
    await pass(0);
    expect(fake.acts.length).toBe(1);
    expect(launcher.view.get().busy.has("k")).toBe(true);
    await fake.answer(call({ revision: 2 }));
    await pass(0);
    expect(launcher.view.get().busy.size).toBe(0);
    expect(tell(launcher.view.get().said!, t).text).toBe("Ben is out of the room.");
  });
  test("CA7 a refused act says so and frees its button", async () => {
    await fake.answer(call());
    fake.result = () => Promise.reject(new Refused("not_below", "Not below you.", 403));
    await launcher.act("k", { action: "mute", user_id: "@ben:a.example" });
    expect(launcher.view.get().busy.size).toBe(0);
    expect(launcher.view.get().said).toEqual({ kind: "failed", status: 403, message: "Not below you." });
  });
  test("CA7 what is allowed shows at once; a second wish follows the first; a refused one is taken back", async () => {
    const ben = member("Ben");
    const id = ben.user_id;
    await fake.answer(call({ revision: 1, members: [ben] }));
    await pass(300);
    void launcher.allow(id, ["microphone", "camera"]);
    expect(launcher.view.get().wanted[id]).toEqual(["microphone", "camera"]);
    void launcher.allow(id, ["microphone"]);
    await pass(0);
    expect(fake.acts).toEqual([{ action: "sources", user_id: id, sources: ["microphone", "camera"] }]);
    await fake.answer(call({ revision: 2, members: [{ ...ben, sources: ["microphone", "camera"] }] }));
    await pass(300);
    expect(fake.acts.length).toBe(2);
    expect(launcher.view.get().wanted[id]).toEqual(["microphone"]);
    await fake.answer(call({ revision: 3, members: [{ ...ben, sources: ["microphone"] }] }));
    await pass(300);
    expect(launcher.view.get().wanted).toEqual({});
    fake.result = () => Promise.reject(new Refused("no_right", "No.", 403));
    void launcher.allow("*", []);
    await pass(0);
    expect(launcher.view.get().wanted).toEqual({});
    expect(launcher.view.get().busy.size).toBe(0);
  });
});

describe("call: session", () => {
  test("CA2 the list and an act that begin at the same time sign in once", async () => {
    const paths: string[] = [];
    const answers: Record<string, unknown> = { "/v1/sessions": { token: "t", expires_in_ms: 900_000 }, "/v1/call?seen=0": { configured: false }, "/v1/call/acts": done };
    let identities = 0;
    const session = new CallSession({
      roomId: "!r:x", widgetId: "w",
      openid: () => (identities++, Promise.resolve({ access_token: "a", token_type: "Bearer", matrix_server_name: "x", expires_in: 1 })),
      fetch: ((path: string) => (paths.push(path), Promise.resolve(new Response(JSON.stringify(answers[path]))))) as typeof fetch,
    });
    const [answer, result] = await Promise.all([session.call(0), session.act({ action: "end" })]);
    expect([answer, result]).toEqual([{ configured: false }, done]);
    expect(identities).toBe(1);
    expect(paths.sort()).toEqual(["/v1/call/acts", "/v1/call?seen=0", "/v1/sessions"]);
    session.forget();
  });
});
