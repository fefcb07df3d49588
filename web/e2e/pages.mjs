// A board of several pages: adding, turning, drawing on each, coming back; nothing lands on the wrong page, and the room holds them all.
// PAGES (3) is how many; E2E_OUT a folder for pictures.
import fs from "node:fs";
import path from "node:path";
import { violations } from "./lib/axe.mjs";
import { converged } from "./lib/board.mjs";
import { launch } from "./lib/person.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";
import { bringWeather } from "./lib/weather.mjs";

const PAGES = Math.max(3, Number(process.env.PAGES ?? 3));

await run("pages", {}, async (t) => {
  const { stack, step } = t;
  const a = await t.person(stack.teacher);
  const b = await t.person(stack.students()[0], { profile: true });
  const strip = (p) => p.board.frame.getByRole("navigation", { name: "Pages" });
  const press = (p, name) => strip(p).getByRole("button", { name, exact: true }).click();
  const at = (p, page) => until(`${p.name} on page ${page + 1}`, async () => {
    const s = await p.board.stats();
    return s.page === page && s.ready;
  });
  const shot = async (p, name) => process.env.E2E_OUT && p.screenshot(path.join(process.env.E2E_OUT, `pages-${name}.png`));
  const counts = async (p) => (await p.board.visible()).length;

  await step("one page: the strip offers only to add one", async () => {
    await bringWeather(b, { seed: 1, hold: true });
    await Promise.all([a.enter(), b.enter()]);
    await a.board.rectangle([150, 150], [300, 250]);
    await converged([a.board, b.board], { count: 1 });
    assert.deepEqual(await strip(a).getByRole("button").allInnerTexts(), ["+"]);
    await shot(a, "1-one");
  });

  await step(`${PAGES} pages, something else on each, and the other person is left where they are`, async () => {
    for (let page = 1; page < PAGES; page++) {
      await a.board.freehand([[200, 200], [260, 240 + 10 * page], [320, 200]]); // the click comes while the stroke is on its way
      await press(a, "Add a page");
      await at(a, page);
      assert.equal(await counts(a), 0, `page ${page + 1} begins empty`);
      for (let i = 0; i <= page; i++) await a.board.ellipse([150 + 90 * i, 150], [210 + 90 * i, 220]);
    }
    assert.equal((await b.board.stats()).page, 0);
    assert.match(await strip(b).innerText(), new RegExp(`1 of ${PAGES}`));
    await until("the first page has its stroke", async () => (await counts(b)) === 2);
    await shot(a, "2-last");
  });

  await step("turning with buttons, list and keys; each page shows its own", async () => {
    await press(b, "Next page");
    await at(b, 1);
    await until("page 2", async () => (await counts(b)) === 3); // two ellipses, and the stroke before the next page
    await press(b, `Page 2 of ${PAGES}`);
    await shot(b, "3-list");
    await press(b, `Page ${PAGES} of ${PAGES}`);
    await at(b, PAGES - 1);
    const { visible } = await converged([a.board, b.board], { count: PAGES });
    assert.equal(visible, PAGES);
    await b.board.focus();
    await b.page.keyboard.press("Alt+PageUp");
    await at(b, PAGES - 2);
    await b.page.keyboard.press("Alt+PageDown");
    await at(b, PAGES - 1);
  });

  await step("on a phone, with the list open: everything is inside, and axe finds nothing", async () => {
    const size = b.page.viewportSize();
    await b.page.setViewportSize({ width: 360, height: 740 });
    await b.page.getByRole("button", { name: "Hide people", exact: true }).click();
    await press(b, `Page ${PAGES} of ${PAGES}`);
    await shot(b, "5-phone");
    const outside = await b.board.frame.evaluate(() => [...document.querySelectorAll(".status button")].map((e) => e.getBoundingClientRect()).filter((r) => r.left < 0 || r.right > innerWidth || r.bottom > innerHeight).length);
    assert.equal(outside, 0, "buttons outside the page");
    assert.deepEqual(await violations(b.board.frame), []);
    await b.page.keyboard.press("Escape");
    await b.page.setViewportSize(size);
  });

  await step("what hands do is seen on the same page only", async () => {
    const ghosts = (p) => p.board.frame.evaluate(() => __lectern.scene().filter((e) => !e.isDeleted).length - Object.values(__lectern.document()).filter((e) => !e.isDeleted).length);
    await press(b, "Previous page");
    await at(b, PAGES - 2);
    const before = await counts(b);
    await a.board.tool("p");
    await a.board.down([500, 300]);
    await a.board.to([600, 360], 30);
    assert.equal(await ghosts(b), 0);
    await press(b, "Next page");
    await at(b, PAGES - 1);
    await a.board.to([640, 300], 30);
    await until("the unfinished stroke is seen", async () => (await ghosts(b)) === 1);
    await a.board.up();
    await converged([a.board, b.board], { count: PAGES + 1 });
    await press(b, "Previous page");
    await at(b, PAGES - 2);
    assert.equal(await counts(b), before);
  });

  await step("undo ends with the page, and goes on where one is", async () => {
    await b.board.undo();
    await b.board.rectangle([400, 400], [450, 440]);
    const count = await counts(b);
    await b.board.undo();
    await until("undone", async () => (await counts(b)) === count - 1);
    await b.board.redo();
    await until("redone", async () => (await counts(b)) === count);
  });

  await step("a reload comes back to the page, with work that was made offline on it", async () => {
    const page = (await b.board.stats()).page;
    const before = await counts(b);
    await b.goOffline();
    await press(b, `Page ${page + 1} of ${PAGES}`);
    await shot(b, "4-offline");
    await strip(b).getByRole("button", { name: `Page 1 of ${PAGES}` }).click({ force: true }); // it says that it does nothing
    await b.board.rectangle([500, 450], [550, 490]);
    await until("stored", async () => {
      const s = await b.board.stats();
      return s.unsaved === 1 && s.atRisk === 0;
    });
    assert.equal((await b.board.stats()).page, page);
    await b.goOnline();
    await until("sent", async () => (await b.board.stats()).unsaved === 0, 40_000);
    await b.reload();
    await at(b, page);
    await until("all of it", async () => (await counts(b)) === before + 1);
  });

  await step("a squash on a page that is not open, and drawing on it afterwards", async () => {
    await press(a, `Page ${PAGES} of ${PAGES}`);
    await press(a, `Page 1 of ${PAGES}`);
    await at(a, 0);
    const before = await counts(a);
    await stack.squash(b.board.welcome.docs[1].doc);
    await press(a, "Next page");
    await at(a, 1);
    await until("in the new epoch", async () => (await a.board.stats()).epoch === 1);
    await a.board.rectangle([600, 450], [650, 490]);
    await press(a, "Previous page");
    await at(a, 0);
    await until("as before", async () => (await counts(a)) === before);
    await a.board.rectangle([600, 450], [650, 490]);
    assert.equal((await a.board.stats()).lanes.resets, 0);
  });

  const pagesOf = async (p) => {
    const pages = [];
    for (let i = 0; i < PAGES; i++) {
      if ((await p.board.stats()).page !== i) {
        await press(p, `Page ${(await p.board.stats()).page + 1} of ${PAGES}`);
        await press(p, `Page ${i + 1} of ${PAGES}`);
      }
      await at(p, i);
      pages.push((await p.board.visible()).map(({ id, type, x, y }) => [id, type, x, y]));
    }
    return pages;
  };

  await step("lectern.db is deleted: all pages come back from the room, in their order, each on demand", async () => {
    await press(b, `Page ${(await b.board.stats()).page + 1} of ${PAGES}`);
    await press(b, `Page 1 of ${PAGES}`);
    await at(b, 0);
    const before = await pagesOf(b);
    await t.closeBrowser();
    await t.restart((data) => {
      for (const f of fs.readdirSync(data, { recursive: true }).map(String)) if (/(^|\/)lectern\.db(-wal|-shm)?$/.test(f)) fs.rmSync(path.join(data, f));
    });
    t.browser = await launch();
    const c = await t.person(t.stack.students()[1]);
    await c.enter();
    await until("all pages are known", async () => (await c.board.stats()).pages === PAGES);
    assert.deepEqual(await pagesOf(c), before);
    return before.map((p) => p.length).join(" + ") + " elements";
  });
});
