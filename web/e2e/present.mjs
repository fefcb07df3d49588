// Presenting: everybody follows a moderator's view and page until they look around themselves; presenting is handed over; cursors can be hidden (SPEC PR).
// E2E_OUT: a folder for pictures.
import path from "node:path";
import { violations } from "./lib/axe.mjs";
import { converged } from "./lib/board.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

await run("present", {}, async (t) => {
  const { stack, step } = t;
  const [first, second] = stack.students();
  const a = await t.person(stack.teacher);
  const b = await t.person(first, { viewport: { width: 360, height: 740 } });
  const c = await t.person(second);
  const shot = async (p, name) => process.env.E2E_OUT && p.page.screenshot({ path: path.join(process.env.E2E_OUT, `present-${name}.png`) });
  /** The middle of what somebody sees, in the scene. */
  const middle = (p) => p.board.frame.evaluate(() => {
    const { scrollX, scrollY, zoom, width, height } = window.__lectern.view();
    return [width / 2 / zoom - scrollX, height / 2 / zoom - scrollY];
  });
  const near = (p, q) => until(`${q.name} sees what ${p.name} sees`, async () => {
    const [m, n] = await Promise.all([middle(p), middle(q)]);
    return Math.hypot(m[0] - n[0], m[1] - n[1]) < 30;
  });
  const people = (p) => p.board.frame.getByRole("button", { name: /^\d+ here/ }).click();
  const scroll = async (p, by) => {
    await p.page.mouse.move(...(await p.board.at([300, 300])));
    await p.page.mouse.wheel(...by);
  };

  await step("three people are on the board", async () => {
    await Promise.all([a.enter(), b.enter(), c.enter()]);
    await a.board.rectangle([300, 150], [420, 220]);
    await converged([a.board, b.board, c.board], { count: 1 });
  });

  await step("PR1 everybody follows the teacher, also on a phone", async () => {
    await people(a);
    const began = Date.now();
    await a.board.frame.getByRole("button", { name: "Present: everybody follows" }).click();
    await b.board.frame.getByText("You see what Ms Rivera sees.").waitFor();
    const took = Date.now() - began;
    await people(a);
    await scroll(a, [700, 500]);
    await Promise.all([near(a, b), near(a, c)]);
    await shot(b, "1-following");
    await shot(a, "2-presenting");
    assert.deepEqual(await violations(b.board.frame), []);
    return `${took} ms from the click to the student's page`;
  });

  await step("PR2 who looks around does, and comes back", async () => {
    await b.board.frame.getByRole("button", { name: "Look around yourself" }).click();
    const before = await middle(b);
    await scroll(a, [-900, -300]);
    await near(a, c);
    assert.deepEqual(await middle(b), before);
    await b.board.frame.getByRole("button", { name: "Follow" }).click();
    await near(a, b);
  });

  await step("PR1 to another page", async () => {
    await a.board.frame.getByRole("button", { name: "Add a page" }).click();
    await a.board.frame.getByText("2 of 2").first().waitFor();
    await c.board.frame.getByText("2 of 2").first().waitFor();
  });

  await step("PR3 another moderator takes over; the end is told", async () => {
    const where = `/rooms/${encodeURIComponent(stack.ready.room_id)}/state/m.room.power_levels/`;
    const levels = await stack.matrix(stack.teacher, "GET", where);
    await stack.matrix(stack.teacher, "PUT", where, { ...levels, users: { ...levels.users, [second.user_id]: 50 } });
    await people(c);
    await c.board.frame.getByRole("button", { name: "Present: everybody follows" }).click();
    await a.board.frame.getByText("You see what Ben sees.").waitFor();
    await b.board.frame.getByText("You see what Ben sees.").waitFor();
    await c.board.frame.getByRole("button", { name: "Stop presenting" }).first().click();
    await until("nobody presents", async () => (await b.board.frame.getByText("You see what").count()) === 0 && (await a.board.frame.getByText("You see what").count()) === 0);
  });

  await step("PR4 others' cursors without names, and hidden", async () => {
    await people(a);
    await a.board.frame.getByLabel("Others’ cursors").selectOption("none");
    await shot(a, "3-cursors");
    assert.deepEqual(await violations(a.board.frame), []);
  });
});
