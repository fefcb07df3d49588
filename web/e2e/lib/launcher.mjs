/** Lectern's page about a room's call, in a tab of the classroom page, as a person has it in front. */
import { until } from "./stack.mjs";

const MEDIA = ["microphone", "camera", "screen_share"];

export class Launcher {
  constructor(person) {
    this.person = person;
  }

  get frame() {
    const url = `${this.person.stack.ready.lectern}/widgets/call`;
    return this.person.page.frames().find((f) => f.url().startsWith(url) && !f.isDetached());
  }

  /** Brings it to the front, answering what is asked for that, until it has heard of the call. */
  async open() {
    const { page, name } = this.person;
    const tab = page.getByRole("tab", { name: "Call" });
    await tab.waitFor({ timeout: 30_000 });
    await until(`${name}: the call page is open`, async () => {
      for (const id of ["consent-open", "prompt-allow"]) {
        const button = page.locator(`[data-testid="${id}"]:visible`).first();
        if (await button.isVisible()) await button.click();
      }
      if ((await page.locator("dialog[open]").count()) > 0) return false;
      if ((await tab.getAttribute("aria-selected")) !== "true") await tab.click();
      return this.frame?.locator(".stand, .people").first().isVisible();
    }, 60_000, 100);
    return this;
  }

  /** How the call stands, in the page's words. */
  headline() {
    return this.frame.locator(".headline").innerText();
  }

  button(name) {
    return this.frame.getByRole("button", { name, exact: true });
  }

  /** What is listed of somebody: marks and media in words, which buttons; null if they are not. */
  row(name) {
    return this.frame.evaluate(({ wanted, MEDIA }) => {
      const li = [...document.querySelectorAll(".people > ul > li")].find((e) => e.querySelector(".name")?.textContent === wanted);
      if (!li) return null;
      const media = [...li.querySelectorAll(".media")].map((e) => e.dataset.media);
      return {
        marks: [...li.querySelectorAll(".mark, .who .quiet")].map((e) => e.textContent),
        media: Object.fromEntries(MEDIA.map((m, i) => [m, media[i] ?? ""])),
        words: [...li.querySelectorAll(".media .spoken")].map((e) => e.textContent),
        buttons: [...li.querySelectorAll("button")].map((e) => e.textContent),
      };
    }, { wanted: name, MEDIA });
  }

  /** Waits until somebody is listed as `like` says, and answers how long that took. */
  async lists(name, like, ms = 20_000) {
    const began = Date.now();
    await until(`${this.person.name}'s call page about ${name}`, async () => {
      const row = await this.row(name);
      if (!row || !like(row)) throw new Error(JSON.stringify(row));
      return true;
    }, ms);
    return Date.now() - began;
  }

  /** Presses what a moderator decides about somebody, under "More" where it is there. */
  async decide(act, name) {
    const button = this.button(`${act}: ${name}`);
    if (!(await button.isVisible())) await this.button(`More: ${name}`).click();
    await button.click();
  }

  /** Waits for the sentence about the last decision. */
  async said(like) {
    const told = this.frame.locator(".told");
    await until(`${this.person.name} is told ${like}`, async () => like.test(await told.innerText()), 20_000);
    return told.innerText();
  }
}
