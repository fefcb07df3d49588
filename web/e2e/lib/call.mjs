/** A person's call in the classroom page: the unmodified Element Call in its frame. */
import { liveKitURL } from "./livekit.mjs";
import { until } from "./stack.mjs";

/** Cameras and microphones that Chromium makes up, and permission for them. */
export const MEDIA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"];

/** Somebody in front of the board, who may load Element Call as well. bypassCSP: for axe. */
export async function enterCall(t, user, elementCall, options) {
  const { stack } = t;
  const p = await t.person(user, { bypassCSP: true, ...options });
  p.faults.allowed.push(elementCall, liveKitURL(stack), `https://${stack.ready.server_name}`); // the last: Element Call looks for a well-known file
  await p.enter();
  return p;
}

const MEMBER = "org.matrix.msc3401.call.member";

export class Call {
  /** `elementCall`: its address. Watches what the page sends for it. */
  constructor(person, elementCall) {
    Object.assign(this, { person, elementCall, toDevice: [] });
    this.panel = person.page.getByTestId("call");
    person.page.on("request", (r) => {
      const type = /\/sendToDevice\/([^/]+)\//.exec(r.url())?.[1];
      if (type) this.toDevice.push(decodeURIComponent(type));
    });
  }

  get frame() {
    return this.person.page.frames().find((f) => f.url().startsWith(`${this.elementCall}/`) && !f.isDetached());
  }

  /** The lobby, in which nobody sees anybody yet. */
  async lobby() {
    await this.person.page.locator('iframe[data-call][data-state="ready"]').waitFor({ timeout: 60_000 });
    await this.frame.getByTestId("lobby_joinCall").waitFor({ timeout: 60_000 });
  }

  async join() {
    await this.frame.getByTestId("lobby_joinCall").click();
    await until(`${this.person.name} is in the call`, async () => (await this.panel.getAttribute("data-phase")) === "joined", 60_000);
  }

  /** Of a person's tile: whether there is video, how many frames of it were shown so far, what its icons say ("Microphone off"). Null without a tile. */
  tile(name) {
    return this.frame.evaluate((wanted) => {
      for (const tile of document.querySelectorAll('[data-testid="videoTile"]')) {
        if (!tile.textContent.includes(wanted)) continue;
        const video = tile.querySelector("video");
        return { width: video?.videoWidth ?? 0, frames: video?.getVideoPlaybackQuality().totalVideoFrames ?? 0, labels: [...tile.querySelectorAll("[aria-label]")].map((e) => e.getAttribute("aria-label")) };
      }
      return null;
    }, name);
  }

  /** Waits until video of `name` advances, and answers when its first frame was seen. */
  async sees(name, ms = 60_000) {
    let first = 0;
    let before = 0;
    await until(`${this.person.name} sees ${name}`, async () => {
      const tile = await this.tile(name);
      if (!tile || tile.width === 0 || tile.frames === 0) return false;
      first ||= Date.now();
      before ||= tile.frames;
      return tile.frames >= before + 10;
    }, ms, 100);
    return first;
  }

  /** The memberships of this person in the room's state that are not over. */
  async memberships() {
    const { stack, user } = this.person;
    const state = await stack.matrix(stack.teacher, "GET", `/rooms/${encodeURIComponent(stack.ready.room_id)}/state`);
    return state.filter((e) => e.type === MEMBER && e.sender === user.user_id && Object.keys(e.content).length > 0);
  }

  async gone() {
    await this.panel.waitFor({ state: "detached", timeout: 20_000 });
    await until(`${this.person.name} is out of the call`, async () => (await this.memberships()).length === 0, 10_000);
  }
}
