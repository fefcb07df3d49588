// Adding a board from inside a Matrix client: the integration manager in a page that speaks Element's messages, on a real homeserver.
import path from "node:path";
import { violations } from "./lib/axe.mjs";
import { openManager, serveClient } from "./lib/manager.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

const WIDGET = "im.vector.modular.widgets";

const client = await serveClient();

await run("integrations", { args: ["-client", client] }, async (t) => {
  const { stack, step } = t;
  const { ready, teacher } = stack;
  const [student] = stack.students();
  const at = (room) => `/rooms/${encodeURIComponent(room)}`;
  const get = (room, type, key = "") => stack.matrix(teacher, "GET", `${at(room)}/state/${type}/${encodeURIComponent(key)}`);
  const widgets = async (room) => (await stack.matrix(teacher, "GET", `${at(room)}/state`)).filter((e) => e.type === WIDGET && e.content.url);
  const shot = async (p, name) => process.env.E2E_OUT && p.screenshot(path.join(process.env.E2E_OUT, `integrations-${name}.png`));
  const inner = (p) => p.page.frames().find((f) => f.url().startsWith(`${ready.lectern}/integrations/`));
  const accessible = async (p, what) => {
    assert.deepEqual(await violations(inner(p)), [], `accessibility of ${what}`);
    assert.ok(await inner(p).evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), `${what} scrolls sideways`);
  };
  // As Element makes rooms: power levels take 100, widgets 50.
  const { room_id: room } = await stack.matrix(teacher, "POST", "/createRoom", {
    name: "Physics 9a", preset: "private_chat", invite: [student.user_id],
    initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    power_level_content_override: { events: { "m.room.power_levels": 100, "m.room.name": 50 }, users: { [teacher.user_id]: 100 } },
  });
  await stack.matrix(student, "POST", `${at(room)}/join`, {});
  const a = await t.person(teacher);
  const b = await t.person(student);
  let manager;
  let widget;

  await step("IM1 the client registers as Element does; a proof counts once; nobody else's page can read the answers", async () => {
    manager = await openManager(a, client, { room, name: "Physics 9a" });
    assert.equal(await a.page.evaluate(() => window.again), 401);
    const token = await a.page.evaluate(() => window.scalarToken);
    for (const [origin, may] of [[client, true], ["https://evil.example", false]]) {
      const preflight = await fetch(`${ready.lectern}/integrations/api/register?v=1.1`, { method: "OPTIONS", headers: { Origin: origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type" } });
      assert.equal(preflight.headers.get("access-control-allow-origin"), may ? origin : null);
    }
    const unknown = await fetch(`${ready.lectern}/integrations/api/account?scalar_token=x${token.slice(1)}&v=1.1`);
    assert.equal(unknown.status, 401);
  });

  await step("IM3 IM4 by keyboard: Lectern comes, gets its level, and the board is on top, the same as from every other way", async () => {
    await manager.getByRole("heading", { name: "Boards in Physics 9a" }).waitFor();
    assert.equal(new URL(inner(a).url()).search, "", "the token stays in the address");
    await manager.getByTestId("add-name").waitFor();
    await accessible(a, "the form");
    await shot(a, "form");
    await manager.getByTestId("add-name").focus();
    await a.page.keyboard.press("ControlOrMeta+a");
    await a.page.keyboard.type("Lesson 3");
    const began = Date.now();
    await a.page.keyboard.press("Enter");
    await manager.getByTestId("im-added").getByText("“Lesson 3” is in the room.").waitFor({ timeout: 30_000 });
    const took = Date.now() - began;
    await accessible(a, "after adding");
    await shot(a, "added");
    const [found] = await widgets(room);
    widget = found.state_key;
    assert.match(widget, /^lectern-[a-z2-7]{10}$/);
    assert.equal(found.sender, teacher.user_id);
    const demo = await get(ready.room_id, WIDGET, ready.widgets[0].id);
    assert.match(found.content.avatar_url, /^mxc:/); // the demo room's widget is older than the picture
    assert.deepEqual({ ...found.content, id: "", data: { ...found.content.data, board: "" } }, { ...demo, avatar_url: found.content.avatar_url, id: "", name: "Lesson 3", creatorUserId: teacher.user_id, data: { ...demo.data, board: "" } });
    const { users } = await get(room, "m.room.power_levels");
    assert.deepEqual(users, { [teacher.user_id]: 100, [ready.companion]: 50 });
    assert.equal((await get(room, "m.room.member", ready.companion)).membership, "join");
    assert.equal((await get(room, "io.element.widgets.layout")).widgets[widget].container, "top");
    return `${took} ms, and no question`;
  });

  await step("IM3 a student opens the board and draws", async () => {
    await b.enter({ room, widget });
    await b.board.rectangle([150, 150], [260, 220]);
    await until("the rectangle is on the board", async () => (await b.board.visible()).length === 1);
  });

  await step("IM5 renamed, removed and put back; what others do appears by itself", async () => {
    await stack.matrix(teacher, "PUT", `${at(room)}/state/${WIDGET}/other`, { type: "m.custom", name: "Timer", url: "https://timer.example/", data: {} });
    await manager.getByTestId("board-other").getByText("Timer", { exact: true }).waitFor();
    const ours = manager.getByTestId(`board-${widget}`);
    await ours.getByTestId("board-rename").click();
    await ours.getByTestId("board-name").fill("Lesson 4");
    await ours.getByTestId("board-save").click();
    await ours.getByText("Lesson 4", { exact: true }).waitFor();
    await ours.getByTestId("board-remove").click();
    await accessible(a, "the question");
    await ours.getByTestId("board-remove-yes").click();
    await ours.waitFor({ state: "detached" });
    await manager.getByTestId("board-put-back").click();
    await manager.getByTestId("im-added").getByText("“Lesson 4” is in the room.").waitFor({ timeout: 30_000 });
    const back = await get(room, WIDGET, widget);
    assert.equal(back.name, "Lesson 4");
    await shot(a, "list");
    await manager.getByTestId("add-close").click();
    await until("the client has closed the window", async () => (await a.page.locator("iframe").count()) === 0);
  });

  await step("IM3 who may not reads why, and whom to ask", async () => {
    const frame = await openManager(b, client, { room, name: "Physics 9a" });
    await frame.getByTestId("add-no-power").getByText(/takes power level 50 in this room; yours is 0\. Ask /).waitFor();
    assert.equal(await frame.getByTestId("add-submit").count(), 0);
    await accessible(b, "without rights");
    await shot(b, "no-power");
  });

  await step("IM6 a creator in a room of version 12, where nobody is listed", async () => {
    const { capabilities } = await stack.matrix(teacher, "GET", "/capabilities");
    if (!capabilities["m.room_versions"].available["12"]) return "skipped: this homeserver does not know version 12";
    const { room_id } = await stack.matrix(teacher, "POST", "/createRoom", { name: "Twelve", preset: "private_chat", room_version: "12" });
    const frame = await openManager(a, client, { room: room_id, name: "Twelve" });
    await frame.getByTestId("add-submit").click();
    await frame.getByTestId("im-added").waitFor({ timeout: 30_000 });
    assert.deepEqual((await get(room_id, "m.room.power_levels")).users, { [ready.companion]: 50 });
  });

  await step("AU3 a widget whose address has no variables, as clients will leave them out: its room is found", async () => {
    const found = { content: await get(room, WIDGET, widget) };
    await stack.matrix(teacher, "PUT", `${at(room)}/state/${WIDGET}/plain`, { type: "m.custom", name: "Plain", url: found.content.url.split("?")[0], data: found.content.data });
    const c = await t.person(student);
    await c.signIn();
    await c.openRoom(room);
    await c.page.locator('[data-tab="plain"]').click();
    await c.openBoard({ widget: "plain" });
    await until("the rectangle is there", async () => (await c.board.visible()).length === 1);
    await stack.matrix(teacher, "PUT", `${at(room)}/state/${WIDGET}/plain`, {});
  });

  await step("IM2 a client that does not answer, and one that shows another room", async () => {
    const other = await openManager(a, client, { room, visible: "!another:room" });
    await other.getByTestId("im-why").getByText(/not visible/).waitFor();
    const deaf = await openManager(a, client, { room, deaf: true });
    const began = Date.now();
    await deaf.getByTestId("im-why").getByText("Your Matrix client does not answer.").waitFor({ timeout: 20_000 });
    await accessible(a, "no answer");
    await shot(a, "silent");
    return `said after ${((Date.now() - began) / 1000).toFixed(1)} s`;
  });

  await step("IM2 nobody else frames it; outside a client it says where it belongs", async () => {
    const c = await t.person(student);
    const address = `${ready.homeserver}/evil`;
    await c.page.route(address, (r) => r.fulfill({ contentType: "text/html", body: `<iframe src="${ready.lectern}/integrations/?scalar_token=x&room_id=!r:x"></iframe>` }));
    await c.page.goto(address);
    await until("the frame is refused", async () => (await c.page.frames()[1].evaluate(() => document.body?.textContent ?? "").catch(() => "")) === "" || c.page.frames()[1].url().startsWith("chrome-error"));
    c.faults.list.splice(0); // the refusal itself
    await c.page.goto(`${ready.lectern}/integrations/`);
    await c.page.getByRole("heading", { name: "Boards for a room of your Matrix client" }).waitFor();
    assert.deepEqual(await violations(c.page), []);
  });

  await step("CL13 360 px, dark, German", async () => {
    const d = await t.person(teacher, { viewport: { width: 360, height: 720 }, colorScheme: "dark", locale: "de-DE" });
    const frame = await openManager(d, client, { room, name: "Physik 9a", theme: "dark", width: 360 });
    await frame.getByRole("heading", { name: "Tafeln in Physik 9a" }).waitFor();
    await frame.getByTestId("board-remove").first().waitFor();
    await accessible(d, "360 px, dark, German");
    await shot(d, "360-dark-de");
  });
});
