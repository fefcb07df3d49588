/** What must hold once everything has arrived everywhere. Every check gives a list of sentences; an empty one is good. */
import { setTimeout as sleep } from "node:timers/promises";
import { GEOMETRY, SHAPES } from "./hand.mjs";

/** Points are packed at an eighth of a pixel, coordinates at a hundredth; pressures at 1/255. */
const NEAR = 0.13;
/** Excalidraw's own bookkeeping, which says nothing about what is drawn. */
const BOOKKEEPING = new Set(["version", "versionNonce", "updated", "lastCommittedPoint", "boundElements"]);
/** Registers that nothing but the user's own doing may write. Excalidraw derives the others by itself (arrows follow shapes, texts are laid out). */
const OWN = ["strokeColor", "backgroundColor", "fillStyle", "strokeWidth", "strokeStyle", "roughness", "opacity", "link", "locked", "groupIds", "isDeleted"];

/** Waits until nothing is under way anywhere: nothing unsent, all at the same place in the log, the same heads, twice in a row. */
export async function quiet(hands, ms = 30_000) {
  const end = Date.now() + ms;
  let calm = 0;
  let heads;
  let last;
  while (calm < 3) {
    last = await Promise.all(
      hands.map((h) =>
        h.board.frame.evaluate(async () => {
          const { link, have, unsaved, unacknowledged, ready } = __lectern.stats();
          const { heads } = await __lectern.heads();
          return { link: link.kind, have, unsaved: unsaved + unacknowledged, ready, heads: [...heads].sort().join() };
        }),
      ),
    );
    const [first] = last;
    const still = last.every((s) => s.ready && s.link === "open" && s.unsaved === 0 && s.have === first.have && s.heads === first.heads);
    calm = still && (calm === 0 || first.heads === heads) ? calm + 1 : 0;
    heads = first.heads;
    if (Date.now() > end) throw new Broken("never quiet", [JSON.stringify(last.map((s) => ({ ...s, heads: s.heads.split(",").map((h) => h.slice(0, 8)) })))]);
    await sleep(calm > 0 ? 50 : 30);
  }
}

/** An invariant that did not hold. */
export class Broken extends Error {
  constructor(what, lines = []) {
    super([what, ...lines.slice(0, 12)].join("\n    "));
    this.what = what;
    this.lines = lines;
  }
}

function same(a, b) {
  a ??= null;
  b ??= null;
  if (typeof a === "number" && typeof b === "number") return Math.abs(a - b) <= NEAR;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((v, i) => same(v, b[i]));
  if (a !== null && b !== null && typeof a === "object" && typeof b === "object") return Object.keys({ ...a, ...b }).every((k) => same(a[k], b[k]));
  return a === b;
}

const show = (v) => JSON.stringify(v)?.slice(0, 70) ?? "nothing";

/** Elements of two lists, by id, property by property. */
function differences(nameA, a, nameB, b, equal = (_key, x, y) => same(x, y)) {
  const lines = [];
  for (const id of new Set([...Object.keys(a), ...Object.keys(b)])) {
    if (!a[id] || !b[id]) lines.push(`${id} is only in ${a[id] ? nameA : nameB}`);
    else for (const key of Object.keys({ ...a[id], ...b[id] })) if (!equal(key, a[id][key], b[id][key])) lines.push(`${id} (${a[id].type}) ${key}: ${nameA} ${show(a[id][key])}, ${nameB} ${show(b[id][key])}`);
  }
  return lines;
}

/** Waits a while for what is only shown to fade: gestures of others that just ended (their frames may be late) and sizes that are tidied once a second. */
export async function agree(hands, ms = 8_000) {
  const end = Date.now() + ms;
  for (;;) {
    try {
      return await compare(hands);
    } catch (err) {
      if (!(err instanceof Broken) || Date.now() > end) throw err;
    }
    await sleep(150);
  }
}

/** Everything of the pages: documents, scenes, indices; throws Broken. Gives the documents' common state. */
async function compare(hands) {
  const all = await Promise.all(hands.map((h) => h.board.frame.evaluate(async () => ({ heads: (await __lectern.heads()).heads, doc: __lectern.document(), scene: __lectern.scene() }))));
  const [first] = all;
  const exact = (_key, x, y) => JSON.stringify(x) === JSON.stringify(y);
  for (const [i, one] of all.entries()) {
    const name = hands[i].name;
    const heads = (x) => [...x.heads].sort().join();
    if (heads(one) !== heads(first)) throw new Broken(`heads of ${name} differ`);
    demand(`documents differ`, differences(hands[0].name, first.doc, name, one.doc, exact));
    const visible = (x) => Object.fromEntries(x.scene.filter((e) => !e.isDeleted).map((e) => [e.id, plain(e)]));
    demand(`scenes differ`, differences(hands[0].name, visible(first), name, visible(one)));
    demand(`the scene of ${name} is not the document`, sceneAgainstDocument(one.scene, one.doc));
    const order = (x) => x.scene.filter((e) => !e.isDeleted).map((e) => e.id).join();
    if (order(one) !== order(first)) throw new Broken(`drawing order of ${name} differs`);
  }
  const indices = new Map();
  const twice = [];
  for (const [id, e] of Object.entries(first.doc)) {
    if (e.isDeleted) continue;
    if (indices.has(e.index)) twice.push(`${id} and ${indices.get(e.index)} share index ${e.index}`);
    indices.set(e.index, id);
  }
  demand("indices", twice);
  return { heads: [...first.heads].sort(), doc: first.doc };
}

export function demand(what, lines) {
  if (lines.length > 0) throw new Broken(what, lines);
}

function plain(element) {
  const bound = (element.boundElements ?? []).map((b) => `${b.type} ${b.id}`).sort();
  return { ...Object.fromEntries(Object.entries(element).filter(([key]) => !BOOKKEEPING.has(key))), bound };
}

function sceneAgainstDocument(scene, doc) {
  const shown = new Map(scene.map((e) => [e.id, e]));
  const lines = [];
  for (const e of scene) if (!e.isDeleted && !doc[e.id]) lines.push(`${e.id} (${e.type}) is not in the document`);
  for (const [id, props] of Object.entries(doc)) {
    const e = shown.get(id);
    if (props.isDeleted && (!e || e.isDeleted)) continue;
    if (!e) lines.push(`${id} (${props.type}) is not shown`);
    else
      for (const [key, value] of Object.entries(props)) {
        if (key === "points" || key === "pressures" || key === "text") continue; // packed; text: one of several concurrent layouts
        const want = typeof value === "string" && value.startsWith("\u0000") ? JSON.parse(value.slice(1)) : value;
        if (!same(want, e[key])) lines.push(`${id} (${props.type}) ${key}: document ${show(want)}, scene ${show(e[key])}`);
      }
  }
  return lines;
}

/** The server's own merge of the log, against the pages' common state. */
export async function serverAgreesFully(session, docName, { heads, doc }) {
  const server = await session.scene(docName);
  if ([...server.heads].sort().join() !== heads.join()) throw new Broken(`the server's heads ${server.heads.map((h) => h.slice(0, 8))} are not the pages' ${heads.map((h) => h.slice(0, 8))}`);
  const elements = Object.fromEntries(server.elements.map(({ id, ...props }) => [id, props]));
  demand("the server's scene differs", differences("server", elements, "pages", doc, (key, x, y) => key === "id" || JSON.stringify(x) === JSON.stringify(y)));
  return server;
}

/** Nobody's page wrote what its user did not do. `types`: element types by id. */
export function strangeWrites(hands, writes, doc) {
  const lines = [];
  for (const { page, id, key, value, fresh } of writes) {
    const may = hands[page].may;
    if (fresh) {
      may.add(`${id} *`); // whoever made it may take it back
      continue;
    }
    const guarded = OWN.includes(key) || (GEOMETRY.includes(key) && SHAPES.includes(doc[id]?.type));
    if (!guarded || may.has(`${id} ${key}`) || (may.has(`${id} *`) && (key === "isDeleted" || GEOMETRY.includes(key)))) continue;
    lines.push(`${hands[page].name}'s page wrote ${id} (${doc[id]?.type}) ${key} = ${show(value)}, which its user never touched`);
  }
  return lines;
}

/** Words that nobody took back stand in their text exactly once. */
export function lostWords(hands, doc) {
  const lines = [];
  for (const hand of hands) {
    for (const { id, token, certain } of hand.tokens) {
      const text = doc[id]?.originalText;
      const times = typeof text === "string" ? text.split(token).length - 1 : 0;
      if (certain ? times !== 1 : times > 1) lines.push(`${hand.name}'s ${token} stands ${times} times in ${id}: ${show(text)}`);
    }
  }
  return lines;
}
