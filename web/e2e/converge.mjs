// Convergence fuzz: three real Excalidraw pages in the classroom, through the real server, over real data channels. Seeded random gestures by
// all three at once; both lanes deliver up to 300 ms late, the log changes lanes every 100 ms, connections are cut. Held phases have exact
// outcomes. At the end the same seeds run with the queue of held elements taken out, and must fail.
// SEEDS=1,2,3 (or SEEDS=n for the first n), OPS=gestures per seed, HOLD=0 runs without the queue only, V=1 tells every round.
import { agree, Broken, demand, lostWords, quiet, serverAgreesFully, strangeWrites } from "./lib/agree.mjs";
import { Hand } from "./lib/hand.mjs";
import { heldPhase } from "./lib/held.mjs";
import { Random } from "./lib/random.mjs";
import { assert, run } from "./lib/test.mjs";
import { bringWeather, takeHoldOut, Witness } from "./lib/weather.mjs";

const seeds = !process.env.SEEDS ? [1, 2] : process.env.SEEDS.includes(",") ? process.env.SEEDS.split(",").map(Number) : Array.from({ length: Number(process.env.SEEDS) }, (_, i) => i + 1);
const gestures = Number(process.env.OPS ?? 90);
const verbose = process.env.V === "1";
const FLIP_MS = 100;
const LATE_MS = [0, 60, 150, 300];

const GESTURES = [
  [5, (h) => h.draw("rectangle")],
  [2, (h) => h.draw("ellipse")],
  [2, (h) => h.draw("diamond")],
  [3, (h) => h.draw("freedraw")],
  [2, (h) => h.draw("line")],
  [4, (h) => h.connect()],
  [3, (h) => h.write()],
  [2, (h) => h.writeInside()],
  [5, (h) => h.append()],
  [9, (h) => h.recolour()],
  [7, (h) => h.shift()],
  [3, (h) => h.stretch()],
  [6, (h) => h.dragAway()],
  [2, (h) => h.nudge()],
  [3, (h) => h.erase()],
  [2, (h) => h.eraseByKey()],
  [2, (h) => h.duplicate()],
  [2, (h) => h.group()],
  [4, (h) => h.reorder()],
];
const UNDO = [
  [4, (h) => h.undo()],
  [2, (h) => h.redo()],
];
const HELD = [
  [5, "drag"],
  [3, "resize"],
  [3, "text"],
  [2, "clash"],
  [1, "erase"],
];

await run("converge", {}, async (t) => {
  const { stack, step, say } = t;
  const people = [];
  for (const user of [stack.teacher, ...stack.students().slice(0, 2)]) {
    const p = await t.person(user, { viewport: { width: 1680, height: 900 } });
    await bringWeather(p, { seed: people.length + 1, hold: process.env.HOLD !== "0" });
    people.push(p);
  }
  const total = { gestures: 0, changes: 0, flips: 0, late: 0, cuts: 0, reconnects: 0, gaps: 0, resets: 0, held: {}, lanes: people.map(() => ({})) };
  const witness = new Witness();
  let session;

  await step("three people open the board", async () => {
    await Promise.all(people.map((p) => p.enter()));
    for (const p of people) await p.board.home();
    session = await stack.session(stack.teacher);
    const { width, height } = await people[0].board.size();
    assert.ok(width >= 1000 && height >= 700, `the board is ${width}x${height}: gestures would leave it`);
  });

  const play = async (seed, held) => {
    const began = Date.now();
    const random = new Random(seed);
    const hands = people.map((p, i) => new Hand(p, i, new Random(seed * 1000 + i)));
    const did = { gestures: 0, cuts: 0, changes: 0, held: {} };
    const cut = async () => {
      did.cuts++;
      const hand = random.pick(hands);
      await (random.chance(0.75) ? hand.weather.cutSocket() : hand.weather.cutChannel());
    };
    const check = async (what) => {
      const writes = await witness.collect(hands.map((h) => h.weather));
      const { doc } = await agree(hands);
      demand(`${what}: writes out of nothing`, strangeWrites(hands, writes, doc));
      demand(`${what}: words lost`, lostWords(hands, doc));
    };
    for (const h of hands) await h.weather.flip(FLIP_MS);
    let round = 0;
    try {
      while (did.gestures < gestures) {
        round++;
        for (const h of hands) await h.weather.delay(random.pick(LATE_MS));
        if (round > 2 && random.chance(0.5)) {
          const kind = random.weighted(HELD);
          const order = shuffled(hands, random);
          const plan = { undo: random.chance(0.75), redo: random.chance(0.5), storm: async () => random.chance(0.2) && cut() };
          const name = await heldPhase(kind, order[0], order.slice(1), random, plan);
          did.gestures += name ? 3 + (name.split("+").length - 1) : 1;
          if (name) did.held[name] = (did.held[name] ?? 0) + 1;
          if (verbose) say(`  ${seed}.${round} held ${name ?? `${kind}: nothing to hold`}`);
        } else {
          const burst = hands.map((h) => Array.from({ length: h.random.whole(1, 3) }, () => h.random.weighted(h.random.chance(0.12) ? UNDO : GESTURES)));
          const cutting = random.chance(0.15) ? cut() : undefined;
          await Promise.all(hands.map(async (h, i) => {
            for (const gesture of burst[i]) if ((await gesture(h)) !== false) did.gestures++;
          }));
          await cutting;
          if (verbose) say(`  ${seed}.${round} ${burst.map((b) => b.map((g) => /h\.(\w+\([^)]*\))/.exec(String(g))[1]).join(" ")).join(" | ")}`);
        }
        if (round % 4 === 0) {
          await quiet(hands);
          await check(`round ${round}`);
        }
      }
      for (const h of hands) await h.rest();
      await quiet(hands);
      await check("at the end");
      const state = await agree(hands);
      await serverAgreesFully(session, people[0].board.doc, state);
      const visible = Object.values(state.doc).filter((e) => !e.isDeleted).length;
      return { did, note: `${did.gestures} gestures in ${round} rounds, held ${JSON.stringify(did.held)}, ${did.cuts} cuts, ${visible} of ${Object.keys(state.doc).length} elements visible, ${((Date.now() - began) / 1000).toFixed(1)} s` };
    } catch (err) {
      if (held) {
        for (const h of hands) say(`${h.name}: ${JSON.stringify(await h.state())} ${JSON.stringify(await h.board.stats())}; did ${await h.weather.hand()}`);
      }
      if (err instanceof Error) err.message = `seed ${seed}, round ${round}${held ? "" : ", no queue"}: ${err.message}`;
      throw err;
    } finally {
      for (const h of hands) {
        await h.rest();
        await h.weather.flip(0);
        await h.weather.delay(0);
      }
    }
  };
  /** Adds up what the pages counted, and starts them anew with an empty board. */
  const turnOver = async () => {
    await quiet(people.map((p) => ({ board: p.board })));
    for (const [i, p] of people.entries()) {
      const { lanes } = await p.board.stats();
      const { flips, late } = await new Hand(p, i, new Random(0)).weather.counters();
      total.flips += flips;
      total.late += late;
      for (const key of ["reconnects", "gaps", "resets"]) total[key] += lanes[key];
      for (const lane of ["socket", "log"]) for (const way of ["sent", "received"]) total.lanes[i][`${lane} ${way}`] = (total.lanes[i][`${lane} ${way}`] ?? 0) + lanes[lane][way].changes;
    }
    await new Hand(people[0], 0, new Random(0)).board.frame.evaluate(() => {
      const api = __lectern.api();
      api.updateScene({ elements: api.getSceneElementsIncludingDeleted().map((e) => (e.isDeleted ? e : { ...e, isDeleted: true, version: e.version + 1, versionNonce: Math.floor(Math.random() * 2 ** 31) })), captureUpdate: "IMMEDIATELY" });
    });
    await quiet(people.map((p) => ({ board: p.board })));
    for (const p of people) await p.noteViolations();
    await Promise.all(people.map((p) => p.reload()));
    for (const p of people) await p.board.home();
  };

  if (process.env.HOLD !== "0") {
    for (const seed of seeds)
      await step(`seed ${seed}: everything is equal everywhere and nothing is lost`, async () => {
        const { did, note } = await play(seed, true);
        total.gestures += did.gestures;
        total.cuts += did.cuts;
        for (const [k, n] of Object.entries(did.held)) total.held[k] = (total.held[k] ?? 0) + n;
        await turnOver();
        return note;
      });
    total.changes = witness.seen.size;
    say(`${total.gestures} gestures, ${total.changes} changes, ${total.flips} lane flips, ${total.late} frames delivered late, ${total.cuts} cuts, ${total.reconnects} reconnects, ${total.gaps} gaps, ${total.resets} resets`);
    for (const [i, p] of people.entries()) say(`${p.name}: changes ${JSON.stringify(total.lanes[i])}`);
    const audits = Object.entries(total.held).filter(([k]) => k.includes("undo"));
    assert.ok(audits.length > 0, "no held phase was undone: more gestures, or other seeds");
    for (const lanes of total.lanes) for (const [lane, n] of Object.entries(lanes)) assert.ok(n > 0, `nothing went over ${lane}`);
  }

  for (const p of people) await takeHoldOut(p);
  await Promise.all(people.map((p) => p.reload()));
  for (const p of people) await p.board.home();
  for (const seed of seeds)
    await step(`seed ${seed} without the queue of held elements must fail`, async () => {
      let broken;
      try {
        await play(seed, false);
      } catch (err) {
        if (!(err instanceof Broken)) throw err;
        broken = err;
      }
      assert.ok(broken, "it passed: the fuzz is too weak");
      await turnOver();
      return broken.message.replaceAll("\n", " ");
    });
  await session.end();
});

function shuffled(list, random) {
  const rest = [...list];
  return list.map(() => rest.splice(Math.floor(random.next() * rest.length), 1)[0]);
}
