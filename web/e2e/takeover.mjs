// Two Lecterns in one encrypted room. The first is killed in the middle of a lesson; the teacher takes the board over at the second, from the page;
// the first comes back, says where the board is, and what it had left appears on the board.
import path from "node:path";
import { converged } from "./lib/board.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

const SECOND = ["-instance", "second"];

await run("takeover", { args: SECOND }, async (t) => {
  const { step } = t;
  const picture = (person, name) => process.env.E2E_OUT && person.screenshot(path.join(process.env.E2E_OUT, `takeover-${name}.png`));
  const first = t.stack.ready.companion.replace("-second", "");
  const second = t.stack.ready.companion;
  const room = () => encodeURIComponent(t.stack.ready.room_id);
  const contents = async () => {
    const state = await t.stack.matrix(t.stack.teacher, "GET", `/rooms/${room()}/state`);
    return state.filter((e) => e.type === "m.room.encrypted" && e.state_key.startsWith("com.educationpub.whiteboard."));
  };
  /** What the closed board says; the page tries some times before it gives up. */
  const closed = async (person) => {
    await assert.rejects(person.enter({ ms: 12_000 }), /whiteboard open/);
    const panel = person.board.frame.locator(".closed");
    await panel.locator("p", { hasText: "@lectern" }).waitFor({ timeout: 10_000 });
    return panel;
  };

  await step("the first Lectern: two elements, saved to the room; a third, and the process is killed", async () => {
    await t.restart(() => {}, {}, []);
    assert.equal(t.stack.ready.companion, first);
    const a = await t.person(t.stack.teacher);
    await a.enter();
    await a.board.rectangle([150, 200], [250, 280]);
    await a.board.rectangle([300, 200], [400, 280]);
    await converged([a.board], { count: 2 });
    await until("the board in the room", async () => (await contents()).some((e) => e.sender === first), 60_000, 200);
    await a.board.ellipse([450, 200], [520, 260]);
    await converged([a.board], { count: 3 });
    await a.close();
    await t.restart(() => {}, { signal: "SIGKILL" }, SECOND);
  });

  let teacher;
  await step("HO2 a student is told who keeps the board and since when, and is offered nothing", async () => {
    assert.equal(t.stack.ready.companion, second);
    const ada = await t.person(t.stack.students()[0], { locale: "de-DE" });
    const panel = await closed(ada);
    const words = await panel.innerText();
    assert.match(words, new RegExp(`wird von einem anderen Lectern geführt, ${first}`));
    assert.equal(await panel.locator("button").count(), 1, "only: try again");
    await picture(ada, "student");
    await ada.close();
    return words.replaceAll("\n", " ").slice(0, 200);
  });

  await step("HO3 the teacher reads what it means, and takes the board over", async () => {
    teacher = await t.person(t.stack.teacher);
    const panel = await closed(teacher);
    await panel.getByRole("button", { name: "Take this board over" }).click();
    const dialog = teacher.board.frame.locator("dialog[open]");
    assert.match(await dialog.innerText(), new RegExp(`as ${first} last saved it on `));
    await picture(teacher, "dialog");
    await teacher.page.keyboard.press("Escape");
    assert.equal(await dialog.count(), 0, "Escape changes nothing");
    await panel.getByRole("button", { name: "Take this board over" }).click();
    const confirm = dialog.getByRole("button", { name: "Take over" });
    await until("the button takes clicks", async () => (await confirm.getAttribute("aria-disabled")) === "false", 3_000);
    const start = performance.now();
    await confirm.click();
    await until("the board", () => teacher.board.isLive(), 30_000, 20);
    const took = performance.now() - start;
    await converged([teacher.board], { count: 2 });
    await teacher.board.freehand([[150, 350], [250, 400], [350, 350]]);
    await converged([teacher.board], { count: 3 });
    await picture(teacher, "taken");
    await until("the second's event", async () => (await contents()).some((e) => e.sender === second), 10_000, 200);
    await teacher.close();
    return `${took.toFixed(0)} ms from the click to the board`;
  });

  await step("HO4 HO5 the first comes back: it says where the board is, and leaves what it had", async () => {
    await t.restart(() => {}, {}, []);
    const ada = await t.person(t.stack.students()[0]);
    const words = await (await closed(ada)).innerText();
    assert.match(words, new RegExp(`kept by another Lectern, ${second}`));
    await picture(ada, "back");
    await ada.close();
    await until("the leftovers", async () => (await contents()).some((e) => e.state_key.includes(".leftovers:") && e.sender === first), 10_000, 200);
    return words.replaceAll("\n", " ").slice(0, 160);
  });

  await step("HO6 the third element of the first Lectern is on the board of the second", async () => {
    await t.restart(() => {}, {}, SECOND);
    const a = await t.person(t.stack.teacher);
    await a.enter();
    const { scene } = await converged([a.board], { count: 4 });
    assert.deepEqual(scene.filter((e) => !e.isDeleted).map((e) => e.type).sort(), ["ellipse", "freedraw", "rectangle", "rectangle"]);
    await picture(a, "together");
  });
});
