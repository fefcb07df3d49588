// Removing and bringing back: a student cannot wipe the board, a teacher may let them, what was removed comes back, and the record says who drew what (SPEC ER).
// E2E_OUT: a folder for pictures.
import path from "node:path";
import { violations } from "./lib/axe.mjs";
import { converged } from "./lib/board.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

const DRAWN = 16;

await run("erase", {}, async (t) => {
  const { stack, step } = t;
  const [first] = stack.students();
  const a = await t.person(stack.teacher);
  const b = await t.person(first, { profile: true });
  const shot = async (p, name) => process.env.E2E_OUT && p.page.screenshot({ path: path.join(process.env.E2E_OUT, `erase-${name}.png`) });
  const all = (count) => converged([a.board, b.board], { count, ms: 20_000 });
  const eraseAll = async (p) => {
    await p.board.frame.locator(".excalidraw").press("Control+a");
    await p.page.keyboard.press("Delete");
  };

  await step("the teacher draws, a student draws", async () => {
    await Promise.all([a.enter(), b.enter()]);
    for (let i = 0; i < DRAWN; i++) await a.board.rectangle([120 + (i % 8) * 60, 150 + Math.floor(i / 8) * 80], [160 + (i % 8) * 60, 200 + Math.floor(i / 8) * 80]);
    await b.board.rectangle([300, 400], [420, 460]);
    await all(DRAWN + 1);
  });

  await step("ER4 who drew this", async () => {
    await b.board.tool("v");
    await b.board.down([120, 175]); // its left side
    await b.board.up();
    const ask = b.board.frame.getByRole("button", { name: "Who drew this?" });
    await ask.click();
    await b.board.frame.getByText(/^Ms Rivera, /).waitFor();
    await shot(b, "1-who");
    await b.page.keyboard.press("Escape");
  });

  await step("ER1 ER2 a student who removes everything is not let, keeps drawing, and the teacher hears of it", async () => {
    await b.board.rectangle([450, 400], [500, 440]);
    await all(DRAWN + 2);
    await b.board.tool("v");
    await eraseAll(b);
    await b.board.frame.getByText("a moderator has been asked").waitFor();
    await a.board.frame.getByText(/was about to remove 16 things/).waitFor();
    await all(DRAWN + 2);
    await shot(a, "2-held");
    await shot(b, "3-guarded");
    assert.deepEqual(await violations(b.board.frame), []);
    await b.board.frame.getByRole("button", { name: "Close" }).click();
    await b.board.rectangle([520, 400], [560, 440]);
    await all(DRAWN + 3);
  });

  await step("ER2 the teacher lets the student for a minute", async () => {
    await a.board.frame.getByRole("button", { name: /^Let Ada/ }).click();
    await until("Ada may", async () => (await a.board.frame.getByRole("button", { name: /^Let Ada/ }).count()) === 0);
    await b.board.tool("v");
    await eraseAll(b);
    await all(0);
  });

  await step("ER3 the teacher brings it all back", async () => {
    await a.board.frame.getByRole("button", { name: /^\d+ here/ }).click();
    await a.board.frame.getByRole("button", { name: "Earlier versions…" }).click();
    const moment = a.board.frame.getByRole("radio", { name: /before Ada removed 19/ });
    await moment.check();
    await a.board.frame.getByText("19 of its 19 elements are not on the page now.").waitFor();
    await shot(a, "4-versions");
    assert.deepEqual(await violations(a.board.frame), []);
    const back = a.board.frame.getByRole("button", { name: "Put 19 back" });
    await until("steady", async () => (await back.getAttribute("aria-disabled")) === "false");
    await back.click();
    await all(19);
    await shot(a, "5-back");
  });
});
