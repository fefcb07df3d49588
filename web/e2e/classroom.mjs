// The classroom page by itself: signing in with every outcome, staying signed in, invitations, questions by keyboard, tabs, losing the
// homeserver, being removed, signing out; in both appearances, at 360 px, with no accessibility violation (WCAG 2.2 A and AA).
import { violations } from "./lib/axe.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";


async function accessible(person, what) {
  assert.deepEqual(await violations(person.page), [], `accessibility of ${what}`);
}

await run("classroom", {}, async (t) => {
  const { stack, step } = t;
  const [student] = stack.students();
  const room = stack.ready.room_id;
  const small = { viewport: { width: 360, height: 720 }, colorScheme: "dark", bypassCSP: true };
  const s = await t.person(student, small);
  const { page } = s;

  await step("CL2 a wrong password is told, and the right one works", async () => {
    await s.signInWithPassword("not it");
    await page.getByTestId("signin-problem").getByText("do not fit together").waitFor();
    await accessible(s, "sign-in with a problem");
    await page.locator("input[name=password]").fill(student.password);
    await page.locator("form button[type=submit]").click();
    await page.locator(".workspace").waitFor({ timeout: 60_000 });
    await accessible(s, "room list");
  });

  await step("CL4 CL2 an unreachable homeserver is told", async () => {
    const p = await t.person(student);
    await p.page.route("**/_matrix/**", (r) => r.abort());
    await p.signInWithPassword();
    await p.page.getByTestId("signin-problem").getByText("does not answer").waitFor();
    await p.close();
  });

  await step("CL9 CL11 CL12 consent and identity by keyboard; Escape refuses", async () => {
    await s.openRoom();
    await page.getByTestId("consent").waitFor();
    await accessible(s, "consent");
    await page.getByTestId("consent-open").focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByTestId("prompt-identity");
    await dialog.waitFor({ timeout: 30_000 });
    await accessible(s, "identity question");
    assert.ok(await dialog.evaluate((d) => d.contains(document.activeElement)), "the focus is inside the question");
    for (let i = 0; i < 6; i++) {
      await page.keyboard.press("Tab");
      assert.ok(await page.evaluate(() => document.activeElement === document.body || document.querySelector("dialog").contains(document.activeElement)), "the focus stays inside");
    }
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    assert.deepEqual(await page.evaluate(() => Object.keys(localStorage).filter((k) => k.includes(".identity."))), [], "a refusal by Escape is not remembered");
  });

  await step("CL6 the frame has Element's attributes and another site than the page", async () => {
    const frame = page.locator("iframe[data-widget]");
    const [sandbox, allow, src] = await Promise.all(["sandbox", "allow", "src"].map((a) => frame.getAttribute(a)));
    assert.equal(sandbox, "allow-forms allow-popups allow-popups-to-escape-sandbox allow-same-origin allow-scripts allow-presentation allow-downloads");
    assert.equal(allow, "microphone; camera; encrypted-media; autoplay; display-capture; clipboard-write; clipboard-read;");
    const url = new URL(src);
    assert.notEqual(url.hostname, new URL(page.url()).hostname);
    assert.equal(url.searchParams.get("parentUrl"), page.url().split("#")[0]);
    assert.equal(url.searchParams.get("widgetId"), stack.ready.widgets[0].id);
  });

  await step("CL8 people and their roles; nothing scrolls sideways at 360 px", async () => {
    await page.getByTestId("toggle-people").click();
    await page.getByTestId(`person-${stack.teacher.user_id}`).getByText("Moderator").waitFor();
    await page.getByTestId(`person-${student.user_id}`).getByText("Participant").waitFor();
    await accessible(s, "people");
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 360);
    await page.keyboard.press("Escape");
  });

  await step("CL3 CL10 a reload stays signed in and does not ask for consent again", async () => {
    await page.reload();
    await page.getByTestId("prompt-identity").waitFor({ timeout: 30_000 });
    await page.locator("dialog .remember input").check();
    await page.getByTestId("prompt-allow").click();
    await until("connected", async () => (await page.locator("iframe[data-widget]").getAttribute("data-state")) === "ready");
  });

  await step("CL3 one tab at a time; another may take over", async () => {
    const second = await s.context.newPage();
    await second.goto(stack.ready.classroom);
    await second.getByTestId("take-over").click();
    await second.locator(".workspace").waitFor({ timeout: 30_000 });
    await page.getByText("You continued in another tab").waitFor();
    await second.close();
    await page.getByTestId("take-over").click();
    await page.locator(".workspace").waitFor({ timeout: 30_000 });
  });

  await step("CL13 German, light and dark, at once and without reloading the widget", async () => {
    const inside = () => page.frames().find((f) => f.url().startsWith(stack.ready.lectern));
    await page.locator('iframe[data-state="ready"]').waitFor();
    await inside().evaluate(() => (window.__mark = 1));
    await page.getByTestId("account").click();
    await accessible(s, "menu");
    await page.locator(".menu select").selectOption("de");
    await page.getByText("Darstellung").waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), "de");
    await page.getByLabel("Hell", { exact: true }).check();
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "light");
    await accessible(s, "menu in German, light");
    assert.equal(await inside().evaluate(() => window.__mark), 1, "the widget was not reloaded");
    await page.locator(".menu select").selectOption("en");
    await page.keyboard.press("Escape");
  });

  await step("CL4 a lost homeserver is said, and recovers by itself", async () => {
    await page.route("**/_matrix/client/v3/sync*", (r) => r.abort());
    await page.locator('[data-sync="reconnecting"]').waitFor({ timeout: 60_000 });
    await page.unroute("**/_matrix/client/v3/sync*");
    await page.locator('[data-sync="live"]').waitFor({ timeout: 60_000 });
  });

  await step("invitations are accepted from the list", async () => {
    const { room_id } = await stack.matrix(stack.teacher, "POST", "/createRoom", { name: "Second room", preset: "private_chat", invite: [student.user_id] });
    await page.getByRole("button", { name: "All rooms" }).click();
    await page.getByTestId(`join-${room_id}`).click();
    await page.getByText("Nothing to work on here yet").waitFor({ timeout: 30_000 });
    await page.getByText("Not encrypted").waitFor({ state: "attached" });
  });

  await step("CL4 being removed is said", async () => {
    await page.getByRole("button", { name: "All rooms" }).click();
    await page.getByTestId(`room-${room}`).click();
    await stack.matrix(stack.teacher, "POST", `/rooms/${encodeURIComponent(room)}/kick`, { user_id: student.user_id });
    await page.getByText("You are no longer in this room").waitFor({ timeout: 20_000 });
    await page.getByRole("button", { name: "All rooms" }).click();
  });

  await step("CL3 signing out leaves nothing of the person, and the device is gone", async () => {
    const { accessToken } = await page.evaluate(() => JSON.parse(localStorage["lectern.classroom.session"]));
    await page.getByTestId("account").click();
    await page.getByTestId("sign-out").click();
    await page.locator("form").waitFor();
    await until("the stores are gone", () => page.evaluate(async (id) => (await indexedDB.databases()).length === 0 && !JSON.stringify(localStorage).includes(id), student.user_id));
    await assert.rejects(stack.matrix({ access_token: accessToken }, "GET", "/account/whoami"), { status: 401 });
  });

  await step("CL4 a session that the homeserver ends goes back to sign-in", async () => {
    await s.signIn();
    const { accessToken } = await page.evaluate(() => JSON.parse(localStorage["lectern.classroom.session"]));
    await stack.matrix({ access_token: accessToken }, "POST", "/logout", {});
    await page.getByText("You were signed out on the homeserver").waitFor({ timeout: 40_000 });
  });

  await step("CL14 the hook is there in development", async () => {
    await s.signIn();
    assert.equal(await page.evaluate(() => typeof window.__classroom?.client), "object");
  });
});
