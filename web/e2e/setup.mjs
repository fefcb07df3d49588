// The setup page: a link from the companion in a direct message, or from the board; boards are added, renamed, removed and put back there (SPEC SU).
// E2E_OUT: a folder for pictures.
import path from "node:path";
import { violations } from "./lib/axe.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

await run("setup", {}, async (t) => {
  const { stack, step } = t;
  const [first] = stack.students();
  const { ready } = stack;
  const room = encodeURIComponent(ready.room_id);
  const widgets = async () => (await stack.matrix(stack.teacher, "GET", `/rooms/${room}/state`)).filter((e) => e.type === "im.vector.modular.widgets" && e.content.url).map((e) => e.content.name).sort();
  const a = await t.person(stack.teacher);
  const shot = async (page, name) => process.env.E2E_OUT && page.screenshot({ path: path.join(process.env.E2E_OUT, `setup-${name}.png`), fullPage: true });
  let link = "";

  /** What the companion answers to a message. */
  const ask = async (who, dm, body) => {
    const { event_id } = await stack.matrix(who, "PUT", `/rooms/${encodeURIComponent(dm)}/send/m.room.message/${Math.random()}`, { msgtype: "m.text", body });
    return until("the companion answers", async () => {
      const { chunk } = await stack.matrix(who, "GET", `/rooms/${encodeURIComponent(dm)}/messages?dir=b&limit=20`);
      return chunk.find((e) => e.sender === ready.companion && e.content["m.relates_to"]?.["m.in_reply_to"]?.event_id === event_id)?.content.body;
    });
  };
  const direct = async (who) => {
    const { room_id } = await stack.matrix(who, "POST", "/createRoom", { is_direct: true, preset: "trusted_private_chat", invite: [ready.companion] });
    await until("the companion is there", async () => (await stack.matrix(who, "GET", `/rooms/${encodeURIComponent(room_id)}/joined_members`)).joined[ready.companion] !== undefined);
    return room_id;
  };

  await step("SU1 a teacher asks for the link; a student gets none", async () => {
    const dm = await direct(stack.teacher);
    const began = Date.now();
    const answer = await ask(stack.teacher, dm, 'setup in "Demo classroom"');
    link = answer.match(/https?:\S+/)[0];
    const took = Date.now() - began;
    const no = await ask(first, await direct(first), 'setup in "Demo classroom"');
    assert.match(no, /you need power level 50/);
    return `answered after ${took} ms`;
  });

  await step("SU1 SU2 the page: add, rename, remove, put back", async () => {
    const { page } = a;
    await page.goto(link);
    await shot(page, "1-link");
    assert.deepEqual(await violations(page), []);
    await page.getByRole("button", { name: "Go on" }).click();
    await page.getByRole("heading", { name: "Boards in Demo classroom" }).waitFor();
    await page.getByLabel("Name", { exact: true }).fill("Lesson 3");
    await page.getByRole("button", { name: "Add to the room" }).click();
    await page.getByText('"Lesson 3" is in').waitFor();
    assert.deepEqual(await widgets(), ["Lesson 3", "Whiteboard"]);
    const added = (await stack.matrix(stack.teacher, "GET", `/rooms/${room}/state`)).find((e) => e.content.name === "Lesson 3");
    assert.match(added.content.avatar_url, /^mxc:\/\/localhost\//); // its picture in Element's lists
    await shot(page, "2-added");
    assert.deepEqual(await violations(page), []);
    const card = page.getByRole("region", { name: "Lesson 3" });
    await card.getByLabel("New name").fill("Lesson 4");
    await card.getByRole("button", { name: /^Rename/ }).click();
    await page.getByText('is called "Lesson 4" now').waitFor();
    assert.deepEqual(await widgets(), ["Lesson 4", "Whiteboard"]);
    await page.getByRole("region", { name: "Lesson 4" }).getByRole("button", { name: /^Remove/ }).click();
    await page.getByText('"Lesson 4" is no longer in').waitFor();
    assert.deepEqual(await widgets(), ["Whiteboard"]);
    await page.getByRole("button", { name: /^Put back: Lesson 4/ }).click();
    await page.getByText('"Lesson 4" is back in').waitFor();
    assert.deepEqual(await widgets(), ["Lesson 4", "Whiteboard"]);
  });

  await step("SU1 the link is good once", async () => {
    const other = await t.person(first, { viewport: { width: 360, height: 740 }, colorScheme: "dark", locale: "de-DE" });
    await other.page.goto(link);
    await other.page.getByRole("button", { name: "Weiter" }).click();
    await other.page.getByText("Dieser Link wurde schon benutzt").waitFor();
    await shot(other.page, "3-used");
    assert.deepEqual(await violations(other.page), []);
    assert.ok((await other.page.evaluate(() => document.documentElement.scrollWidth)) <= 360);
    await other.close();
  });

  await step("SU1 from the board, in German, on a phone", async () => {
    const p = await t.person(stack.teacher, { viewport: { width: 360, height: 740 }, locale: "de-DE" });
    await p.signIn();
    await p.openRoom();
    await p.page.getByRole("tab", { name: "Whiteboard" }).click();
    await p.openBoard();
    await p.board.frame.getByRole("button", { name: /da$/ }).click();
    await p.board.frame.getByRole("button", { name: "Tafeln dieses Raums …" }).click();
    const [popup] = await Promise.all([p.context.waitForEvent("page"), p.board.frame.getByRole("link", { name: "Seite öffnen" }).click()]);
    await popup.getByRole("button", { name: "Weiter" }).click();
    await popup.getByRole("heading", { name: "Tafeln in Demo classroom" }).waitFor();
    await popup.setViewportSize({ width: 360, height: 740 });
    await shot(popup, "4-german");
    assert.deepEqual(await violations(popup), []);
  });
});
