// Who may draw: a teacher decides, the board obeys at once and for everybody, and nobody's work is lost by it.
// E2E_OUT: a folder for pictures.
import path from "node:path";
import { violations } from "./lib/axe.mjs";
import { converged } from "./lib/board.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";
import { bringWeather } from "./lib/weather.mjs";

await run("locks", {}, async (t) => {
  const { stack, step } = t;
  const [first, second] = stack.students();
  const a = await t.person(stack.teacher);
  const b = await t.person(first, { profile: true });
  const c = await t.person(second);
  const shot = async (p, name) => process.env.E2E_OUT && p.screenshot(path.join(process.env.E2E_OUT, `locks-${name}.png`));
  const people = (p) => p.board.frame.getByRole("button", { name: /^\d+ here/ });
  const choose = (label) => a.board.frame.getByLabel(label, { exact: true }).click();
  const note = (p) => p.board.frame.locator(".status .note").allInnerTexts();
  const viewing = async (p) => (await p.board.frame.locator(".excalidraw--view-mode").count()) > 0;
  const watches = (p, words) => until(`${p.name} watches`, async () => (await note(p)).some((n) => words.test(n)) && (await viewing(p)));
  const draws = (p) => until(`${p.name} draws`, async () => (await note(p)).length === 0 && !(await viewing(p)));
  const count = async (p) => (await p.board.visible()).length;
  const all = () => converged([a.board, b.board, c.board], { ms: 20_000 });

  await step("three people draw", async () => {
    await bringWeather(b, { seed: 1, hold: true });
    await Promise.all([a.enter(), b.enter(), c.enter()]);
    await b.board.rectangle([150, 150], [220, 200]);
    await converged([a.board, b.board, c.board], { count: 1 });
    assert.equal(await b.board.frame.getByRole("group", { name: "Who draws" }).count(), 0);
  });

  await step("moderators only: at once, in mid-stroke, and said in words", async () => {
    await people(a).click();
    await shot(a, "1-people");
    await b.board.tool("p");
    await b.board.down([300, 300]);
    await b.board.to([360, 360], 20);
    const began = Date.now();
    await choose("Moderators only");
    await watches(b, /Only moderators draw/);
    const took = Date.now() - began;
    await watches(c, /Only moderators draw/);
    await b.board.to([420, 300], 10);
    await b.board.up();
    await until("the stroke in the hand is gone", async () => (await b.board.shown()).length === 1);
    assert.equal((await all()).visible, 1);
    await a.board.rectangle([500, 150], [560, 200]); // the teacher draws
    assert.equal((await all()).visible, 2);
    await shot(b, "2-watching");
    return `after ${took} ms`;
  });

  await step("chosen people: one draws, the other watches", async () => {
    await choose("Chosen people");
    await watches(b, /Only people whom a moderator has chosen/);
    await a.board.frame.getByLabel("Ada draws").click();
    await draws(b);
    await watches(c, /Only people whom a moderator has chosen/);
    await shot(a, "3-chosen");
    await b.board.rectangle([150, 260], [220, 300]);
    assert.equal((await all()).visible, 3);
    await choose("Everybody");
    await draws(c);
  });

  await step("a raised hand gets the pen", async () => {
    await choose("Moderators only");
    await watches(c, /Only moderators draw/);
    await c.board.frame.getByRole("button", { name: "Raise your hand" }).click();
    await until("seen", async () => (await people(a).innerText()).includes("1 hand up"));
    await shot(a, "7-hand");
    await shot(c, "8-raised");
    await a.board.frame.getByRole("button", { name: "Give the pen" }).click();
    await draws(c);
    await watches(b, /Only people whom a moderator has chosen/);
    await until("the hand is down", async () => !(await people(a).innerText()).includes("hand"));
    await choose("Everybody");
    await draws(b);
  });

  await step("one person only watches, also after a reload", async () => {
    await a.board.frame.getByLabel("Ben draws").click();
    await watches(c, /that you only watch/);
    await c.reload();
    await watches(c, /that you only watch/);
    await a.board.frame.getByLabel("Ben draws").click();
    await draws(c);
    await people(a).click();
  });

  await step("a locked page; the others go on", async () => {
    await a.board.frame.getByRole("button", { name: "Add a page" }).click();
    await until("page 2", async () => (await a.board.stats()).page === 1 && (await a.board.stats()).ready);
    await a.board.frame.getByRole("button", { name: "Page 2 of 2" }).click();
    await a.board.frame.getByRole("button", { name: "Lock this page" }).click();
    await until("locked", async () => (await a.board.frame.getByRole("button", { name: "Page 2 of 2, locked" }).count()) === 2);
    await shot(a, "4-page");
    await b.board.rectangle([600, 260], [660, 300]);
    await b.board.frame.getByRole("button", { name: "Next page" }).click();
    await watches(b, /locked this page/);
    await a.board.frame.getByRole("button", { name: "Unlock this page" }).click();
    await draws(b);
    await b.board.rectangle([150, 150], [220, 200]);
    await until("drawn", async () => (await count(a)) === 1);
    await b.board.frame.getByRole("button", { name: "Previous page" }).click();
    await a.board.frame.getByRole("button", { name: "Previous page" }).click();
    await until("back", async () => (await b.board.stats()).page === 0 && (await b.board.stats()).ready && (await a.board.stats()).page === 0 && (await a.board.stats()).ready);
  });

  await step("work that was made offline before the lock is kept, offered, and sent when it is over", async () => {
    const { visible } = await all();
    await b.goOffline();
    await b.board.rectangle([150, 400], [220, 440]);
    await b.board.rectangle([250, 400], [320, 440]);
    await until("stored", async () => (await b.board.stats()).atRisk === 0 && (await b.board.stats()).unsaved === 2);
    await people(a).click();
    await choose("Moderators only");
    await b.goOnline();
    await watches(b, /Only moderators draw/);
    await until("offered", async () => (await b.board.frame.getByRole("button", { name: "Save as a file" }).count()) === 1, 20_000);
    await until("taken out of the drawing", async () => (await b.board.shown()).length === visible);
    await shot(b, "5-kept");
    assert.equal(await count(a), visible);
    await choose("Everybody");
    await draws(b);
    await until("sent", async () => (await count(a)) === visible + 2, 20_000);
    assert.equal((await all()).visible, visible + 2);
    assert.equal(await b.board.frame.getByRole("button", { name: "Save as a file" }).count(), 0);
  });

  await step("everybody is brought to what the teacher sees, on another page, after the stroke at hand", async () => {
    await a.board.frame.getByRole("button", { name: "Next page" }).click();
    await until("page 2", async () => (await a.board.stats()).page === 1 && (await a.board.stats()).ready);
    await a.page.mouse.move(...(await a.board.at([300, 300])));
    await a.page.mouse.wheel(700, 400);
    await b.board.tool("p");
    await b.board.down([300, 450]);
    await b.board.to([360, 480], 20);
    await a.board.frame.getByRole("button", { name: "Bring everybody here" }).click();
    await until("Ben is there", async () => (await c.board.stats()).page === 1 && (await c.board.stats()).ready);
    assert.equal((await b.board.stats()).page, 0, "in mid-stroke nobody is moved");
    await b.board.up();
    await until("Ada is there", async () => (await b.board.stats()).page === 1 && (await b.board.stats()).ready);
    const middle = async (p) => {
      const { x, y, zoom } = await p.board.view();
      const { width, height } = await p.board.frame.evaluate(() => document.querySelector(".excalidraw").getBoundingClientRect());
      return [Math.round(width / 2 / zoom - x), Math.round(height / 2 / zoom - y)];
    };
    for (const p of [b, c]) await until(`${p.name} looks there`, async () => {
      const [mine, theirs] = [await middle(a), await middle(p)];
      return Math.abs(mine[0] - theirs[0]) <= 2 && Math.abs(mine[1] - theirs[1]) <= 2;
    });
    assert.match(await c.board.frame.locator(".notices").innerText(), /Ms Rivera brought you here/);
    await shot(c, "6-gathered");
    await until("the sentence goes by itself", async () => (await c.board.frame.locator(".notices").count()) === 0);
  });

  await step("axe finds nothing in the list of people", async () => {
    assert.deepEqual(await violations(a.board.frame), []);
  });
});
