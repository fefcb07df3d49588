// Moderators prove who they are by a message to the companion, before the first decision (SPEC CG): by their client, which asks once; not by whoever has their OpenID token.
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

await run("challenge", { args: ["-moderator-proof", "challenge"] }, async (t) => {
  const { stack, step } = t;
  const [first] = stack.students();
  const a = await t.person(stack.teacher);
  const b = await t.person(first);
  const choose = (label) => a.board.frame.getByLabel(label, { exact: true }).click();
  const rules = async (token, board, draw) => {
    const answer = await fetch(`${stack.ready.lectern}/v1/boards/${board}/rules`, { method: "POST", headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" }, body: JSON.stringify({ draw }) });
    return answer.status === 204 ? "done" : (await answer.json()).code;
  };

  await step("two people are on the board: nobody is asked for more", async () => {
    await Promise.all([a.enter(), b.enter()]);
    assert.deepEqual(a.prompts, ["consent", "prompt-identity"].filter((p) => a.prompts.includes(p)));
  });

  await step("CG1 the first decision asks once, and then holds", async () => {
    await a.board.frame.getByRole("button", { name: /^\d+ here/ }).click();
    await choose("Moderators only");
    const prompt = a.page.getByTestId("prompt-capabilities");
    await prompt.getByText("prove to Lectern who you are").waitFor();
    const began = Date.now();
    await a.page.getByTestId("prompt-allow").click();
    await b.board.frame.getByText("Only moderators draw").waitFor();
    const took = Date.now() - began;
    await choose("Everybody");
    await until("Ada draws again", async () => (await b.board.frame.getByText("Only moderators draw").count()) === 0);
    assert.equal(await a.page.locator("dialog[open]").count(), 0);
    return `${took} ms from "Allow" to the student's page`;
  });

  await step("CG1 CG2 whoever has nothing but the teacher's OpenID token decides nothing, and nobody else can answer", async () => {
    const stolen = await stack.session(stack.teacher);
    assert.equal(await rules(stolen.token, stolen.board.id, "moderators"), "proof_needed");
    const ask = await (await fetch(`${stack.ready.lectern}/v1/challenge`, { method: "POST", headers: { Authorization: `Bearer ${stolen.token}` } })).json();
    const answer = (who) => stack.matrix(who, "PUT", `/sendToDevice/${ask.type}/${Math.random()}`, { messages: { [ask.to]: { "*": { nonce: ask.nonce } } } });
    await answer(first); // somebody else
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    assert.equal(await rules(stolen.token, stolen.board.id, "moderators"), "proof_needed");
    await answer(stack.teacher);
    const { proven } = await (await fetch(`${stack.ready.lectern}/v1/challenge`, { headers: { Authorization: `Bearer ${stolen.token}` } })).json();
    assert.equal(proven, true);
    assert.equal(await rules(stolen.token, stolen.board.id, "moderators"), "done");
  });
});
