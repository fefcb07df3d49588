// How every page looks and whether axe finds anything: light, dark and high contrast, wide and 360 px, left to right and right to left.
// E2E_OUT: a folder for pictures, to be looked at.
import path from "node:path";
import { violations } from "./lib/axe.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

const LOOKS = [
  { name: "light", options: {} },
  { name: "dark", options: { colorScheme: "dark" } },
  { name: "phone-light", options: { viewport: { width: 360, height: 740 } } },
  { name: "phone-dark", options: { viewport: { width: 360, height: 740 }, colorScheme: "dark" } },
  { name: "arabic", options: {}, query: { lang: "ar" }, dir: "rtl" },
  { name: "phone-arabic", options: { viewport: { width: 360, height: 740 }, colorScheme: "dark" }, query: { lang: "ar" }, dir: "rtl" },
  { name: "contrast", options: {}, query: { theme: "light-high-contrast" } },
  { name: "contrast-dark", options: { colorScheme: "dark" }, query: { theme: "dark-high-contrast" } },
  { name: "forced", options: { forcedColors: "active" } },
];

await run("looks", {}, async (t) => {
  const { stack, step } = t;
  const { lectern } = stack.ready;
  let pictures = 0;
  const found = [];

  for (const look of LOOKS) {
    await step(look.name, async () => {
      const p = await t.person(stack.teacher, { bypassCSP: true, ...look.options });
      const width = look.options.viewport?.width ?? 1280;
      const check = async (what, frame = p.page) => {
        if (process.env.E2E_OUT) await p.page.screenshot({ path: path.join(process.env.E2E_OUT, `looks-${look.name}-${what}.png`) });
        pictures++;
        // Forced colours are the system's: their contrast is not ours.
        const list = (await violations(frame)).filter((v) => look.name !== "forced" || !v.startsWith("color-contrast"));
        found.push(...list.map((v) => `${look.name} ${what}: ${v}`));
        const wide = await p.page.evaluate(() => document.documentElement.scrollWidth);
        if (wide > width) found.push(`${look.name} ${what}: ${wide} px wide`);
      };
      // The client says in which language and theme it is: in the address of the widget.
      if (look.query) {
        await p.context.route("**/widgets/whiteboard?*", (route) => {
          const url = new URL(route.request().url());
          const missing = Object.entries(look.query).filter(([k, v]) => url.searchParams.get(k) !== v);
          if (missing.length === 0) return route.continue();
          for (const [k, v] of missing) url.searchParams.set(k, v);
          return route.fulfill({ status: 302, headers: { location: url.href } });
        });
      }
      if (look.dir) await p.page.addInitScript((dir) => window === window.top && addEventListener("DOMContentLoaded", () => (document.documentElement.dir = dir)), look.dir);

      for (const [what, address] of [["front", "/"], ["trust", "/trust"], ["alone", "/widgets/whiteboard"]]) {
        await p.page.goto(lectern + address);
        await p.page.locator("h1").waitFor();
        await check(what);
      }
      await p.page.goto(stack.ready.classroom);
      await p.page.locator("form").waitFor();
      await check("sign-in");
      await p.enter();
      const { frame } = p.board;
      if (look.dir) await until("right to left", () => frame.evaluate((dir) => document.documentElement.dir === dir, look.dir));
      const words = { here: /^\d+ here|da$/, versions: /^Earlier versions/, roles: /^Roles/, outline: /^As text/ };
      if ((await p.board.visible()).length === 0) {
        await p.board.rectangle([100, 150], [200, 220]);
        await p.board.rectangle([150, 260], [230, 330]);
      }
      await check("board", frame);
      await check("board-around");
      await frame.getByRole("button", { name: words.here }).click();
      await check("people", frame);
      for (const what of ["versions", "roles"]) {
        await frame.getByRole("button", { name: words[what] }).click();
        await frame.locator("dialog[open]").waitFor();
        await p.page.waitForTimeout(300); // what it asks the server for
        await check(what, frame);
        await frame.locator("dialog[open]").getByRole("button", { name: "Close" }).click();
      }
      await frame.getByRole("button", { name: words.outline }).click();
      await frame.locator("dialog[open] li").first().waitFor();
      await check("outline", frame);
      await frame.locator("dialog[open]").getByRole("button", { name: "Close" }).click();
      await p.page.getByTestId("add-open").click();
      await p.page.getByTestId("add-dialog").waitFor();
      await check("add");
      await p.close();
    });
  }
  await step("axe finds nothing, nothing is wider than the window", async () => {
    assert.deepEqual(found, []);
    return `${pictures} looks`;
  });
});
