// Somebody who comes after the board was written to the room: registered, invited and joined only then. She sees the board, and her Matrix client
// decrypts the very event that was there before; nothing is written again for her. (server/app proves the same with another Matrix library.)
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { converged, serverAgrees } from "./lib/board.mjs";
import { checkpointEvent, readCheckpoint, savedToRoom } from "./lib/checkpoint.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

/** A new account at the stack's homeserver, made through its shared secret; an entry as in ready.users. */
async function register(stack, name, password) {
  const { registration_secret: secret } = JSON.parse(fs.readFileSync(path.join(stack.data, "stack", "homeserver", "identity.json"), "utf8"));
  const url = `${stack.ready.homeserver}/_synapse/admin/v1/register`;
  const { nonce } = await (await fetch(url)).json();
  const mac = crypto.createHmac("sha1", secret).update([nonce, name, password, "notadmin"].join("\0")).digest("hex");
  const response = await fetch(url, { method: "POST", body: JSON.stringify({ nonce, username: name, password, admin: false, mac }) });
  if (!response.ok) throw new Error(`register ${name}: ${response.status} ${await response.text()}`);
  const { user_id, access_token, device_id } = await response.json();
  return { user_id, name, password, access_token, device_id, homeserver: stack.ready.homeserver };
}

await run("newcomer", {}, async (t) => {
  const { stack, step } = t;
  const room = encodeURIComponent(stack.ready.room_id);
  const picture = (person, name) => process.env.E2E_OUT && person.screenshot(path.join(process.env.E2E_OUT, `newcomer-${name}.png`));
  const a = await t.person(stack.teacher);
  const b = await t.person(stack.students()[0]);
  let drawn;
  let saved;
  let early;

  await step("teacher and student draw; twice the board is saved to the room", async () => {
    await Promise.all([a.enter(), b.enter()]);
    await Promise.all([a.board.rectangle([120, 150], [240, 230]), b.board.freehand([[420, 200], [470, 230], [520, 200]])]);
    await converged([a.board, b.board], { count: 2 });
    early = await savedToRoom(a);
    await Promise.all([a.board.text([130, 350], "Read before you come"), b.board.ellipse([420, 320], [540, 400])]);
    drawn = await converged([a.board, b.board], { count: 4 });
    const start = Date.now();
    saved = await savedToRoom(a);
    assert.notEqual(saved.event.event_id, early.event.event_id);
    assert.equal(saved.event.type, "m.room.encrypted");
    assert.equal(saved.event.sender, stack.ready.companion);
    return `second time ${Date.now() - start} ms after both pages were equal`;
  });

  // Nobody else is there: the board can only come from Lectern and the room.
  await Promise.all([a.close(), b.close()]);

  const password = crypto.randomBytes(12).toString("hex");
  const dana = await register(stack, "dana", password);
  const d = await t.person(dana);
  await step("registered, invited, joined: she sees the board", async () => {
    await d.signInWithPassword();
    await d.page.locator(".workspace").waitFor({ timeout: 60_000 });
    await stack.matrix(stack.teacher, "POST", `/rooms/${room}/invite`, { user_id: dana.user_id });
    const start = performance.now();
    await d.openRoom();
    await d.openBoard();
    const seen = performance.now() - start;
    const after = await converged([d.board], { count: 4 });
    assert.deepEqual([after.heads, after.scene], [drawn.heads, drawn.scene]);
    await until("the board is on her screen", async () => (await d.board.ink([0, 0, 600, 450])) > 500);
    await picture(d, "board");
    const session = await stack.session(dana);
    await serverAgrees(session, d.board.doc, after);
    await session.end();
    return `${seen.toFixed(0)} ms from the invitation to the live board, two questions answered`;
  });

  await step("MX17 her Matrix client decrypts the event that was there before she was", async () => {
    const start = performance.now();
    const manifest = await until("the checkpoint's key arrives", () => readCheckpoint(d, saved.event), 15_000, 100);
    const waited = performance.now() - start;
    assert.deepEqual(manifest, saved.manifest);
    assert.deepEqual([...manifest.docs.find((x) => x.doc === d.board.doc).heads].sort(), drawn.heads);
    await assert.rejects(readCheckpoint(d, early.event), /cannot decrypt/, "nothing older becomes readable");
    return `seq ${manifest.seq}, key there ${waited.toFixed(0)} ms after the board`;
  });

  await step("MX17 nothing was written again for her", async () => {
    const now = await checkpointEvent(stack, dana);
    assert.equal(now.event_id, saved.event.event_id);
    assert.deepEqual(now.content, saved.event.content);
    return now.event_id;
  });

  await step("and she draws on", async () => {
    await d.board.rectangle([560, 320], [640, 400]);
    await converged([d.board], { count: 5 });
    const next = await savedToRoom(d);
    assert.notEqual(next.event.event_id, saved.event.event_id);
  });
});
