// Roles in words, and changing them from the board: by the teacher's own client, which asks once, and by Lectern where it may (SPEC RO).
// E2E_OUT: a folder for pictures.
import path from "node:path";
import { violations } from "./lib/axe.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

await run("roles", {}, async (t) => {
  const { stack, step } = t;
  const [first] = stack.students();
  const a = await t.person(stack.teacher);
  const b = await t.person(first);
  const shot = async (p, name) => process.env.E2E_OUT && p.page.screenshot({ path: path.join(process.env.E2E_OUT, `roles-${name}.png`) });
  const role = () => a.board.frame.getByLabel(/^Role of Ada/);
  const levels = () => stack.matrix(stack.teacher, "GET", `/rooms/${encodeURIComponent(stack.ready.room_id)}/state/m.room.power_levels/`);

  await step("two people are on the board", async () => {
    await Promise.all([a.enter(), b.enter()]);
  });

  await step("RO1 the teacher reads who may do what", async () => {
    await a.board.frame.getByRole("button", { name: /^\d+ here/ }).click();
    await a.board.frame.getByRole("button", { name: "Roles…" }).click();
    await role().waitFor();
    assert.equal(await role().inputValue(), "participant");
    await shot(a, "1-list");
    assert.deepEqual(await violations(a.board.frame), []);
  });

  await step("RO2 the teacher's own client asks, and writes what is allowed", async () => {
    await role().selectOption("viewer");
    const prompt = a.page.getByTestId("prompt-capabilities");
    await prompt.getByText("change who may do what in this room").waitFor();
    await shot(a, "2-asked");
    await prompt.locator(".remember input").uncheck();
    await prompt.getByTestId("prompt-deny").click();
    await a.board.frame.getByText("did not let the board change it").waitFor();
    assert.equal((await levels()).users[first.user_id], undefined);
    await role().selectOption("viewer");
    await a.page.getByTestId("prompt-allow").click();
    const began = Date.now();
    await b.board.frame.getByText("You can watch this board").waitFor();
    const took = Date.now() - began;
    await a.board.frame.getByText(/^Ada: Watches/).waitFor();
    assert.equal((await levels()).users[first.user_id], -1);
    return `Ada watches ${took} ms after the click`;
  });

  await step("RO2 not a second question", async () => {
    await role().selectOption("moderator");
    await a.board.frame.getByText(/^Ada: Moderates/).waitFor();
    assert.equal(await a.page.locator("dialog[open]").count(), 0);
    await until("Ada moderates", async () => {
      await b.board.frame.getByRole("button", { name: /^\d+ here/ }).waitFor();
      return (await levels()).users[first.user_id] === 50;
    });
    await shot(a, "3-changed");
  });

  await step("RO2 where Lectern may, nobody is asked", async () => {
    const content = await levels();
    await stack.matrix(stack.teacher, "PUT", `/rooms/${encodeURIComponent(stack.ready.room_id)}/state/m.room.power_levels/`, { ...content, users: { ...content.users, [stack.ready.companion]: 100 } });
    await until("Lectern has heard", async () => (await levels()).users[stack.ready.companion] === 100);
    await role().selectOption("participant");
    await a.board.frame.getByText(/^Ada: Draws/).waitFor();
    assert.equal((await levels()).users[first.user_id], undefined);
    await b.board.rectangle([300, 300], [380, 360]);
    await until("the teacher sees what Ada draws", async () => (await a.board.visible()).length === 1);
  });

  await step("SS1 SS2 one sees where one is signed in, and ends it elsewhere", async () => {
    await a.board.frame.locator("dialog[open]").getByRole("button", { name: "Close" }).click();
    const elsewhere = await t.person(stack.teacher);
    await elsewhere.enter();
    await a.board.frame.getByRole("button", { name: "Encrypted" }).click();
    await a.board.frame.getByRole("button", { name: "Your sign-ins…" }).click();
    const dialog = a.board.frame.locator("dialog[open]");
    await until("both are listed", async () => (await dialog.locator("li").count()) === 2);
    await shot(a, "4-signins");
    assert.deepEqual(await violations(a.board.frame), []);
    await dialog.getByRole("button", { name: /^End the sign-in/ }).click();
    const began = Date.now();
    await until("one is left", async () => (await dialog.locator("li").count()) === 1);
    await until("the other one has to sign in again", () => elsewhere.welcomes.length > 1 || elsewhere.board.frame.getByRole("heading", { name: "closed for you" }).isVisible());
    return `after ${Date.now() - began} ms`;
  });
});
