/**
 * Held phases: one person has an element in their hand while others change the same one. What must come of it is known exactly: both changes
 * stand after the drop, and undoing the gesture takes back the gesture alone.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Broken, quiet } from "./agree.mjs";
import { inside, SHAPES } from "./hand.mjs";
import { until } from "./stack.mjs";

const FADE_MS = 8_000;
const close = (a, b) => Math.abs(a - b) < 0.3;

/** One phase. `others`: two more hands; `storm`: cuts to make in the middle. Gives the phase's name, or undefined when there was nothing to hold. */
export async function heldPhase(kind, holder, [other, third], random, { undo, redo, storm }) {
  const hands = [holder, other, third];
  await quiet(hands);
  const start = kind === "text" ? await someText(holder) : await someShape(holder);
  if (!start) return undefined;
  const { id } = start;
  for (const h of hands) h.busyWith = id;
  const seen = (what, value) => until(`${holder.name}'s document has ${what}`, async () => holder.board.frame.evaluate(([id, what, value]) => {
    const now = __lectern.document()[id]?.[what];
    return typeof now === "string" && typeof value === "string" ? now.includes(value) : now === value;
  }, [id, what, value]), 25_000, 20);
  const problems = async (check) => {
    const lines = [];
    for (const h of hands) {
      const doc = (await h.board.frame.evaluate((id) => __lectern.document()[id], id)) ?? {};
      const scene = (await h.element(id)) ?? {};
      for (const [where, e] of [["document", doc], ["scene", scene]]) {
        const wrong = check(e);
        if (wrong) lines.push(`${h.name}'s ${where}: ${wrong}`);
      }
    }
    return lines;
  };
  const everywhere = async (when, check) => {
    await quiet(hands);
    let lines = await problems(check);
    // A late frame of the live lane may show the gesture a little longer. It can never be in a document.
    for (const end = Date.now() + FADE_MS; lines.length > 0 && Date.now() < end && !lines.some((l) => l.includes("'s document")); lines = await problems(check)) await sleep(100);
    if (lines.length > 0) lines.push(`${holder.name}'s hand: ${JSON.stringify(await holder.state())}`);
    if (lines.length > 0) throw new Broken(`held ${kind}, ${holder.name} holds ${id}, ${when}`, lines);
  };
  const want = (pairs) => (e) => {
    const wrong = Object.entries(pairs).filter(([k, v]) => (typeof v === "number" ? !close(e[k], v) : e[k] !== v));
    return wrong.length > 0 ? wrong.map(([k, v]) => `${k} is ${JSON.stringify(e[k])}, want ${JSON.stringify(v)}`).join("; ") : "";
  };
  const words = (present, absent = []) => (e) => {
    const text = e.originalText ?? "";
    const wrong = [...present.filter((w) => text.split(w).length !== 2), ...absent.filter((w) => text.includes(w))];
    return wrong.length > 0 ? `text ${JSON.stringify(text)}, want ${present} once and no ${absent}` : "";
  };
  try {
    if (kind === "text") return await heldText({ start, holder, other, third, seen, everywhere, want, words, undo, redo, storm, replace: random.chance(0.4) });

    const at = [start.x + start.width / 2, start.y + start.height / 2];
    if (!(await (kind === "resize" ? holder.grabCorner(start) : holder.grab(start)))) return undefined;
    const paint = { strokeColor: other.colour() };
    const fill = { backgroundColor: third.colour() };
    await storm();
    const theirs = [other.set({ [id]: paint })];
    if (kind === "drag" || kind === "resize") theirs.push(third.set({ [id]: fill }));
    if (kind === "clash") theirs.push(third.set({ [id]: { x: start.x - 33, y: start.y - 21 } }));
    if (kind === "erase") theirs.push(third.set({ [id]: { isDeleted: true } }));
    await Promise.all(theirs);
    await seen("strokeColor", paint.strokeColor);
    if (kind === "drag" || kind === "resize") await seen("backgroundColor", fill.backgroundColor);
    if (kind === "erase") await seen("isDeleted", true);
    const corner = [start.x + start.width + 46, start.y + start.height + 38];
    await holder.board.to(kind === "resize" ? corner : [at[0] + 48, at[1] + 37], 4);
    const dropped = await holder.element(id);
    await holder.letGo();

    if (kind === "erase") {
      await everywhere("after the drop of what others erased", want({ isDeleted: true, ...paint }));
      return kind;
    }
    if (kind === "clash") {
      await everywhere("after the drop of what others moved", (e) => want(paint)(e) || (close(e.x, dropped.x) || close(e.x, start.x - 33) ? "" : `x is ${e.x}, want ${dropped.x} or ${start.x - 33}`));
      return kind;
    }
    const keys = kind === "resize" ? ["width", "height"] : ["x", "y"];
    const was = Object.fromEntries(keys.map((k) => [k, start[k]]));
    const now = Object.fromEntries(keys.map((k) => [k, dropped[k]]));
    if (keys.every((k) => close(was[k], now[k]))) throw new Broken(`held ${kind}: the hand did not move ${id}`);
    await everywhere("after the drop", want({ ...now, ...paint, ...fill }));
    if (!undo) return kind;
    await holder.undo();
    await everywhere("after the holder's undo", want({ ...was, ...paint, ...fill }));
    if (!redo) return `${kind}+undo`;
    await holder.redo();
    await everywhere("after the holder's redo", want({ ...now, ...paint, ...fill }));
    return `${kind}+undo+redo`;
  } finally {
    for (const h of hands) h.busyWith = undefined;
    await holder.rest();
  }
}

async function heldText({ start, holder, other, third, seen, everywhere, want, words, undo, redo, storm, replace }) {
  const { id } = start;
  const [mine, theirs, paint] = [holder.token(), other.token(), { strokeColor: third.colour() }];
  if (replace) for (const h of [holder, other, third]) for (const t of h.tokens) if (t.id === id) t.certain = false;
  if (!(await holder.openText(start, mine, replace))) return undefined;
  await storm();
  await Promise.all([other.appendTo(id, theirs), third.set({ [id]: paint })]);
  await seen("originalText", theirs);
  await seen("strokeColor", paint.strokeColor);
  const typed = await holder.board.frame.evaluate(() => document.querySelector("textarea.excalidraw-wysiwyg")?.value);
  await holder.submit(mine);
  const both = (e) => words([mine, theirs])(e) || want(paint)(e);
  await everywhere(`after ${holder.name} made ${JSON.stringify(typed)} of ${JSON.stringify(start.originalText)} and ${other.name} added ${theirs}`, both);
  if (!undo) return "text";
  await holder.undo();
  await everywhere("after the holder's undo", (e) => words([theirs], [mine])(e) || want(paint)(e));
  if (!redo) return "text+undo";
  await holder.redo();
  await everywhere("after the holder's redo", both);
  return "text+undo+redo";
}

/** A shape within reach, or a new one. */
async function someShape(hand) {
  const fits = (e) => SHAPES.includes(e.type) && inside(e) && e.groupIds.length === 0 && e.texts.length === 0;
  for (let tries = 0; tries < 3; tries++) {
    const e = await hand.choose(fits);
    if (e) return e;
    await hand.draw("rectangle");
    await quiet([hand]);
  }
  return undefined;
}

async function someText(hand) {
  for (let tries = 0; tries < 3; tries++) {
    const e = await hand.choose((e) => e.type === "text" && !e.containerId && e.originalText.length < 120);
    if (e) return e;
    await hand.write();
    await quiet([hand]);
  }
  return undefined;
}
