import { describe, expect, test, vi } from "vitest";
import { overBy, verdictOn } from "../call/acts";
import { callUrl, callWidget, isCallLauncher, type CallAddress } from "../call/address";
import { capabilitiesOf, MEMBER, ownKeys, sending, TO_DEVICE } from "../call/allow";
import { Calls } from "../call/calls";
import { fitOf } from "../call/fit";
import { callLevel, inCall, mayCall, openedTo, standing, type MemberEvent } from "../call/members";
import { encryptedOnly } from "../call/todevice";
import { transportsOf } from "../call/transports";
import { ConfigError, parseConfig } from "../config";
import type { Powers } from "../roles";

const ROOM = "!r:x";
const ada = { roomId: ROOM, userId: "@ada:x", deviceId: "DEV" };
const KEY = "_@ada:x_DEV_m.call";

describe("CE1 configuration", () => {
  const config = { homeservers: [{ name: "x", url: "http://127.0.0.1:1" }], lectern: "http://localhost:3" };
  test("CE1 nothing is configured by default", () => expect(parseConfig(JSON.stringify(config))).toMatchObject({ elementCall: "", rtcTransport: "" }));
  test("CE1 the kinds that are offered", () => {
    expect(parseConfig(JSON.stringify(config)).kinds).toEqual(["whiteboard", "call"]);
    expect(parseConfig(JSON.stringify({ ...config, kinds: ["whiteboard", "unheard-of"] })).kinds).toEqual(["whiteboard"]);
  });
  test("CE1 addresses lose their slash", () =>
    expect(parseConfig(JSON.stringify({ ...config, elementCall: "https://call.x/", rtcTransport: "https://l.x/livekit/jwt" }), "https://page.x")).toMatchObject({ elementCall: "https://call.x", rtcTransport: "https://l.x/livekit/jwt" }));
  test("CE1 an Element Call on the page's own origin is refused", () => {
    expect(() => parseConfig(JSON.stringify({ ...config, elementCall: "https://page.x/call" }), "https://page.x")).toThrow(ConfigError);
    expect(() => parseConfig(JSON.stringify({ ...config, elementCall: "javascript:1" }))).toThrow("elementCall must be");
  });
});

describe("CE2 the address", () => {
  const address: CallAddress = {
    elementCall: "https://call.x/ec", widgetId: "lectern-call-1", page: "http://127.0.0.1:9/?q#frag", roomId: "!r&s:x", userId: "@ada:x", deviceId: "DEV",
    homeserver: "https://hs.x", encrypted: true, running: false, language: "de", theme: "dark",
  };
  test("CE2 who and where stand in the fragment, which no server sees", () => {
    const url = new URL(callUrl(address));
    expect(url.origin + url.pathname).toBe("https://call.x/ec/index.html");
    expect(Object.fromEntries(url.searchParams)).toEqual({ widgetId: "lectern-call-1", parentUrl: "http://127.0.0.1:9/?q" });
    expect(Object.fromEntries(new URLSearchParams(url.hash.slice(2)))).toEqual({
      roomId: "!r&s:x", userId: "@ada:x", deviceId: "DEV", baseUrl: "https://hs.x", perParticipantE2EE: "true", intent: "start_call", skipLobby: "false",
      confineToRoom: "true", header: "none", sendNotificationType: "notification", lang: "de", theme: "dark",
    });
    expect(url.hash.startsWith("#?")).toBe(true);
  });
  test("CE2 a running call is joined; an unencrypted room has no keys per person", () => {
    const hash = new URLSearchParams(new URL(callUrl({ ...address, running: true, encrypted: false })).hash.slice(2));
    expect([hash.get("intent"), hash.get("perParticipantE2EE")]).toEqual(["join_existing", "false"]);
  });
  test("CE2 its widget is not waited for by the load event", () => expect(callWidget("i", ROOM, "@ada:x", "Call", "https://call.x")).toMatchObject({ type: "m.call", waitForIframeLoad: false }));
});

describe("CE3 who may ask to open the call", () => {
  const lectern = "http://localhost:3";
  test.each(["http://localhost:3/widgets/call?room=$matrix_room_id#x", "http://localhost:3/widgets/call"])("CE3 %s may", (url) => expect(isCallLauncher(url, lectern)).toBe(true));
  test.each(["http://localhost:3/widgets/whiteboard", "http://localhost:4/widgets/call", "http://127.0.0.1:3/widgets/call", "http://localhost:3/x/widgets/call", "http://localhost:3/widgets/call/x", "nonsense"])(
    "CE3 %s may not",
    (url) => expect(isCallLauncher(url, lectern)).toBe(false),
  );
});

describe("CE4 capabilities", () => {
  const allowed = capabilitiesOf(ada, false);
  test("CE4 its own membership only", () => {
    const sendState = [...allowed].filter((c) => c.includes("send.state_event"));
    expect(sendState).toEqual([`org.matrix.msc2762.send.state_event:${MEMBER}#_@ada:x_DEV_m.call`, `org.matrix.msc2762.send.state_event:${MEMBER}#@ada:x_DEV_m.call`]);
  });
  test.each([
    "org.matrix.msc2762.send.state_event:m.room.power_levels#", "org.matrix.msc2762.send.event:m.room.message", "org.matrix.msc2762.receive.event:m.room.message", "org.matrix.msc2762.timeline:*",
    "org.matrix.msc2762.timeline:!other:x", `org.matrix.msc2762.send.state_event:${MEMBER}`, `org.matrix.msc2762.send.state_event:${MEMBER}#_@bob:x_DEV_m.call`,
    "org.matrix.msc3819.send.to_device:m.room_key", "org.matrix.msc3819.receive.to_device:m.call.invite", "org.matrix.msc4157.send.delayed_event", "org.matrix.msc4407.send.sticky_event",
    "org.matrix.msc2931.navigate", "town.robin.msc3846.turn_servers", "org.matrix.msc4039.upload_file",
  ])("CE4 %s is not given", (c) => expect(allowed.has(c)).toBe(false));
  test("CE4 delayed events where the homeserver has them", () => expect(capabilitiesOf(ada, true).has("org.matrix.msc4157.send.delayed_event")).toBe(true));
});

describe("CE4 what is sent", () => {
  const member = { application: "m.call", device_id: "DEV" };
  test("CE4 the own membership, and its end", () => {
    expect(sending(ada, MEMBER, member, KEY, null)).toEqual({ kind: "state", key: KEY, leaves: false });
    expect(sending(ada, MEMBER, {}, "@ada:x_DEV_m.call", ROOM)).toEqual({ kind: "state", key: "@ada:x_DEV_m.call", leaves: true });
  });
  test.each([
    ["another device's", MEMBER, member, "_@ada:x_OTHER_m.call", null],
    ["another person's", MEMBER, member, "_@bob:x_DEV_m.call", null],
    ["the old form's key", MEMBER, member, "@ada:x", null],
    ["a membership that names another device", MEMBER, { ...member, device_id: "OTHER" }, KEY, null],
    ["another state event", "m.room.power_levels", {}, "", null],
    ["another room's", MEMBER, member, KEY, "!other:x"],
    ["a message", "m.room.message", { body: "x" }, null, null],
    ["an unreadable content", "m.reaction", "x", null, null],
    ["a redaction of nothing", "m.room.redaction", {}, null, null],
  ])("CE4 %s is refused", (_what, type, content, key, room) => expect(sending(ada, type, content, key, room)).toEqual({ kind: "refused" }));
  test("CE4 the call's events, and redactions as such", () => {
    expect(sending(ada, "org.matrix.msc4075.rtc.notification", {}, null, ROOM)).toEqual({ kind: "event" });
    expect(sending(ada, "m.room.redaction", { redacts: "$e", reason: "r" }, undefined, undefined)).toEqual({ kind: "redaction", of: "$e", reason: "r" });
  });
});

describe("CE5 media keys", () => {
  test("CE5 those that arrive in clear are dropped before decryption, once", async () => {
    const seen: string[][] = [];
    const crypto = { preprocessToDeviceMessages: vi.fn((events: { type: string }[]) => Promise.resolve((seen.push(events.map((e) => e.type)), events))) };
    const inner = crypto.preprocessToDeviceMessages;
    encryptedOnly(crypto, TO_DEVICE);
    encryptedOnly(crypto, TO_DEVICE);
    await crypto.preprocessToDeviceMessages([{ type: "m.room.encrypted" }, { type: "io.element.call.encryption_keys" }, { type: "m.dummy" }]);
    expect(seen).toEqual([["m.room.encrypted", "m.dummy"]]);
    expect(inner).toHaveBeenCalledTimes(1);
  });
  test("CE5 an SDK that works in another way is noticed", () => expect(() => encryptedOnly({}, TO_DEVICE)).toThrow("another way"));
});

describe("CE6 transports", () => {
  test("CE6 LiveKit's with an address, and nothing else", () => {
    const livekit = { type: "livekit", livekit_service_url: "https://l.x/jwt", more: 1 };
    expect(transportsOf({ rtc_transports: [livekit, { type: "other" }, { type: "livekit" }, { type: "livekit", livekit_service_url: "javascript:1" }, 7] })).toEqual([livekit]);
    for (const nonsense of [null, 7, {}, { rtc_transports: {} }]) expect(transportsOf(nonsense)).toEqual([]);
  });
});

describe("CE7 who is in the call", () => {
  const now = 1_000_000_000;
  const event = (over: Partial<MemberEvent> = {}, content: Record<string, unknown> = {}): MemberEvent => ({ stateKey: KEY, sender: "@ada:x", at: now - 1000, content: { application: "m.call", device_id: "DEV", expires: 14_400_000, ...content }, ...over });
  const everybody = (): boolean => true;
  test("CE7 a person with two devices once", () => expect(inCall([event(), event({ stateKey: "@ada:x_TWO_m.call" }, { device_id: "TWO" })], everybody, now)).toEqual(["@ada:x"]));
  test.each([
    ["who left", event({ content: {} })],
    ["who says so in another's name", event({ sender: "@bob:x" })],
    ["what is over", event({ at: now - 14_400_000 })],
    ["what was over at its creation", event({}, { created_ts: now - 14_400_000 })],
    ["what names no device", event({}, { device_id: 7 })],
  ])("CE7 not %s", (_what, ev) => expect(inCall([ev], everybody, now)).toEqual([]));
  test("CE7 nor who is not in the room", () => expect(inCall([event()], () => false, now)).toEqual([]));
  test("CE8 what this device left behind", () => {
    const others = event({ stateKey: "_@ada:x_OTHER_m.call" });
    expect(standing([event(), others, event({ stateKey: ownKeys("@ada:x", "DEV")[1] ?? "", content: {} })], "@ada:x", "DEV")).toEqual([KEY]);
  });
});

describe("CE9 the level that calls take", () => {
  const powers = (content: Record<string, unknown>): Powers => ({ powerLevels: content, create: { sender: "@t:x", content: { room_version: "10" } } });
  const levels = { users: { "@t:x": 100 }, state_default: 50 };
  test("CE9 without a rule it is that of any state", () => {
    expect(callLevel(powers(levels))).toBe(50);
    expect([mayCall(powers(levels), "@t:x"), mayCall(powers(levels), "@ada:x")]).toEqual([true, false]);
  });
  test("CE9 a moderator lets everybody in: one number changes", () => {
    expect(openedTo(powers({ ...levels, events: { a: 1 }, unknown: 2 }), "@t:x")).toEqual({ ...levels, events: { a: 1, [MEMBER]: 0 }, unknown: 2 });
    expect(openedTo(powers({ ...levels, users_default: 10 }), "@t:x")).toMatchObject({ events: { [MEMBER]: 10 } });
  });
  test("CE9 not who may not, nor where everybody may already", () => {
    expect(openedTo(powers(levels), "@ada:x")).toBeNull();
    expect(openedTo(powers({ ...levels, events: { [MEMBER]: 0 } }), "@t:x")).toBeNull();
    expect(openedTo(powers({ ...levels, events: { "m.room.power_levels": 101 } }), "@t:x")).toBeNull();
    expect(openedTo({ powerLevels: undefined, create: undefined }, "@t:x")).toBeNull();
  });
});

describe("CE8 one call at a time", () => {
  test("CE8 another room's call waits until this one is left", async () => {
    const calls = new Calls();
    expect([calls.open("!a:x"), calls.open("!a:x"), calls.open("!b:x")]).toEqual([true, true, false]);
    calls.attach(() => Promise.resolve());
    calls.phase("joined");
    await calls.leave();
    expect([calls.get(), calls.open("!b:x")]).toEqual([null, true]);
  });
  test("CE8 leaving says goodbye once, whoever asks, and ends although that fails", async () => {
    const calls = new Calls();
    calls.open("!a:x");
    const hangUp = vi.fn(() => Promise.reject(new Error("gone")));
    calls.attach(hangUp);
    const both = [calls.leave(), calls.leave()];
    expect(calls.get()?.phase).toBe("leaving");
    calls.phase("joined"); // too late
    expect(calls.get()?.phase).toBe("leaving");
    await Promise.all(both);
    expect(hangUp).toHaveBeenCalledTimes(1);
    expect(calls.get()).toBeNull();
    await calls.leave();
  });
});

describe("CE11 out by somebody else's decision", () => {
  test("CE11 acts about oneself and about everybody", () => {
    const verdict = (action: string, target: string) => verdictOn("@ada:x", { v: 1, by: "@t:x", action, target });
    expect(verdict("remove", "@ada:x")).toEqual({ kind: "removed", by: "@t:x", again: false });
    expect(verdict("readmit", "@ada:x")).toEqual({ kind: "removed", by: "@t:x", again: true });
    expect(verdict("end", "*")).toEqual({ kind: "ended", by: "@t:x", again: false });
    expect(verdict("begin", "*")).toEqual({ kind: "ended", by: "@t:x", again: true });
    for (const [action, target] of [["remove", "@ben:x"], ["mute", "@ada:x"], ["sources", "*"], ["", ""]] as const) expect(verdict(action, target)).toBeNull();
  });
  test("CE11 what the token service answers", () => {
    expect(overBy("call_removed", "…")).toMatchObject({ kind: "removed" });
    expect(overBy("call_ended", "…")).toMatchObject({ kind: "ended" });
    expect(overBy("server_denied", "Not from there.")).toEqual({ kind: "refused", by: "", message: "Not from there." });
    expect(overBy(undefined, 7)).toEqual({ kind: "refused", by: "", message: "" });
  });
  test("CE11 it is left first, then it says why until that is closed", async () => {
    const calls = new Calls();
    await calls.over({ kind: "ended", by: "", message: "" });
    expect(calls.get()).toBeNull();
    calls.open("!a:x");
    const hangUp = vi.fn(() => Promise.resolve());
    calls.attach(hangUp);
    const over = calls.over({ kind: "removed", by: "@t:x", message: "" });
    void calls.over({ kind: "ended", by: "@t:x", message: "" }); // the first reason stays
    expect(calls.get()).toMatchObject({ phase: "leaving", why: { kind: "removed", again: false } });
    await over;
    calls.phase("joined");
    expect([calls.get()?.phase, hangUp.mock.calls.length]).toEqual(["over", 1]);
    calls.again("ended");
    expect(calls.get()?.why?.again).toBe(false);
    calls.again("removed");
    expect(calls.get()?.why?.again).toBe(true);
    await calls.leave();
    expect(calls.get()).toBeNull();
    expect(calls.open("!b:x")).toBe(true);
  });
  test("CE11 who is leaving already is not told", async () => {
    const calls = new Calls();
    calls.open("!a:x");
    calls.attach(() => Promise.resolve());
    const left = calls.leave();
    void calls.over({ kind: "ended", by: "", message: "" });
    await left;
    expect(calls.get()).toBeNull();
  });
});

describe("CE10 the frame's size", () => {
  test("CE10 a little too low: shown smaller, so that the buttons stay", () => expect(fitOf(460, 547.2)).toEqual({ scale: 0.9, width: 512, height: 608 }));
  test("CE10 high enough, or a phone: as it is", () => {
    expect(fitOf(460, 700)).toEqual({ scale: 1, width: 460, height: 700 });
    expect(fitOf(360, 300)).toEqual({ scale: 1, width: 360, height: 300 });
  });
});
