/** One person in one browser context: signs in through the classroom page, answers its questions, and has the board in front of them. */
import fs from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";
import { Board } from "./board.mjs";
import { until } from "./stack.mjs";

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** `more`: further switches. */
export function launch(more = []) {
  return chromium.launch({ executablePath: executable(), headless: true, args: [...FLAGS, ...more] });
}

function executable() {
  const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
  if (!fs.existsSync(executablePath)) throw new Error(`Chromium is missing at ${executablePath}: apt-get install chromium, or set CHROMIUM`);
  return executablePath;
}

/** Faults of a page that no test should overlook. */
class Faults {
  list = [];
  constructor(allowed) {
    this.allowed = allowed;
  }

  watch(page) {
    page.on("pageerror", (err) => this.list.push(`page error: ${err.message}${/ at .*/.exec(err.stack ?? "")?.[0] ?? ""}`));
    page.on("console", (m) => {
      if (m.type() === "error" && /Content Security Policy|Refused to|Uncaught|violates/.test(m.text())) this.list.push(`console: ${m.text().slice(0, 300)}`);
    });
    page.on("request", (r) => {
      const url = r.url();
      if (/^https?:/.test(url) && !this.allowed.some((origin) => url.startsWith(`${origin}/`))) this.list.push(`request to a stranger: ${url.slice(0, 200)}`);
    });
  }
}

/** Playwright's switches block third-party storage; a new profile of Chromium's own does not (measured, Chromium 156). */
function newProfile(parent) {
  const folder = fs.mkdtempSync(path.join(parent, "profile-"));
  fs.mkdirSync(path.join(folder, "Default"));
  fs.writeFileSync(path.join(folder, "Default", "Preferences"), JSON.stringify({ profile: { cookie_controls_mode: 0, block_third_party_cookies: false } }));
  return folder;
}

export class Person {
  /**
   * A new context (= a new device) for `user`, an entry of ready.users. Options: viewport, colorScheme, locale, and `profile`: a browser of their
   * own with a lasting profile and Chromium's usual settings. Without, it is as in a private window: frames of other sites get no storage.
   */
  static async open(browser, stack, user, { profile, ...given } = {}) {
    const options = { viewport: { width: 1280, height: 800 }, locale: "en-GB", ...given };
    const context = await (profile ? chromium.launchPersistentContext(newProfile(stack.data), { executablePath: executable(), headless: true, args: FLAGS, ...options }) : browser.newContext(options));
    const page = context.pages()[0] ?? (await context.newPage());
    const { classroom, lectern, homeserver } = stack.ready;
    const origins = [classroom, lectern, homeserver, ...(stack.ready.homeservers ?? []).map((h) => h.url)];
    return new Person(stack, user, context, page, new Faults(origins));
  }

  constructor(stack, user, context, page, faults) {
    Object.assign(this, { stack, user, context, faults });
    this.name = user.user_id.slice(1).split(":")[0];
    /** Welcome frames seen on this page's WebSockets, newest last (docs/protocol.md §2.3). */
    this.welcomes = [];
    this.use(page);
  }

  use(page) {
    this.page = page;
    this.faults.watch(page);
    page.on("websocket", (ws) => Board.watchSocket(ws, this.welcomes));
  }

  /** One click on the demo button. */
  async signIn() {
    await this.page.goto(this.stack.ready.classroom);
    await this.page.getByTestId(`demo-${this.user.user_id}`).click();
    await this.page.locator(".workspace").waitFor({ timeout: 60_000 });
  }

  /** With name and password, as people of a school do. */
  async signInWithPassword(password = this.user.password) {
    await this.page.goto(this.stack.ready.classroom);
    await this.page.locator("input[name=username]").fill(this.user.user_id);
    await this.page.locator("input[name=password]").fill(password);
    await this.page.locator("form button[type=submit]").click();
  }

  async openRoom(roomId = this.stack.ready.room_id) {
    const join = this.page.getByTestId(`join-${roomId}`);
    const room = this.page.getByTestId(`room-${roomId}`);
    await room.or(join).first().waitFor({ state: "attached", timeout: 30_000 });
    if (await join.isVisible()) return join.click(); // joining opens it
    // The only room is open by itself, and on a narrow screen its list is then out of sight.
    if ((await room.getAttribute("aria-current")) !== "page") await room.click();
  }

  /** Answers whatever the classroom asks until the widget is connected; gives the board. `prompts` afterwards says what was asked. */
  async openBoard({ widget = this.stack.ready.widgets[0].id, ms = 60_000 } = {}) {
    this.prompts = [];
    const { page } = this;
    const frame = page.locator(`iframe[data-widget="${widget}"]`);
    await until(
      `${this.name}: whiteboard open`,
      async () => {
        for (const id of ["consent-open", "prompt-allow"]) {
          const button = page.locator(`[data-testid="${id}"]:visible`).first(); // tabs that are not in front have one too
          if (!(await button.isVisible())) continue;
          const dialog = page.locator("dialog[open]");
          const what = (await dialog.count()) > 0 ? await dialog.getAttribute("data-testid") : "consent";
          if (what === "prompt-identity") await dialog.locator(".remember input").check();
          await button.click();
          this.prompts.push(what);
        }
        if ((await frame.count()) === 0) return false;
        if ((await frame.getAttribute("data-state")) !== "ready" || (await page.locator("dialog[open]").count()) > 0) return false;
        this.board = await Board.in(this, frame);
        return this.board !== null && (await this.board.isLive());
      },
      ms,
      100,
    );
    return this.board;
  }

  /** Signs in, opens the room and the board. */
  async enter(options) {
    await this.signIn();
    await this.openRoom(options?.room);
    return this.openBoard(options);
  }

  /** Reloads the whole page, as a person would; the session stays. */
  async reload() {
    const before = this.welcomes.length;
    await this.page.reload();
    await this.openBoard();
    await until(`${this.name}: welcomed again`, () => this.welcomes.length > before);
    return this.board;
  }

  /** Opens the classroom in a new tab of the same browser, and the board in it. */
  async newTab() {
    const before = this.welcomes.length;
    this.use(await this.context.newPage());
    await this.page.goto(this.stack.ready.classroom);
    await this.openBoard();
    await until(`${this.name}: welcomed in the new tab`, () => this.welcomes.length > before);
    return this.board;
  }

  /** Without network, as on a train. Needs bringWeather: what is open is cut. */
  async goOffline() {
    await this.context.setOffline(true);
    await this.board.frame.evaluate(() => __weather.sockets.forEach((s) => s.close()));
    await until(`${this.name}: offline`, async () => (await this.board.stats()).link.kind === "resuming");
  }

  goOnline() {
    return this.context.setOffline(false);
  }

  /** Content policy violations inside the widget, which its own page counts. */
  async noteViolations() {
    if (!this.board || this.page.isClosed()) return;
    const { violations } = await this.board.stats().catch(() => ({ violations: [] }));
    this.faults.list.push(...violations.map((v) => `content policy in the widget: ${v}`));
  }

  async screenshot(file) {
    await this.page.screenshot({ path: file });
  }

  close() {
    return this.context.close();
  }
}
