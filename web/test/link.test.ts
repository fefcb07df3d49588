import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { backoff } from "../src/link/backoff";
import { Link, type LinkState } from "../src/link/link";
import { Outbox } from "../src/link/outbox";
import { openPeer } from "../src/link/peer";
import { Refused, Session, type IceServer, type OpenID } from "../src/link/session";
import type { Entry, Welcome } from "../src/wire/frames";
import { seeded } from "./support/random";
import { FakeServer } from "./support/server";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const chunk = (n: number) => Uint8Array.of(0x85, 0x6f, 0x4a, 0x83, n & 255, n >> 8, 1, 2);
const number = (b: Uint8Array) => b[4]! | (b[5]! << 8);

function setup(options: { rtc?: boolean; token?: () => Promise<string>; seed?: number } = {}) {
  const server = new FakeServer();
  server.rtc = options.rtc ?? false;
  const states: LinkState[] = [];
  const got: number[] = [];
  const acked: number[] = [];
  const welcomes: { w: Welcome; foreign: boolean }[] = [];
  const events: string[] = [];
  const session = { iceServers: [] as readonly IceServer[], forget: vi.fn(), token: options.token ?? (() => Promise.resolve("token")) };
  const link = new Link(
    { session, openSocket: server.openSocket, ...(options.rtc ? { openPeer: server.openPeer } : {}), random: seeded(options.seed ?? 1) },
    {
      state: (s) => states.push(s),
      welcome: (w, foreign) => {
        if (!w.resume) got.length = 0;
        welcomes.push({ w, foreign });
      },
      entries: (es: readonly Entry[]) => got.push(...es.map((e) => number(e.bytes))),
      acked: (c) => acked.push(c.id),
      live: () => undefined,
      event: (f) => events.push(f.type),
    },
  );
  const turn = () => vi.advanceTimersByTimeAsync(1);
  /** Everything that is under way arrives. */
  const settle = async () => {
    for (let quiet = 0; quiet < 3; ) {
      await turn();
      const c = server.open;
      const moved = c ? c.read() + (server.flush(c), 0) + c.deliver(0) + c.deliver(1) : 0;
      quiet = moved === 0 ? quiet + 1 : 0;
    }
  };
  const send = (...ns: number[]) => link.send(ns.map((n) => ({ id: n, doc: "page", epoch: 0, bytes: chunk(n) })));
  return { server, link, states, got, acked, welcomes, events, session, settle, turn, send };
}

describe("link", () => {
  test("WG50 opens, sends, and takes the echo for the acknowledgement", async () => {
    const t = setup();
    t.link.connect();
    await t.settle();
    expect(t.link.state).toEqual({ kind: "open", lane: 0 });
    t.send(1, 2, 3);
    await t.settle();
    expect(t.server.seen.filter((f) => f[0] === 3).length).toBe(1); // one frame for one turn
    expect([t.got, t.acked, t.link.unacknowledged]).toEqual([[1, 2, 3], [1, 2, 3], 0]);
    t.link.close("left", "");
  });
  test("WG51 unacknowledged changes are sent again after a break, and arrive once", async () => {
    const t = setup();
    t.link.connect();
    await t.settle();
    t.send(1);
    await t.turn();
    t.server.open!.read(); // committed, but the echo is lost
    t.server.open!.cut();
    t.send(2);
    expect(t.link.state.kind).toBe("resuming");
    await vi.advanceTimersByTimeAsync(1_000);
    await t.settle();
    expect([t.got, t.acked, t.link.unacknowledged, t.server.entries.length]).toEqual([[1, 2], [1, 2], 0, 2]);
    expect(t.server.seen.findLast((f) => f[0] === 2)![1]).toMatchObject({ log: "log-1", have: 0 });
    t.link.close("left", "");
  });
  test("WG52 entries that were seen are dropped, and a gap is asked for", async () => {
    const t = setup();
    t.link.connect();
    await t.settle();
    for (let n = 1; n <= 5; n++) t.server.commit("page", chunk(n));
    const c = t.server.open!;
    const e = t.server.entries;
    c.send(0, [33, 1, e.slice(0, 3)]);
    c.send(0, [33, 2, e.slice(1, 4)]); // overlaps
    c.deliver(0);
    expect(t.got).toEqual([1, 2, 3, 4]);
    c.send(0, [33, 9, e.slice(0, 1)]); // from the future
    c.deliver(0);
    expect(t.got).toEqual([1, 2, 3, 4]);
    expect(c.inbox.at(-1)!.frame).toEqual([7, 0, 4]);
    c.cursor = 4;
    await t.settle();
    expect(t.got).toEqual([1, 2, 3, 4, 5]);
    expect(t.link.stats.gaps).toBe(1);
    t.link.close("left", "");
  });
  test("WG53 the log moves to the data channel, and back when it dies, without loss", async () => {
    const t = setup({ rtc: true });
    t.link.connect();
    await t.settle();
    expect(t.link.state).toEqual({ kind: "open", lane: 1 });
    t.send(1);
    await t.settle();
    expect(t.link.stats.log.sent.changes).toBe(1);
    t.send(2);
    await t.turn();
    t.server.open!.inbox.length = 0; // lost with the channel
    t.server.open!.dropPeer();
    expect(t.link.state).toEqual({ kind: "open", lane: 0 });
    await t.settle();
    expect([t.got, t.acked]).toEqual([[1, 2], [1, 2]]);
    expect(t.link.stats.socket.sent.changes).toBe(1);
    await vi.advanceTimersByTimeAsync(40_000); // and tries the channel again
    await t.settle();
    t.link.close("left", "");
    expect(t.link.stats.moves.toSocket).toBeGreaterThanOrEqual(1);
  });
  test("WG53 a channel silent for three seconds is given up", async () => {
    const t = setup({ rtc: true });
    t.link.connect();
    await t.settle();
    await vi.advanceTimersByTimeAsync(4_500);
    expect(t.link.state).toEqual({ kind: "open", lane: 0 });
    t.link.close("left", "");
  });
  test("WG53 pings are answered on their lane, lane requests are followed", async () => {
    const t = setup({ rtc: true });
    t.link.connect();
    await t.settle();
    const c = t.server.open!;
    c.send(1, [41, 7]);
    c.deliver(1);
    expect(c.inbox.at(-1)).toEqual({ lane: 1, frame: [8, 7] });
    c.send(1, [42, 0, "people"]);
    c.deliver(1);
    expect(c.inbox.at(-1)).toEqual({ lane: 0, frame: [7, 0, 0] });
    await t.settle();
    await vi.advanceTimersByTimeAsync(3_000);
    expect(t.server.seen.filter(([type]) => type === 5)).toHaveLength(1); // the channel stays, for the live lane
    t.link.close("left", "");
  });
  test.each(["health", "stalled", "closed"])("WG53 a channel that the server gives up (%s) is replaced by a new one, to which the log returns", async (reason) => {
    const t = setup({ rtc: true });
    t.link.connect();
    await t.settle();
    const c = t.server.open!;
    t.send(1);
    c.send(0, [42, 0, reason]);
    c.deliver(0);
    expect(t.link.state).toEqual({ kind: "open", lane: 0 });
    expect(c.inbox.at(-2)).toEqual({ lane: 0, frame: [7, 0, 0] });
    await t.settle();
    for (let s = 0; s < 12 && t.link.stats.moves.toChannel < 2; s++) {
      await vi.advanceTimersByTimeAsync(1_000);
      await t.settle();
    }
    expect(t.server.seen.filter(([type]) => type === 5)).toHaveLength(2);
    expect(t.link.state).toEqual({ kind: "open", lane: 1 });
    t.send(2);
    await t.settle();
    expect([t.got, t.acked]).toEqual([[1, 2], [1, 2]]);
    t.link.close("left", "");
  });
  test("TN11 every attempt at a channel is told the newest TURN credentials", async () => {
    const t = setup({ rtc: true });
    const named = (username: string) => [{ urls: ["turn:turn.example.org:3478"], username, credential: "c", expires_ms: 3_600_000 }];
    t.session.iceServers = named("first");
    t.link.connect();
    await t.settle();
    t.session.iceServers = named("second"); // a refresh meanwhile
    t.server.open!.dropPeer();
    for (let s = 0; s < 40 && t.server.told.length < 2; s++) {
      await vi.advanceTimersByTimeAsync(1_000);
      await t.settle();
    }
    expect(t.server.told.map(([s]) => s?.username)).toEqual(["first", "second"]);
    t.link.close("left", "");
  });
  test("TN11 credentials come with the sign-in and with every refresh; a server that gives none is none", async () => {
    const served = (username: string) => ({ urls: ["turn:turn.example.org:3478"], username, credential: "c", expires_ms: 3_600_000 });
    const answers: object[] = [
      { token: "a", expires_in_ms: 900_000, ice_servers: [served("in")] },
      { token: "b", expires_in_ms: 900_000, ice_servers: [served("fresh")] },
      { token: "c", expires_in_ms: 900_000, ice_servers: [] },
    ];
    const session = new Session({ roomId: "!r", widgetId: "w", openid: () => Promise.resolve({} as OpenID), fetch: () => Promise.resolve(Response.json(answers.shift())) });
    const names = () => session.iceServers.map((s) => s.username);
    expect(names()).toEqual([]);
    await session.begin();
    expect(names()).toEqual(["in"]);
    await vi.advanceTimersByTimeAsync(450_000);
    expect(names()).toEqual(["fresh"]);
    await vi.advanceTimersByTimeAsync(450_000);
    expect(names()).toEqual([]);
    session.forget();
  });
  test("TN11 a TURN address that the browser does not take costs no data channel", () => {
    const made: (RTCConfiguration | undefined)[] = [];
    vi.stubGlobal("RTCPeerConnection", class {
      constructor(c?: RTCConfiguration) {
        made.push(c);
        if (c?.iceServers?.length) throw new SyntaxError("not a TURN address");
      }
      createDataChannel = () => ({});
    });
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    openPeer({ opened: () => undefined, received: () => undefined, closed: () => undefined }, [{ urls: ["turn:?"], username: "u", credential: "c", expires_ms: 1 }]);
    expect(made).toEqual([{ iceServers: [{ urls: ["turn:?"], username: "u", credential: "c" }] }, undefined]);
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });
  test("WG54 close codes", async () => {
    for (const [code, expected] of [[4403, "closed"], [1001, "resuming"], [4408, "resuming"], [4410, "resuming"], [4429, "resuming"], [4401, "resuming"], [4409, "resuming"]] as const) {
      const t = setup();
      t.link.connect();
      await t.settle();
      t.server.open!.cut(code);
      expect([code, t.link.state.kind]).toEqual([code, expected]);
      expect(t.session.forget).toHaveBeenCalledTimes(code === 4401 ? 1 : 0);
      await vi.advanceTimersByTimeAsync(1_000);
      await t.settle();
      if (code === 4409) expect((t.server.seen.findLast((f) => f[0] === 2)![1] as { actor: Uint8Array }).actor.length).toBe(0);
      t.link.close("left", "");
    }
  });
  test("WG54 bye: its time is a lower bound, and a negative one means stay away", async () => {
    const t = setup();
    t.link.connect();
    await t.settle();
    t.server.open!.send(0, [44, { code: "draining", message: "", retry_ms: 7_000 }]);
    t.server.open!.deliver(0);
    t.server.open!.cut(1001);
    await vi.advanceTimersByTimeAsync(6_900);
    expect(t.server.connections.length).toBe(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(t.server.connections.length).toBe(2);
    await t.settle();
    t.server.open!.send(0, [44, { code: "gone", message: "bye bye", retry_ms: -1 }]);
    t.server.open!.deliver(0);
    t.server.open!.cut(1000);
    expect(t.link.state).toEqual({ kind: "closed", code: "gone", message: "bye bye" });
  });
  test("WG54 malformed frames end the connection, and three in a row end the attempt", async () => {
    const t = setup();
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    t.link.connect();
    for (let i = 0; i < 3; i++) {
      await vi.advanceTimersByTimeAsync(5_000);
      t.server.open!.socket.received(Uint8Array.of(0xff));
    }
    expect(t.link.state).toMatchObject({ kind: "closed", code: "bad_frame" });
  });
  test("WG55 refusals at sign-in: some are final, others are tried again", async () => {
    let code = "overloaded";
    let tries = 0;
    const t = setup({ token: () => (tries++, Promise.reject(new Refused(code, "no", code === "overloaded" ? 503 : 403, 3_000))) });
    t.link.connect();
    await vi.advanceTimersByTimeAsync(2_900);
    expect(tries).toBe(1);
    await vi.advanceTimersByTimeAsync(200);
    expect([tries, t.link.state]).toEqual([2, { kind: "connecting", problem: "overloaded" }]);
    code = "not_joined";
    await vi.advanceTimersByTimeAsync(60_000);
    expect([tries, t.link.state]).toEqual([5, { kind: "closed", code: "not_joined", message: "no" }]);
  });
  test("WG56 on a foreign log nothing of the old one is sent by itself", async () => {
    const t = setup();
    t.link.connect();
    await t.settle();
    t.send(1);
    await t.turn();
    t.server.open!.inbox.length = 0;
    t.server.log = "log-2";
    t.server.open!.cut();
    await vi.advanceTimersByTimeAsync(1_000);
    await t.settle();
    expect(t.welcomes.map((w) => w.foreign)).toEqual([false, true]);
    expect([t.link.unacknowledged, t.server.entries.length]).toEqual([0, 0]);
    t.link.close("left", "");
  });
  test("WG51 `known` and the kinds 1 and 4 acknowledge, what the server carries over does not", async () => {
    const t = setup();
    t.link.connect();
    await t.settle();
    t.send(1, 2, 3, 4);
    await t.turn();
    const c = t.server.open!;
    c.inbox.length = 0;
    const hash = Uint8Array.from([...chunk(3).subarray(4, 8), ...new Uint8Array(28)]);
    c.send(0, [33, 1, [["page", 0, 1, new Uint8Array(16), chunk(1)], ["page", 0, 4, new Uint8Array(16), chunk(2)], ["page", 0, 3, new Uint8Array(16), chunk(4)], ["page", 1, 1, new Uint8Array(16), chunk(4)]]]);
    c.send(0, [37, "page", 1, [hash]]); // of another epoch
    c.deliver(0);
    expect(t.acked).toEqual([1, 2]);
    c.send(0, [37, "page", 0, [hash, new Uint8Array(32)]]);
    c.deliver(0);
    expect([t.acked, t.link.unacknowledged]).toEqual([[1, 2, 3], 1]);
    t.link.close("left", "");
  });
  test("WG57 after a sleep, or when the network changed, a dead connection is noticed at once and a live one stays", async () => {
    const t = setup();
    t.link.connect();
    await t.settle();
    t.link.hurry();
    expect(t.server.open!.inbox.at(-1)!.frame).toEqual([7, 0, 0]);
    t.server.open!.send(0, [35, { full: true, joined: [], left: [] }]);
    t.server.open!.deliver(0);
    await vi.advanceTimersByTimeAsync(10_000);
    expect([t.link.state.kind, t.server.connections.length]).toEqual(["open", 1]);
    vi.setSystemTime(Date.now() + 30_000); // the timers stood still
    await vi.advanceTimersByTimeAsync(1_000);
    expect(t.server.open!.inbox.at(-1)!.frame).toEqual([7, 0, 0]);
    await vi.advanceTimersByTimeAsync(6_000);
    expect(t.server.connections.length).toBe(2);
    t.server.open!.cut();
    vi.spyOn(Math, "random").mockReturnValue(1);
    t.link.hurry();
    await t.turn();
    expect(t.server.connections.length).toBe(3);
    t.link.close("left", "");
  });
  test("WG50 backoff is full jitter with a lower bound", () => {
    expect(backoff(0, () => 0.999)).toBeLessThan(500);
    expect(backoff(20, () => 1)).toBe(30_000);
    expect(backoff(3, () => 0, 700)).toBe(700);
  });
  test("WG50 frames hold at most 64 changes and 60,000 bytes", () => {
    const o = new Outbox();
    o.push(Array.from({ length: 150 }, (_, id) => ({ id, doc: "d", epoch: 0, bytes: chunk(id) })));
    o.push([1, 2, 3].map((id) => ({ id, doc: "d", epoch: 0, bytes: new Uint8Array(25_000) })));
    expect(o.frames().map((f) => f.changes)).toEqual([64, 64, 24, 1]);
    expect(o.frames()).toEqual([]);
    o.push(Array.from({ length: 100 }, (_, id) => ({ id: 200 + id, doc: "d", epoch: 0, bytes: Uint8Array.from({ length: 10_000 }, (_, i) => (i === 0 ? id : 0)) })));
    const first = o.frames().reduce((n, f) => n + f.changes, 0);
    expect(first).toBeLessThan(60); // the rest waits for acknowledgements
    for (let id = 0; id < 30; id++) o.ack({ doc: "d", epoch: 0, kind: 1, actor: new Uint8Array(), bytes: Uint8Array.from({ length: 10_000 }, (_, i) => (i === 0 ? id : 0)) });
    expect(o.frames().reduce((n, f) => n + f.changes, 0)).toBeGreaterThan(20);
  });

  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8])
    test(`WG51 nothing is lost, doubled or out of order over breaks, lane changes and delays, seed ${seed}`, async () => {
      const t = setup({ rtc: true, seed });
      const random = seeded(seed * 7919);
      t.link.connect();
      let n = 0;
      for (let step = 0; step < 400; step++) {
        await t.turn();
        const c = t.server.open;
        const dice = random();
        if (dice < 0.3) t.send(++n);
        else if (dice < 0.36) t.server.commit("page", chunk(40_000 + step));
        else if (dice < 0.5) c?.read(1 + Math.floor(random() * 3));
        else if (dice < 0.65 && c) t.server.flush(c, 1 + Math.floor(random() * 4));
        else if (dice < 0.78) c?.deliver(0, 1 + Math.floor(random() * 3));
        else if (dice < 0.91) c?.deliver(1, 1 + Math.floor(random() * 3));
        else if (dice < 0.94) t.link.switchLane(random() < 0.5 ? 0 : 1);
        else if (dice < 0.955) c?.dropPeer();
        else if (dice < 0.97) c?.cut();
        else await vi.advanceTimersByTimeAsync(600);
      }
      for (let i = 0; i < 40 && (t.link.unacknowledged > 0 || t.got.length < t.server.entries.length); i++) {
        await vi.advanceTimersByTimeAsync(1_000);
        await t.settle();
      }
      expect(t.got).toEqual(t.server.entries.map((e) => number(e[4])));
      expect(t.link.unacknowledged).toBe(0);
      expect([...t.acked].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i + 1));
      t.link.close("left", "");
    });
});
