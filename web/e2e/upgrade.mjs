// A room is upgraded while people draw: whoever has the board open is told, and the board is in the new room with everything on it (docs/SPEC.md UP).
// E2E_OUT: a folder for pictures.
import path from "node:path";
import { violations } from "./lib/axe.mjs";
import { converged } from "./lib/board.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

await run("upgrade", {}, async (t) => {
  const { stack, step } = t;
  const [first, second] = stack.students();
  const a = await t.person(stack.teacher);
  const b = await t.person(first, { locale: "de-DE", viewport: { width: 360, height: 720 }, colorScheme: "dark", bypassCSP: true });
  const shot = async (p, name) => process.env.E2E_OUT && p.screenshot(path.join(process.env.E2E_OUT, `upgrade-${name}.png`));
  const old = stack.ready.room_id;
  let next = "";
  let began = 0;

  await step("two people draw", async () => {
    await Promise.all([a.enter(), b.enter()]);
    await a.board.rectangle([300, 150], [420, 220]);
    await b.board.rectangle([80, 300], [160, 360]);
    await converged([a.board, b.board], { count: 2 });
  });

  await step("UP4 the room is upgraded, as Element does it: everybody is told where the board is", async () => {
    ({ replacement_room: next } = await stack.matrix(stack.teacher, "POST", `/rooms/${encodeURIComponent(old)}/upgrade`, { new_version: "12" }));
    began = Date.now();
    for (const user_id of [stack.ready.companion, first.user_id, second.user_id]) {
      await stack.matrix(stack.teacher, "POST", `/rooms/${encodeURIComponent(next)}/invite`, { user_id }).catch((err) => assert.match(String(err), /403|already/i));
    }
    await a.page.locator("iframe[data-widget]").first().contentFrame().getByText("This room was replaced by a new one").waitFor({ timeout: 30_000 });
    const took = Date.now() - began;
    await b.page.locator("iframe[data-widget]").first().contentFrame().getByText("Dieser Raum wurde durch einen neuen ersetzt").waitFor();
    await b.page.getByTestId("replaced").waitFor();
    await shot(a, "1-told");
    await shot(b, "2-told-narrow");
    assert.deepEqual(await violations(b.page), []);
    assert.ok((await b.page.evaluate(() => document.documentElement.scrollWidth)) <= 360);
    return `${took} ms after the homeserver's answer`;
  });

  await step("UP2 UP3 the button leads to the new room, with the board and all that is on it", async () => {
    for (const p of [a, b]) {
      await p.page.getByTestId("replaced").getByRole("button").click();
      await until(`${p.name} is in the new room`, async () => (await p.page.getByTestId("replaced").count()) === 0);
      await p.openBoard();
    }
    await converged([a.board, b.board], { count: 2 });
    await a.board.rectangle([500, 150], [620, 220]);
    await converged([a.board, b.board], { count: 3 });
    await shot(a, "3-new-room");
    const { body } = await until("Lectern says what came along", async () => {
      const { chunk } = await stack.matrix(stack.teacher, "GET", `/rooms/${encodeURIComponent(next)}/messages?dir=b&limit=20`);
      return chunk.some((e) => e.sender === stack.ready.companion && e.type === "m.room.encrypted") && { body: "encrypted" };
    });
    return `open after ${Date.now() - began} ms, ${body} notice in the room`;
  });
});
