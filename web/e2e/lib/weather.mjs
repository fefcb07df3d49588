/**
 * Bad weather for a widget page, installed before its scripts run: both lanes hand frames on late (in order per lane and direction), sockets
 * and channels can be cut, and every change the page sends is noted. The product knows nothing of it; its own test hooks (SPEC WG40) are
 * switched on by the same script.
 */
import { decodeChange } from "@automerge/automerge";
import { decode } from "cborg";

const CHANGE = 3; // frame type, docs/protocol.md §2.3

/** Runs in every frame of the page, before its scripts. `hold: false` takes the queue of held elements out. */
function install({ seed, hold }) {
  if (!location.pathname.startsWith("/widgets/") || globalThis.__weather) return;
  if (!hold && !location.search.includes("hold=0")) history.replaceState(null, "", `${location.href}&hold=0`);
  document.addEventListener("readystatechange", () => {
    const config = document.getElementById("lectern-config")?.firstChild;
    if (config && document.readyState === "interactive") config.data = JSON.stringify({ ...JSON.parse(config.data), test: true });
  });
  const hand = [];
  for (const type of ["pointerdown", "pointerup", "keydown"]) {
    const note = (e) => {
      hand.push(`${Math.round(performance.now())} ${type} ${e.key ?? [e.clientX, e.clientY]} ${e.target?.tagName}`);
      if (hand.length > 20) hand.shift();
    };
    addEventListener(type, note, true);
  }
  let state = seed >>> 0;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const weather = { hand, most: 0, late: 0, waiting: 0, sockets: [], channels: [], sent: [], flips: 0, refusedFlips: 0 };
  globalThis.__weather = weather;

  /** A line on which frames keep their order and each is up to `weather.most` ms late. */
  const line = () => {
    let last = 0;
    return (deliver) => {
      const now = performance.now();
      const at = Math.max(last, now + random() * weather.most);
      last = at;
      if (at <= now) return deliver();
      weather.waiting++;
      weather.late++;
      setTimeout(() => {
        weather.waiting--;
        deliver();
      }, at - now);
    };
  };
  const delayed = (proto) => {
    const { set, get } = Object.getOwnPropertyDescriptor(proto, "onmessage");
    Object.defineProperty(proto, "onmessage", {
      configurable: true,
      get,
      set(handler) {
        const next = line();
        set.call(this, (e) => next(() => handler.call(this, e)));
      },
    });
    const { send } = proto;
    const lines = new WeakMap();
    proto.send = function (data) {
      if (this.readyState !== 1 && this.readyState !== "open") return send.call(this, data); // throws as ever
      if (data instanceof Uint8Array) weather.sent.push(data.slice());
      if (!lines.has(this)) lines.set(this, line());
      lines.get(this)(() => {
        if (this.readyState === 1 || this.readyState === "open") send.call(this, data); // else lost on the way
      });
    };
  };
  delayed(WebSocket.prototype);
  delayed(RTCDataChannel.prototype);
  const Plain = WebSocket;
  globalThis.WebSocket = class extends Plain {
    constructor(...args) {
      super(...args);
      weather.sockets.push(this);
    }
  };
  const { createDataChannel } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.createDataChannel = function (...args) {
    const channel = createDataChannel.apply(this, args);
    weather.channels.push(channel);
    return channel;
  };
}

/** Installs it for all pages that this person opens or reloads from now on. */
export const bringWeather = (person, options) => person.context.addInitScript(install, options);

/** Takes the queue of held elements out of pages opened from now on: for the run that must fail. */
export const takeHoldOut = (person) =>
  person.context.addInitScript(() => {
    if (location.pathname.startsWith("/widgets/") && !location.search.includes("hold=0")) history.replaceState(null, "", `${location.href}&hold=0`);
  });

export class Weather {
  constructor(board) {
    this.frame = board.frame;
  }

  /** Frames are up to `ms` late from now on. */
  delay(ms) {
    return this.frame.evaluate((ms) => void (__weather.most = ms), ms);
  }

  /** Moves the log to the other lane every `ms`, while that lane is open. */
  flip(ms) {
    return this.frame.evaluate((ms) => {
      clearInterval(__weather.flipper);
      if (ms === 0) return;
      __weather.flipper = setInterval(() => {
        const { link } = __lectern.stats();
        if (link.kind === "open" && __lectern.lane(link.lane === 0 ? 1 : 0)) __weather.flips++;
        else __weather.refusedFlips++;
      }, ms);
    }, ms);
  }

  cutSocket() {
    return this.frame.evaluate(() => __weather.sockets.filter((s) => s.readyState === 1).forEach((s) => s.close()));
  }

  cutChannel() {
    return this.frame.evaluate(() => __weather.channels.filter((c) => c.label === "log" && c.readyState === "open").forEach((c) => c.close()));
  }

  /** The last events of the person's hand, for a failure. */
  hand() {
    return this.frame.evaluate(() => [`now ${Math.round(performance.now())}`, ...__weather.hand].join(", "));
  }

  counters() {
    return this.frame.evaluate(() => ({ flips: __weather.flips, refusedFlips: __weather.refusedFlips, late: __weather.late }));
  }

  /** Change frames sent since the last call. */
  async sent() {
    const frames = await this.frame.evaluate(() => __weather.sent.splice(0).map((b) => btoa(String.fromCharCode(...b))));
    return frames.map((text) => decode(Buffer.from(text, "base64"))).filter((frame) => frame[0] === CHANGE);
  }
}

/** What pages wrote, read from what they sent: the witness that no page writes what its user did not do. */
export class Witness {
  elements = new Map(); // id of the operation that made an element -> its id
  seen = new Map(); // hash -> what of a change is needed later

  /** New changes of these pages as [{ page, id, key, value, fresh }] in each page's order; `fresh`: what a new element begins with. Resent ones count once. */
  async collect(weathers) {
    const changes = [];
    for (const [page, weather] of weathers.entries()) {
      for (const frame of await weather.sent()) {
        for (const chunk of frame[3]) {
          const { hash, ops, startOp, actor } = decodeChange(chunk);
          if (this.seen.has(hash)) continue;
          this.seen.set(hash, page);
          changes.push({ page, ops, startOp, actor });
          ops.forEach((op, i) => op.action === "makeMap" && this.elements.set(`${startOp + i}@${actor}`, op.key));
        }
      }
    }
    return changes.flatMap(({ page, ops }) => {
      const fresh = new Set(ops.filter((op) => op.action === "makeMap").map((op) => op.key));
      return ops
        .filter((op) => op.key !== undefined && this.elements.has(op.obj))
        .map((op) => ({ page, id: this.elements.get(op.obj), key: op.key, value: op.value, fresh: fresh.has(this.elements.get(op.obj)) }));
    });
  }
}
