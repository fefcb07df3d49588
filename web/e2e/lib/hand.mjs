/**
 * One person's hand in the convergence fuzz: gestures through Excalidraw, by mouse and keyboard where that is cheap and else through its
 * programming interface as one undoable step. Every gesture notes in `may` which properties of which elements its page may write from now on.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "./stack.mjs";
import { Weather } from "./weather.mjs";

const SHAPES = ["rectangle", "diamond", "ellipse"];
const GEOMETRY = ["x", "y", "width", "height"];
const KEYS = { rectangle: "r", diamond: "d", ellipse: "o", arrow: "a", line: "l", freedraw: "p" };

/** Where gestures happen, clear of toolbar, panels and status line, in the iframe's coordinates, which are the scene's. */
const AREA = { left: 280, top: 150, right: 900, bottom: 560 };

export class Hand {
  constructor(person, number, random) {
    Object.assign(this, { person, number, random });
    this.may = new Set(); // "id key"
    this.counts = {};
    this.tokens = []; // { id, token, certain }: words this person wrote
    this.made = 0;
    this.settle();
  }

  get board() {
    return this.person.board;
  }
  get name() {
    return this.person.name;
  }

  /** After the page was loaded. */
  settle() {
    this.weather = new Weather(this.board);
    this.may.clear();
    this.tokens = [];
  }

  allow(ids, keys) {
    for (const id of ids) for (const key of keys) this.may.add(`${id} ${key}`);
  }

  unique() {
    this.made++;
    return this.made * 3 + this.number;
  }

  /** A colour that nobody else ever uses. */
  colour() {
    return `#${(0x200000 + this.unique() * 0x1357 % 0xc00000).toString(16).padStart(6, "0")}`;
  }

  token() {
    return `<${"abc"[this.number]}${this.unique()}>`;
  }

  point() {
    return [this.random.whole(AREA.left, AREA.right), this.random.whole(AREA.top, AREA.bottom)];
  }

  near([x, y], most = 90) {
    const move = (v, low, high) => Math.min(high, Math.max(low, v + this.random.whole(-most, most)));
    return [move(x, AREA.left, AREA.right), move(y, AREA.top, AREA.bottom)];
  }

  /** Visible elements of the document as Excalidraw shows them, with the ids of what hangs on them. Provisional ones of others are left out. */
  elements() {
    return this.board.frame.evaluate(() => {
      const doc = __lectern.document();
      const scene = __lectern.scene().filter((e) => !e.isDeleted && doc[e.id]);
      return scene.map(({ id, type, x, y, width, height, angle, strokeColor, originalText, containerId, groupIds, boundElements }) => {
        const texts = scene.filter((t) => t.containerId === id).map((t) => t.id);
        return { id, type, x, y, width, height, angle, strokeColor, originalText, containerId, groupIds, boundElements, texts };
      });
    });
  }

  async element(id) {
    return this.board.frame.evaluate((id) => structuredClone(__lectern.scene().find((e) => e.id === id)), id);
  }

  state() {
    return this.board.frame.evaluate(() => {
      const s = __lectern.api().getAppState();
      return {
        dragging: s.selectedElementsAreBeingDragged === true,
        resizing: s.isResizing === true,
        editing: s.editingTextElement?.id ?? "",
        drawing: s.newElement?.id ?? "",
        busy: ["newElement", "multiElement", "editingTextElement", "resizingElement", "selectedElementsAreBeingDragged", "isResizing", "isRotating", "isCropping", "editingLinearElement"].filter((k) => s[k]),
        selected: Object.keys(s.selectedElementIds).filter((id) => s.selectedElementIds[id]),
      };
    });
  }

  /** One undoable step through Excalidraw's interface; `over` maps ids to new properties. */
  async set(over) {
    this.allowOver(over);
    await this.board.frame.evaluate((over) => {
      const api = __lectern.api();
      const elements = api.getSceneElementsIncludingDeleted().map((e) => (over[e.id] ? { ...e, ...over[e.id], version: e.version + 1, versionNonce: Math.floor(Math.random() * 2 ** 31), updated: Date.now() } : e));
      api.updateScene({ elements, captureUpdate: "IMMEDIATELY" });
    }, over);
  }

  allowOver(over) {
    for (const [id, props] of Object.entries(over)) this.allow([id], Object.keys(props));
  }

  async select(...ids) {
    await this.board.frame.evaluate((ids) => {
      __lectern.api().updateScene({ appState: { selectedElementIds: Object.fromEntries(ids.map((id) => [id, true])), selectedGroupIds: {}, editingGroupId: null } });
    }, ids);
  }

  async key(key) {
    await this.board.focus();
    await this.board.page.keyboard.press(key);
  }

  async tool(key) {
    await this.board.focus();
    await this.board.page.keyboard.press("Escape");
    await this.board.page.keyboard.press(key);
  }

  /** Back to an empty hand: nothing pressed, edited or selected. */
  async rest() {
    await this.board.page.mouse.up();
    const { editing, drawing } = await this.state();
    if (editing || drawing) await this.board.page.keyboard.press("Escape");
    await this.tool("v");
    await this.select();
  }

  // ---- gestures; each gives false when there was nothing to do it to ----

  async draw(type) {
    const from = this.point();
    const to = this.near(from, 140);
    await this.tool(KEYS[type]);
    await this.board.down(from);
    if (type === "freedraw") for (let i = 0; i < 3; i++) await this.board.to(this.near(from, 60), 3);
    await this.board.to([to[0] + 12, to[1] + 12], 4);
    await this.board.up();
    await this.board.page.keyboard.press("Escape");
    await this.tool("v");
  }

  /** An arrow from one shape to another; it is bound where it begins and ends. */
  async connect() {
    const shapes = (await this.elements()).filter((e) => SHAPES.includes(e.type) && inside(e));
    if (shapes.length < 2) return false;
    const a = this.random.pick(shapes);
    const b = this.random.pick(shapes.filter((e) => e !== a));
    await this.tool(KEYS.arrow);
    await this.board.drag([[a.x + a.width / 2, a.y + 2], [b.x + b.width / 2, b.y + 2]], 5);
    await this.board.page.keyboard.press("Escape");
    await this.tool("v");
  }

  async write() {
    const token = this.token();
    await this.tool("t");
    await this.board.page.mouse.click(...(await this.board.at(this.point())));
    await this.type(token);
  }

  /** Types into the text that is open; true when the words stand in an element of the scene afterwards. */
  async type(words, { submit = true, replace = false } = {}) {
    try {
      await this.board.frame.locator("textarea.excalidraw-wysiwyg").waitFor({ timeout: 1_500 });
    } catch {
      await this.rest();
      return false;
    }
    if (!replace) await this.board.page.keyboard.press("Control+End"); // Enter selects the whole text
    await this.board.page.keyboard.type(words);
    if (submit) await this.submit(words);
    return true;
  }

  async submit(words) {
    await this.board.page.keyboard.press("Escape");
    const text = (await this.elements()).find((e) => e.originalText?.includes(words));
    if (text) {
      this.tokens.push({ id: text.id, token: words, certain: true });
      this.allow([text.id], ["isDeleted"]);
      if (text.containerId) this.allow([text.containerId], GEOMETRY); // it grows with its text
    }
    await this.tool("v");
    await this.select();
  }

  async writeInside() {
    const e = await this.choose((e) => SHAPES.includes(e.type) && e.texts.length === 0);
    if (!e) return false;
    const token = this.token();
    await this.select(e.id);
    this.allow([e.id], GEOMETRY);
    await this.key("Enter");
    await this.type(token);
  }

  async append() {
    const e = await this.choose((e) => e.type === "text" && e.originalText.length < 200);
    if (!e) return false;
    const token = this.token();
    await this.appendTo(e.id, token);
  }

  async appendTo(id, token) {
    this.allow([id], ["isDeleted"]);
    const done = await this.board.frame.evaluate(([id, token]) => {
      const api = __lectern.api();
      let found = false;
      const elements = api.getSceneElementsIncludingDeleted().map((e) => {
        if (e.id !== id || e.isDeleted) return e;
        found = true;
        const originalText = e.originalText + token;
        return { ...e, originalText, text: originalText, version: e.version + 1, versionNonce: Math.floor(Math.random() * 2 ** 31) };
      });
      api.updateScene({ elements, captureUpdate: "IMMEDIATELY" });
      return found;
    }, [id, token]);
    if (done) this.tokens.push({ id, token, certain: true });
  }

  async choose(fits = () => true) {
    const { busyWith } = this;
    const list = (await this.elements()).filter((e) => e.id !== busyWith && !e.texts.includes(busyWith) && fits(e));
    return list.length > 0 ? this.random.pick(list) : undefined;
  }

  async recolour() {
    const e = await this.choose();
    if (!e) return false;
    await this.set({ [e.id]: this.random.chance(0.5) ? { strokeColor: this.colour() } : { backgroundColor: this.colour(), opacity: this.random.whole(40, 100) } });
  }

  async shift() {
    const e = await this.choose((e) => e.type !== "arrow" && e.type !== "line");
    if (!e) return false;
    const [x, y] = this.near([e.x, e.y]);
    await this.set({ [e.id]: { x: x + this.random.next(), y } });
  }

  async stretch() {
    const e = await this.choose((e) => SHAPES.includes(e.type));
    if (!e) return false;
    await this.set({ [e.id]: { width: this.random.whole(30, 160), height: this.random.whole(30, 160) } });
  }

  async erase() {
    const e = await this.choose((e) => e.texts.length === 0);
    if (!e) return false;
    await this.set({ [e.id]: { isDeleted: true } });
  }

  async eraseByKey() {
    const e = await this.choose();
    if (!e) return false;
    await this.select(e.id);
    this.allow([e.id, ...e.texts], ["isDeleted"]);
    await this.key("Delete");
  }

  async duplicate() {
    const e = await this.choose((e) => e.type !== "text" || !e.containerId);
    if (!e) return false;
    await this.select(e.id);
    await this.key("Control+d");
    await this.select();
  }

  async group() {
    const free = (await this.elements()).filter((e) => e.groupIds.length === 0 && !e.containerId && e.id !== this.busyWith);
    if (free.length < 2) return false;
    const a = this.random.pick(free);
    const b = this.random.pick(free.filter((e) => e !== a));
    const all = [a, b].flatMap((e) => [e.id, ...e.texts]);
    await this.select(a.id, b.id);
    this.allow(all, ["groupIds"]);
    await this.key("Control+g");
    await this.select();
  }

  async reorder() {
    const e = await this.choose();
    if (!e) return false;
    await this.select(e.id);
    await this.key(this.random.pick(["Control+]", "Control+[", "Control+Shift+]", "Control+Shift+["]));
    await this.select();
  }

  async nudge() {
    const e = await this.choose((e) => !e.containerId && e.groupIds.length === 0);
    if (!e) return false;
    await this.select(e.id);
    this.allow([e.id, ...e.texts], GEOMETRY);
    for (let i = 0; i < 3; i++) await this.key(this.random.pick(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]));
    await this.select();
  }

  async dragAway() {
    const e = await this.choose((e) => SHAPES.includes(e.type) && inside(e));
    if (!e || !(await this.grab(e))) return false;
    await this.board.to(this.near(middle(e)), 5);
    await this.letGo();
  }

  async undo() {
    this.uncertain();
    await this.key("Control+z");
  }

  async redo() {
    this.uncertain();
    await this.key("Control+Shift+z");
  }

  /** From here on, any of this person's own words may have been taken back by this person. */
  uncertain() {
    for (const t of this.tokens) t.certain = false;
  }

  // ---- holding ----

  /** Presses on an element and begins to move it; false, with the hand empty again, when something else is dragged. */
  async grab(e) {
    await this.tool("v");
    await this.select(e.id);
    this.allow([e.id, ...e.texts], GEOMETRY);
    const [x, y] = middle(e);
    await this.board.down([x, y]);
    await this.board.to([x + 14, y + 9], 4);
    const { dragging, selected } = await this.state();
    if (dragging && selected.length === 1 && selected[0] === e.id) return true;
    this.allow(selected, GEOMETRY); // whatever it was
    await this.rest();
    return false;
  }

  /** Lets go of what is dragged or resized. */
  async letGo() {
    await this.board.up();
    await until(`${this.name}'s hand is empty`, async () => (await this.state()).busy.length === 0, 5_000);
    await this.select();
  }

  /** Takes an element by its lower right corner and begins to resize it. */
  async grabCorner(e) {
    await this.tool("v");
    await this.select(e.id);
    this.allow([e.id, ...e.texts], GEOMETRY);
    await sleep(60); // its handles are drawn with the next frame
    await this.board.down([e.x + e.width + 6, e.y + e.height + 6]);
    await this.board.to([e.x + e.width + 20, e.y + e.height + 18], 4);
    const { resizing, selected } = await this.state();
    if (resizing && selected.length === 1 && selected[0] === e.id) return true;
    await this.rest();
    return false;
  }

  /** Opens a text and types, at its end or over all of it; the text stays open. */
  async openText(e, words, replace) {
    await this.tool("v");
    await this.select(e.id);
    await this.key("Enter");
    if (!(await this.type(words, { submit: false, replace }))) return false;
    if ((await this.state()).editing === e.id) return true;
    await this.rest();
    return false;
  }
}

const middle = (e) => [e.x + e.width / 2, e.y + e.height / 2];

/** Wholly within the area, and large enough to be taken by hand. */
export function inside(e) {
  return e.width >= 40 && e.height >= 40 && (e.angle ?? 0) === 0 && e.x >= AREA.left - 20 && e.y >= AREA.top - 20 && e.x + e.width <= AREA.right + 60 && e.y + e.height <= AREA.bottom + 60;
}

export { GEOMETRY, SHAPES };
