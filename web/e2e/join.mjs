// Joining a full board. A page that people have drawn (test/dev/corpus.mjs) is put into Lectern's database; then somebody comes: what the board
// shows is painted before editor and document are there, nothing jumps when they come, and who only watches never loads the document's engine.
// Small in `make e2e`. JOIN=full: a page of 1,000 elements with 10 updates each, and times with and without a slow machine and network.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { corpus } from "../test/dev/corpus.mjs";
import { until } from "./lib/stack.mjs";
import { assert, run } from "./lib/test.mjs";

const SLOW = { cpu: 4, mbit: 20 };
const full = process.env.JOIN === "full";
const repository = path.resolve(import.meta.dirname, "../..");

await run("join", {}, async (t) => {
  const { step, say } = t;
  const [size, updates] = full ? [1000, 10] : [200, 3];
  const out = process.env.E2E_OUT;
  const picture = async (person, name) => {
    if (out) await person.screenshot(path.join(out, `join-${name}.png`));
  };

  await step(`a page of ${size} elements with ${updates} updates each`, async () => {
    const tool = path.join(repository, "bin/lectern-join");
    execFileSync("go", ["build", "-tags=goolm", "-o", tool, "./server/lectern-join"], { cwd: repository, env: { ...process.env, CGO_ENABLED: "1" } });
    const { room_id: room, widgets } = t.stack.ready;
    let said = "";
    await t.restart(async (data) => {
      const changes = path.join(data, "corpus");
      await corpus(changes, { elements: size, updates, quiet: true });
      const db = fs.readdirSync(data, { recursive: true }).map(String).find((f) => /(^|\/)lectern\.db$/.test(f)) ?? "lectern/lectern.db";
      const folder = path.dirname(path.join(data, db));
      said = execFileSync(tool, ["fill", "-db", path.join(data, db), "-key", path.join(folder, "instance.key"), "-room", room, "-board", widgets[0].board, "-squash", path.join(changes, "page-1.changes")], { encoding: "utf8" });
    });
    return said.trim();
  });

  const a = await t.person(t.stack.teacher);
  await step("painted before the editor is loaded, and nothing jumps when it comes", async () => {
    const held = Promise.withResolvers?.() ?? deferred();
    await a.page.context().route(/\/assets\/board-[^/]+\.js$/, async (route) => {
      await held.promise;
      await route.continue().catch(() => undefined);
    });
    await a.signIn();
    await a.openRoom();
    const opened = a.openBoard();
    const frame = await until("the first painting", async () => {
      const f = a.page.frames().find((x) => x.url().includes("/widgets/whiteboard"));
      return f && (await f.locator(".first canvas").count()) > 0 ? f : null;
    }, 60_000);
    await until("painted", () => frame.evaluate(() => performance.getEntriesByName("lectern-first-paint").length > 0));
    assert.equal(await frame.locator(".excalidraw").count(), 0, "the editor is not there yet");
    const words = await frame.locator(".first [role=status]").innerText();
    assert.match(words, /look already|Ansehen/);
    await picture(a, "1-painted");
    const before = await inked(a);
    held.resolve();
    await opened;
    await until("the painting is gone", async () => (await frame.locator(".first").count()) === 0);
    await a.page.waitForTimeout(500); // fonts
    await picture(a, "2-editor");
    const after = await inked(a);
    const { shared, moved } = await compare(a, before, after);
    assert.ok(shared > 0.75, `only ${Math.round(shared * 100)} % of the painted ink is where the editor has some`);
    assert.ok(moved <= 2, `the drawing moved by ${moved} px`);
    await a.page.context().unroute(/\/assets\/board-[^/]+\.js$/);
    return `${Math.round(shared * 100)} % of the ink within 2 px, "${words}"`;
  });

  await step("the document is there, and the board takes a stroke", async () => {
    const before = await a.board.stats();
    assert.equal(before.ready, true);
    const count = (await a.board.visible()).length;
    await a.board.home();
    await a.board.freehand([[300, 300], [360, 340], [420, 300]]);
    await until("one more", async () => (await a.board.visible()).length === count + 1);
    const session = await t.stack.session(t.stack.teacher);
    const doc = a.board.doc;
    const server = await until("the server has it too", async () => {
      const s = await session.scene(doc);
      return s.elements.filter((e) => !e.isDeleted).length === count + 1 ? s : null;
    });
    await session.end();
    return `${count + 1} elements, seq ${server.seq}`;
  });

  await step("who only watches sees everything, also what is drawn now, and loads no engine", async () => {
    const { stack } = t;
    const student = stack.students()[0];
    const levels = await power(stack);
    await stack.matrix(stack.teacher, "PUT", `/rooms/${encodeURIComponent(stack.ready.room_id)}/state/m.room.power_levels`, { ...levels, users: { ...levels.users, [student.user_id]: -1 } });
    const v = await t.person(student);
    const loaded = [];
    v.page.context().on("request", (r) => loaded.push(r.url()));
    await v.enter();
    const stats = await v.board.stats();
    assert.equal(stats.role, "viewer");
    assert.equal(stats.watching, true);
    const same = async () => {
      const [mine, theirs] = await Promise.all([a.board.visible(), v.board.visible()]);
      return mine.length === theirs.length && JSON.stringify(mine) === JSON.stringify(theirs);
    };
    await until("the watcher shows the board", same);
    await a.board.rectangle([500, 200], [560, 240]);
    const began = Date.now();
    await until("what is drawn now", same);
    const lag = Date.now() - began;
    const heavy = loaded.filter((u) => /automerge|document\.worker|\/document$/.test(u));
    assert.deepEqual(heavy, [], "what a watcher does not need");
    await picture(v, "3-watcher");
    await stack.matrix(stack.teacher, "PUT", `/rooms/${encodeURIComponent(stack.ready.room_id)}/state/m.room.power_levels`, levels);
    await until("promoted, with the document", async () => {
      const s = await v.board.stats();
      return s.role === "participant" && !s.watching && s.ready;
    }, 20_000);
    await v.board.rectangle([600, 200], [660, 240]);
    await until("the promoted draws", same);
    await v.close();
    return `a change was there after ${lag} ms`;
  });

  await step("who draws while the editor is still drawing loses nothing, and the painting goes when it is done", async () => {
    const count = (await a.board.visible()).length;
    const { edit } = await timed(t, a, { cpu: 6 });
    const { frame } = a.board;
    const there = await frame.evaluate(() => __lectern.scene().length);
    const [x, y] = await a.board.at([400, 300]);
    await a.page.keyboard.press("p");
    await a.page.mouse.move(x, y);
    await a.page.mouse.down();
    for (let i = 1; i <= 20; i++) await a.page.mouse.move(x + 5 * i, y + (i % 3) * 9);
    await a.page.mouse.up();
    await until("all of it and the stroke", async () => (await a.board.shown()).length === count + 1 && (await a.board.stats()).unsaved === 0, 30_000);
    await until("the painting is gone", async () => (await frame.locator(".first").count()) === 0);
    const order = await frame.evaluate(() => __lectern.scene().filter((e) => !e.isDeleted).at(-1).type);
    assert.equal(order, "freedraw", "the new stroke is on top");
    return `${there} of ${count} elements were drawn ${Math.round(edit)} ms after the start`;
  });

  const times = [["as it is", {}], ...(full ? [["4 times slower, 20 Mbit/s", SLOW], ["the same, scripts in the cache", { ...SLOW, cached: true }]] : [])];
  for (const [name, weather] of times) {
    await step(`time to the first painting and to editing, ${name}`, async () => {
      const runs = [];
      for (let i = 0; i < (full ? 5 : 1); i++) runs.push(await timed(t, a, weather));
      const of = (key) => runs.map((r) => Math.round(r[key])).sort((x, y) => x - y);
      const [paint, edit] = [of("paint"), of("edit")];
      const middle = (list) => list[Math.floor(list.length / 2)];
      say(`      painted after ${paint.join(", ")} ms; editing after ${edit.join(", ")} ms; signed in after ${of("signedIn").join(", ")} ms`);
      return `painted ${middle(paint)} ms, editing ${middle(edit)} ms`;
    });
  }
});

function deferred() {
  let resolve;
  const promise = new Promise((r) => (resolve = r));
  return { promise, resolve };
}

function power(stack) {
  return stack.matrix(stack.teacher, "GET", `/rooms/${encodeURIComponent(stack.ready.room_id)}/state/m.room.power_levels`);
}

/** Reloads the widget under a slower machine and network, and reads the page's own marks. Times are from the navigation of the widget's page. */
async function timed(t, person, { cpu = 1, mbit = 0, cached = false }) {
  const frame = person.board.frame;
  const cdp = await person.page.context().newCDPSession(frame);
  const network = { offline: false, latency: 0, downloadThroughput: mbit > 0 ? (mbit * 1e6) / 8 : -1, uploadThroughput: mbit > 0 ? (mbit * 1e6) / 8 : -1 };
  await cdp.send("Network.enable");
  await cdp.send("Network.setCacheDisabled", { cacheDisabled: !cached });
  await cdp.send("Network.emulateNetworkConditions", network);
  await cdp.send("Emulation.setCPUThrottlingRate", { rate: cpu });
  // The worker has a network of its own in the protocol; its processor cannot be slowed down.
  cdp.on("Target.attachedToTarget", ({ sessionId }) => {
    let id = 0;
    const say = (method, params = {}) => cdp.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id: ++id, method, params }) }).catch(() => undefined);
    void say("Network.enable").then(() => say("Network.setCacheDisabled", { cacheDisabled: !cached })).then(() => say("Network.emulateNetworkConditions", network)).then(() => say("Runtime.runIfWaitingForDebugger"));
  });
  await cdp.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: true, flatten: false });
  const loaded = frame.waitForNavigation({ timeout: 60_000 });
  await frame.evaluate(() => void location.reload());
  await loaded;
  const marks = () =>
    frame.evaluate(() => {
      const at = (name) => performance.getEntriesByName(name)[0]?.startTime;
      const login = performance.getEntriesByType("resource").find((r) => r.name.endsWith("/v1/sessions"));
      return { paint: at("lectern-first-paint"), edit: at("lectern-editable"), signedIn: login?.responseEnd };
    });
  const result = await until("painted and editable", async () => {
    const m = await marks();
    return m.paint !== undefined && m.edit !== undefined ? m : null;
  }, 60_000, 200);
  await cdp.detach();
  return result;
}

/** A picture of the widget. */
async function inked(person) {
  const box = await person.page.locator(`iframe[data-widget]`).first().boundingBox();
  return (await person.page.screenshot({ clip: box })).toString("base64");
}

/** How much of one picture's ink lies within 2 px of the other's, and how far the drawing as a whole has moved. The editor's tools are left out. */
function compare(person, first, second) {
  return person.page.evaluate(async ([first, second]) => {
    const ink = async (data) => {
      const image = new Image();
      image.src = `data:image/png;base64,${data}`;
      await image.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.width, image.height];
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      const { data: px } = context.getImageData(0, 0, canvas.width, canvas.height);
      const dark = new Uint8Array(canvas.width * canvas.height);
      for (let i = 0; i < dark.length; i++) dark[i] = px[4 * i] + px[4 * i + 1] + px[4 * i + 2] < 600 ? 1 : 0;
      return { dark, width: canvas.width, height: canvas.height };
    };
    const [a, b] = [await ink(first), await ink(second)];
    const [top, bottom, side] = [90, 130, 70]; // tools above, zoom and status below
    const near = (m, x, y, r) => {
      for (let dy = -r; dy <= r; dy++) for (let dx = -r; dx <= r; dx++) if (m.dark[(y + dy) * m.width + x + dx]) return true;
      return false;
    };
    const share = (dx, dy, r) => {
      let [all, hit] = [0, 0];
      for (let y = top; y < a.height - bottom; y++)
        for (let x = side; x < a.width - side; x++) {
          if (!a.dark[y * a.width + x]) continue;
          all++;
          if (near(b, x + dx, y + dy, r)) hit++;
        }
      return all === 0 ? 0 : hit / all;
    };
    let best = { value: -1, moved: 99 };
    for (let dy = -6; dy <= 6; dy += 2) for (let dx = -6; dx <= 6; dx += 2) {
      const value = share(dx, dy, 0);
      if (value > best.value + 0.001) best = { value, moved: Math.max(Math.abs(dx), Math.abs(dy)) };
    }
    return { shared: share(0, 0, 2), moved: best.moved };
  }, [first, second]);
}
