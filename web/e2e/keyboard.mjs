// The three journeys of product.md with the keyboard alone: a teacher makes a classroom with a board, a student puts something on it, a late joiner reads it.
// E2E_OUT: a folder for pictures.
import path from "node:path";
import { violations } from "./lib/axe.mjs";
import { Board } from "./lib/board.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

const FARTHEST = 120; // keys to anything

/** Presses Tab until the element has the focus; answers how often. */
async function reach(page, element, back = false) {
  const passed = [];
  for (let n = 0; n <= FARTHEST; n++) {
    if (await element.evaluate((e) => e === e.ownerDocument.activeElement && e.ownerDocument.hasFocus()).catch(() => false)) return n;
    passed.push(await page.evaluate(() => (document.activeElement?.outerHTML ?? "").slice(0, 80)));
    await page.keyboard.press(back ? "Shift+Tab" : "Tab");
  }
  throw new Error(`not reached with ${FARTHEST} keys: ${element}; passed\n${[...new Set(passed)].join("\n")}`);
}

async function press(page, element) {
  const keys = await reach(page, element);
  await page.keyboard.press("Enter");
  return keys;
}

/** Answers whatever is asked until the board is live. */
async function enter(p) {
  const { page } = p;
  const frame = page.locator("iframe[data-widget]").first();
  let asked = 0;
  await until(`${p.name} is on the board`, async () => {
    for (const id of ["consent-open", "prompt-allow"]) {
      const button = page.locator(`[data-testid="${id}"]:visible`).first();
      if (!(await button.isVisible())) continue;
      await press(page, button);
      asked++;
    }
    if ((await frame.count()) === 0 || (await frame.getAttribute("data-state")) !== "ready" || (await page.locator("dialog[open]").count()) > 0) return false;
    p.board = await Board.in(p, frame);
    return p.board !== null && (await p.board.isLive());
  }, 60_000, 100);
  return asked;
}

async function signIn(p) {
  await p.page.goto(p.stack.ready.classroom);
  const button = p.page.getByTestId(`demo-${p.user.user_id}`);
  await button.waitFor();
  await press(p.page, button);
  await p.page.locator(".workspace").waitFor({ timeout: 60_000 });
  await enter(p); // the only room is open, with its board
}

await run("keyboard", {}, async (t) => {
  const { stack, step } = t;
  const [first, second] = stack.students();
  const a = await t.person(stack.teacher);
  const b = await t.person(first, { locale: "de-DE" });
  const c = await t.person(second, { colorScheme: "dark", bypassCSP: true });
  const shot = async (p, name) => process.env.E2E_OUT && p.page.screenshot({ path: path.join(process.env.E2E_OUT, `keyboard-${name}.png`) });
  for (const p of [a, b, c]) await p.page.addInitScript(() => addEventListener("pointerdown", () => (window.__pointer = true), true));

  await step("journey 1: a teacher makes a classroom with a whiteboard", async () => {
    await signIn(a);
    await press(a.page, a.page.getByTestId("create-new"));
    const dialog = a.page.getByTestId("create-dialog");
    await reach(a.page, dialog.getByTestId("create-name"));
    await a.page.keyboard.type("Keys only");
    await reach(a.page, dialog.getByTestId("create-people"));
    await a.page.keyboard.type(`${first.user_id}, ${second.user_id}`);
    await press(a.page, dialog.locator("button[type=submit]"));
    await a.page.getByRole("heading", { name: "Keys only" }).waitFor({ timeout: 30_000 });
    const asked = await enter(a);
    await shot(a, "1-teacher");
    return `${asked} questions`;
  });

  await step("journey 2: a student comes and puts something on the board", async () => {
    await signIn(b);
    const join = b.page.locator('[data-testid^="join-"]').first();
    await join.waitFor({ timeout: 30_000 });
    await press(b.page, join);
    await b.page.getByRole("heading", { name: "Keys only" }).waitFor({ timeout: 30_000 });
    const asked = await enter(b);
    const keys = await press(b.page, b.board.frame.getByRole("button", { name: "Als Text" }));
    await reach(b.page, b.board.frame.getByRole("combobox"));
    await b.page.keyboard.press("ArrowDown"); // a rectangle
    await reach(b.page, b.board.frame.getByRole("textbox"));
    await b.page.keyboard.type("Photosynthese");
    await shot(b, "2-student");
    assert.deepEqual(await violations(b.board.frame), []);
    await press(b.page, b.board.frame.getByRole("button", { name: "Auf die Tafel setzen" }));
    await b.board.frame.getByText("Rechteck: Photosynthese", { exact: true }).waitFor();
    await until("the teacher sees it", async () => (await a.board.visible()).length === 2); // the shape and its text
    await b.page.keyboard.press("Escape");
    return `${asked} questions, ${keys} keys from the board to "Als Text"`;
  });

  await step("journey 3: a late joiner reads the whole board", async () => {
    await signIn(c);
    const join = c.page.locator('[data-testid^="join-"]').first();
    await join.waitFor({ timeout: 30_000 });
    await press(c.page, join);
    await c.page.getByRole("heading", { name: "Keys only" }).waitFor({ timeout: 30_000 });
    await enter(c);
    await press(c.page, c.board.frame.getByRole("button", { name: "As text" }));
    await c.board.frame.getByText("Rectangle: Photosynthese", { exact: true }).waitFor();
    await shot(c, "3-late");
    assert.deepEqual(await violations(c.board.frame), []);
  });

  await step("no pointer was used", async () => {
    for (const p of [a, b, c]) {
      assert.equal(await p.page.evaluate(() => window.__pointer === true), false, p.name);
      assert.equal(await p.board.frame.evaluate(() => window.__pointer === true), false, p.name);
    }
  });
});
