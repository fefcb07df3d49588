/** Accessibility of what is shown now, by axe-core: WCAG 2.2 A and AA. */
import fs from "node:fs";

const source = fs.readFileSync(new URL("../../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

/** What a page or frame violates, a line each; frames in it are not looked into. */
export async function violations(frame) {
  await frame.evaluate(`${source};0`);
  return frame.evaluate(async (runOnly) => (await window.axe.run(document, { iframes: false, runOnly })).violations.map((v) => `${v.id}: ${v.nodes[0].html.slice(0, 160)}`), RULES);
}
