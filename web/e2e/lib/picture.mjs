/** A lesson's drawing by teacher and student, with the mouse, the keyboard and Excalidraw's own panel: the water cycle. */
import { setTimeout as sleep } from "node:timers/promises";

const blue = { stroke: "#1971c2", fill: "#a5d8ff" };
const green = { stroke: "#2f9e44", fill: "#b2f2bb" };
const yellow = { stroke: "#f08c00", fill: "#ffec99" };
const red = { stroke: "#e03131", width: "thin" };

/** Takes a tool and its colours. The panel is there from 730 px width on. */
async function take(board, key, { stroke, fill, font, width } = {}) {
  await board.tool(key);
  for (const id of [stroke && `color-top-pick-${stroke}`, fill && `color-top-pick-${fill}`, font && `fontSize-${font}`, width && key === "p" && `strokeWidth-${width}`]) {
    if (id) await board.frame.getByTestId(id).first().click({ force: true }); // radio buttons lie under their icons
  }
}

async function shape(board, key, style, [a, b], label) {
  await take(board, key, style);
  await board.drag([a, b]);
  if (!label) return;
  await board.page.keyboard.press("Enter");
  await type(board, label);
}

async function words(board, style, at, text) {
  await take(board, "t", { font: "medium", ...style });
  await board.page.mouse.click(...(await board.at(at)));
  await type(board, text);
}

async function type(board, text) {
  await board.frame.locator("textarea.excalidraw-wysiwyg").waitFor({ timeout: 5_000 });
  await board.page.keyboard.type(text);
  await board.page.keyboard.press("Escape");
  await board.page.keyboard.press("Escape");
}

async function arrow(board, style, a, b) {
  await take(board, "a", style);
  await board.drag([a, b]);
  await board.page.keyboard.press("Escape");
}

/** The teacher's part: four shapes, three of them with a label, three arrows bound to them, five texts. */
export async function waterCycle(board) {
  const ink = { stroke: "#1e1e1e" };
  await words(board, { ...ink, font: "veryLarge" }, [455, 92], "The water cycle");
  await words(board, ink, [280, 318], "evaporation");
  await words(board, ink, [790, 265], "rain and snow");
  await words(board, ink, [600, 488], "rivers");
  await words(board, ink, [700, 544], "What drives it?");
  await shape(board, "o", yellow, [[266, 92], [346, 172]]);
  await shape(board, "r", blue, [[250, 440], [470, 520]], "Sea");
  await shape(board, "o", blue, [[480, 180], [680, 270]], "Clouds");
  await shape(board, "d", green, [[700, 345], [940, 485]], "Mountains");
  await arrow(board, { stroke: blue.stroke }, [350, 433], [493, 257]);
  await arrow(board, { stroke: blue.stroke }, [685, 235], [812, 341]);
  await arrow(board, { stroke: blue.stroke }, [694, 417], [477, 480]);
}
export const WATER_CYCLE = 15;

/** The student's part: a ring around a word, four rays of the sun, an answer. */
export async function annotate(board) {
  await take(board, "p", red);
  await board.drag(ring([341, 332], 84, 27), 2);
  await take(board, "p", { stroke: yellow.stroke });
  for (const ray of [[[358, 122], [394, 116]], [[352, 150], [387, 163]], [[336, 172], [360, 200]], [[306, 180], [308, 212]]]) await board.drag(ray, 4);
  await words(board, red, [466, 318], "because it is warm?");
}
export const ANNOTATIONS = 6;

/** The student begins to underline the question and stays in the stroke. */
export async function underline(board) {
  await take(board, "p", red);
  await board.down([702, 580]);
  for (let i = 1; i <= 14; i++) await board.to([702 + i * 10, 580 + 3 * Math.sin(i * 1.1)], 2);
}

function ring([cx, cy], rx, ry) {
  return Array.from({ length: 26 }, (_, i) => {
    const turn = -2.4 + (i / 24) * 2 * Math.PI;
    return [cx + rx * Math.cos(turn) * (1 + i / 400), cy + ry * Math.sin(turn) * (1 + i / 200)];
  });
}

/** Short strokes in rows, as a class counts. */
export class Marks {
  drawn = 0;
  constructor(board, [left, top], [right, bottom]) {
    Object.assign(this, { board, left, top, columns: Math.floor((right - left) / 9), rows: Math.floor((bottom - top) / 21) });
  }

  async draw(n) {
    await this.board.tool("p");
    for (let i = 0; i < n; i++) await this.one();
  }

  async drawWhile(wanted, pause) {
    await this.board.tool("p");
    while (wanted()) {
      await this.one();
      await sleep(pause);
    }
  }

  async one() {
    const i = this.drawn++ % (this.columns * this.rows);
    const [x, y] = [this.left + (i % this.columns) * 9, this.top + Math.floor(i / this.columns) * 21];
    await this.board.drag([[x, y], [x + 3, y + 14]], 2);
  }
}
