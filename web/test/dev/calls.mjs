// The call page in every state it can be in, against a made-up server: pictures, accessibility, and what the keyboard does.
// `node test/dev/calls.mjs [folder] [look…]` after `npm run build`; pictures only where a folder is named.
import { mkdirSync } from "node:fs";
import { violations } from "../../e2e/lib/axe.mjs";
import { launch } from "./browser.mjs";
import { start } from "./server.mjs";

const ALL = ["microphone", "camera", "screen_share"];
const device = (over = {}) => ({ device: "QWERTYUIOP", where: "here", listed: true, microphone: "on", camera: "off", screen_share: "off", ...over });
const member = (name, over = {}) => ({
  user_id: `@${name.toLowerCase().split(" ")[0]}:example.org`, name, external: "", role: "participant", may_moderate: true, joined: true, removed: false, sources: ALL, devices: [device()], ...over,
});
const call = (over = {}) => ({
  configured: true, revision: 1, down: false, ended: 0, moderator: false, sources: ALL, mine: ALL, element_call: "https://call.example.org", user_id: "@ada:example.org", room_name: "Class 7b, Maths", members: [], strangers: [], ...over,
});
const ada = (over = {}) => member("Ada Lovelace", { role: "moderator", may_moderate: false, devices: [device({ microphone: "on", camera: "on" })], ...over });
const people = [
  ada(),
  member("Ms. Hypatia", { role: "moderator", may_moderate: false, devices: [device({ microphone: "muted", screen_share: "on" })] }),
  member("Ben", { devices: [device({ camera: "on" })] }),
  member("Carl Friedrich Gauß-von-Königsberg-Göttingen", { devices: [device({ microphone: "muted" })] }),
  member("Dora", { external: "lyceum.example.net", user_id: "@dora:lyceum.example.net", devices: [device({ where: "elsewhere", microphone: "off" })] }),
  member("Emmy", { devices: [device({ device: "LAPTOP" }), device({ device: "PHONE", microphone: "off", camera: "on" })] }),
  member("Felix", { devices: [device({ where: "nowhere", microphone: "off" })] }),
  member("Grace", { sources: ["camera"], devices: [device({ microphone: "off" })] }),
  member("Hidden", { devices: [device({ listed: false, microphone: "off" })] }),
  member("مريم ميرزاخاني", { user_id: "@maryam:example.org" }),
];
const out = [member("Ivan", { devices: [], removed: true }), member("Jo", { devices: [], sources: ["microphone"] })];
const strangers = [{ identity: "EG_8fj3kKd93", kind: "EGRESS" }];
const asPupil = (list) => list.map((m) => ({ ...m, may_moderate: false }));
const pupil = { user_id: "@ben:example.org", members: asPupil(people), mine: ["microphone"], sources: ["microphone"] };

/** Every state. `answer`: of GET /v1/call, or an HTTP status with its refusal; `press`: what is pressed before the picture. */
const states = {
  off: { answer: { configured: false } },
  down: { answer: call({ down: true, moderator: true }) },
  empty: { answer: call() },
  "empty-own-button": { answer: call({ element_call: "" }) },
  "start-unknown": { answer: call(), press: ["main button.primary"] },
  "start-refused": { answer: call(), host: "call=You are in a call in Class 8a. Leave it before you join another one.", press: ["main button.primary"] },
  "start-opened": { answer: call(), host: "call=yes", press: ["main button.primary"] },
  pupil: { answer: call(pupil) },
  "pupil-outside": { answer: call({ ...pupil, user_id: "@zoe:example.org", mine: [] }) },
  teacher: { answer: call({ moderator: true, members: [...people, ...out], strangers }) },
  "teacher-more": { answer: call({ moderator: true, members: [...people, ...out], sources: ["microphone", "camera"] }), press: ['[data-key="@ben:example.org more"]'] },
  "teacher-muted": { answer: call({ moderator: true, members: people }), press: ['[data-key="@ben:example.org mute"]'] },
  "teacher-elsewhere": {
    answer: call({ moderator: true, members: people }), press: ['[data-key="@dora:lyceum.example.net mute"]'],
    result: { outcome: "not_possible", people: { "@dora:lyceum.example.net": "not_possible" }, foci: { "@dora:lyceum.example.net": ["livekit.lyceum.example.net"] }, changed: 0, noted: true, kept: true },
  },
  "teacher-partly": {
    answer: call({ moderator: true, members: people }), press: [".everybody button"],
    result: { outcome: "not_possible", people: { "@dora:lyceum.example.net": "not_possible" }, foci: { "@dora:lyceum.example.net": ["livekit.lyceum.example.net"] }, changed: 4, noted: false, kept: true },
  },
  "teacher-failed": { answer: call({ moderator: true, members: people }), press: [".everybody input"], result: [403, "no_right", "Lectern's account may not write this into the room. It needs the power level that state events need, usually 50."] },
  "teacher-kick": { answer: call({ moderator: true, members: people }), press: ['[data-key="@ben:example.org more"]', '[data-key="@ben:example.org kick"]'] },
  "teacher-end": { answer: call({ moderator: true, members: people }), press: [".everybody button.grave"] },
  "ended-pupil": { answer: call({ ended: 500_000, user_id: "@ben:example.org" }) },
  "ended-teacher": { answer: call({ ended: 45_000, moderator: true }) },
  removed: { answer: call({ user_id: "@ivan:example.org", members: asPupil([...people, ...out]) }) },
  lost: { answer: call(pupil), then: [503, "overloaded", "Busy."], wait: "main .lost:not(:empty)" },
  unreachable: { answer: [503, "homeserver_unreachable", "Lectern's homeserver does not answer."], wait: "main .lost:not(:empty)" },
  closed: { answer: [403, "server_denied", "No."], wait: "main button" },
};

/** Opens the page as somebody; `GET /v1/call` answers what `state` says, later ones wait. */
export async function open(browser, server, state, { width = 1000, height = 620, theme = "light", lang = "en", more = {} } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, ...more });
  const page = await context.newPage();
  const seen = { errors: [], acts: [], polls: 0, answer: state.answer };
  page.on("pageerror", (e) => seen.errors.push(String(e)));
  page.on("console", (m) => m.type() === "error" && !/status of (4|5)\d\d|Failed to load/.test(m.text()) && seen.errors.push(m.text()));
  const json = (route, what) => (Array.isArray(what) ? route.fulfill({ status: what[0], json: { code: what[1], message: what[2] } }) : route.fulfill({ json: what }));
  await context.route("**/v1/call?*", async (route) => {
    const revision = Number(new URL(route.request().url()).searchParams.get("seen"));
    seen.polls++;
    if (!Array.isArray(seen.answer) && revision === seen.answer.revision) {
      if (state.then) return json(route, state.then);
      for (let i = 0; i < 200 && seen.answer.revision === revision; i++) await new Promise((r) => setTimeout(r, 100));
    }
    await json(route, seen.answer).catch(() => undefined); // the page may be gone
  });
  await context.route("**/v1/call/acts", async (route) => {
    const act = route.request().postDataJSON();
    seen.acts.push(act);
    if (state.acted) seen.answer = { ...state.acted(seen.answer, act), revision: seen.answer.revision + 1 };
    await json(route, state.result ?? { outcome: "enforced", changed: 1, noted: true, kept: true });
  });
  await page.goto(`${server.url}/?kind=call&user=ada&theme=${theme}&lang=${lang}&${state.host ?? ""}`);
  await page.waitForFunction(() => document.querySelector("iframe")?.src);
  const frame = page.frames().find((f) => f !== page.mainFrame());
  await frame.waitForSelector(state.wait ?? "main .headline", { timeout: 15_000 });
  return { context, page, frame, seen };
}

const looks = {
  light: {},
  dark: { theme: "dark" },
  phone: { width: 320, height: 700, lang: "de" },
  "phone-dark": { width: 360, height: 700, theme: "dark" },
  rtl: { width: 360, height: 700, rtl: true },
  forced: { more: { forcedColors: "active" } },
  contrast: { theme: "light-high-contrast" },
};

async function pictures(browser, server, folder, chosen) {
  let wrong = 0;
  for (const [look, how] of Object.entries(looks).filter(([name]) => chosen.length === 0 || chosen.includes(name))) {
    for (const [name, state] of Object.entries(states)) {
      const p = await open(browser, server, state, how);
      if (how.rtl) await p.frame.evaluate(() => void (document.documentElement.dir = "rtl"));
      for (const selector of state.press ?? []) {
        await p.frame.click(selector);
        await p.page.waitForTimeout(selector.includes("kick") || selector.includes("grave") ? 700 : 250); // the steady button of a dialog
      }
      await p.page.waitForTimeout(100);
      const found = await violations(p.frame);
      const wide = await p.frame.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      const problems = [...found, ...p.seen.errors, ...(wide > 0 ? [`scrolls sideways by ${wide} px`] : [])];
      wrong += problems.length;
      if (problems.length > 0) console.log(`FAIL ${look} ${name}:\n  ${problems.join("\n  ")}`);
      if (folder) await p.page.screenshot({ path: `${folder}/${look}-${name}.png` });
      if (folder && look === "light" && name.startsWith("teacher")) {
        await p.page.setViewportSize({ width: 1000, height: 1100 });
        await p.page.screenshot({ path: `${folder}/${look}-${name}-whole.png` });
      }
      await p.context.close();
    }
  }
  console.log(`${wrong === 0 ? "ok  " : "FAIL"} ${(chosen.length || Object.keys(looks).length) * Object.keys(states).length} pages: ${wrong} accessibility violations, errors or pages too wide`);
  return wrong;
}

/** What the keyboard finds where the list changes under it, and what is said and sent. */
async function behaviour(browser, server) {
  let wrong = 0;
  const check = (what, got, want) => {
    const ok = JSON.stringify(got) === JSON.stringify(want);
    console.log(`${ok ? "ok  " : "FAIL"} ${what}${ok ? "" : `: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`}`);
    if (!ok) wrong++;
  };
  const ben = "@ben:example.org";
  const acted = (answer, { action, user_id, sources }) => ({
    ...answer,
    members: answer.members.filter((m) => !(action === "ban" && m.user_id === user_id)).map((m) =>
      m.user_id !== user_id ? m : action === "mute" ? { ...m, devices: m.devices.map((d) => ({ ...d, microphone: "muted" })) } : action === "remove" ? { ...m, removed: true, devices: [] } : action === "sources" ? { ...m, sources } : m),
  });
  const p = await open(browser, server, { answer: call({ moderator: true, members: people }), acted });
  const { frame, page, seen } = p;
  const focused = () => frame.evaluate(() => document.activeElement?.dataset.key ?? document.activeElement?.tagName);
  const told = () => frame.evaluate(() => document.querySelector(".told").textContent);
  const settle = () => page.waitForTimeout(900);
  const go = async (key) => {
    for (let i = 0; i < 60 && (await focused()) !== key; i++) await page.keyboard.press("Tab");
  };
  await frame.evaluate(() => document.querySelector("main button").focus());
  await go(`${ben} mute`);
  check("the tab key reaches a person's button", await focused(), `${ben} mute`);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  await settle();
  check("a second press while it is under way is dropped", seen.acts, [{ action: "mute", user_id: ben }]);
  check("the focus stays on a button that has nothing to do any more", await focused(), `${ben} mute`);
  check("it is told", await told(), "Ben’s microphone is off.");
  check("a button with nothing to do says so, and keeps its place", await frame.getAttribute(`[data-key="${ben} mute"]`, "aria-disabled"), "true");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  check("more is there", await frame.getAttribute(`[data-key="${ben} more"]`, "aria-expanded"), "true");
  await go(`${ben} may-camera`);
  await page.keyboard.press("Space");
  await settle();
  check("a box that is unticked sends what stays allowed", seen.acts.at(-1), { action: "sources", user_id: ben, sources: ["microphone", "screen_share"] });
  check("and keeps the focus", await focused(), `${ben} may-camera`);
  await go(`${ben} kick`);
  await page.keyboard.press("Enter");
  await page.waitForTimeout(300);
  check("a question begins at the harmless answer", await frame.evaluate(() => document.activeElement.textContent), "Cancel");
  await page.keyboard.press("Escape");
  await page.waitForTimeout(300);
  check("and hands the focus back", await focused(), `${ben} kick`);
  check("nothing was done", seen.acts.length, 2);
  await page.keyboard.press("Shift+Tab");
  check("removing is one step back", await focused(), `${ben} remove`);
  await page.keyboard.press("Enter");
  await settle();
  check("who was removed is found again below", await focused(), `${ben} readmit`);
  await go(`${ben} ban`);
  await page.keyboard.press("Enter");
  await page.waitForTimeout(700);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await settle();
  check("a ban is sent after the question", seen.acts.at(-1), { action: "ban", user_id: ben });
  check("who is gone leaves the focus on a heading", await frame.evaluate(() => document.activeElement.tagName), "H2");
  check("no errors", seen.errors, []);
  const before = seen.polls;
  await page.waitForTimeout(3_000);
  check("nothing is asked while nothing changes", seen.polls - before, 0);
  await p.context.close();
  return wrong;
}

if (process.argv[1]?.endsWith("calls.mjs")) {
  const folder = process.argv[2];
  if (folder) mkdirSync(folder, { recursive: true });
  const server = await start({ test: false });
  const browser = await launch();
  try {
    process.exitCode = (await behaviour(browser, server)) + (await pictures(browser, server, folder, process.argv.slice(3))) === 0 ? 0 : 1;
  } finally {
    await browser.close();
    server.close();
  }
}
