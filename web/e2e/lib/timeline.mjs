/** When each element came into each page's document: committed on its author's page, seen on the others'. */

const EVERY_MS = 20;

/** Begins to note, in every page, the time at which each element id is first in the document, and the changes of lane. */
export async function watch(boards) {
  await Promise.all(
    boards.map((b) =>
      b.frame.evaluate((every) => {
        const noted = { ids: {}, lanes: [] };
        const note = () => {
          const now = Date.now();
          for (const id of Object.keys(window.__lectern.document())) noted.ids[id] ??= now;
          const { link } = window.__lectern.stats();
          const lane = link.kind === "open" ? link.lane : link.kind;
          if (noted.lanes.at(-1)?.lane !== lane) noted.lanes.push({ lane, at: now });
        };
        note();
        window.__timeline = { noted, timer: setInterval(note, every) };
      }, EVERY_MS),
    ),
  );
}

/** Ends it. Per board: the new elements of the others with their delay, and the lanes with their times (Unix ms). */
export async function collect(boards) {
  const noted = await Promise.all(
    boards.map((b) =>
      b.frame.evaluate(() => {
        clearInterval(window.__timeline.timer);
        return window.__timeline.noted;
      }),
    ),
  );
  return noted.map(({ ids, lanes }, i) => {
    const foreign = [];
    for (const [id, seen] of Object.entries(ids)) {
      const committed = Math.min(...noted.map((n) => n.ids[id] ?? Infinity));
      const author = noted.findIndex((n) => n.ids[id] === committed);
      if (author !== i && committed < seen) foreign.push({ id, author, committed, seen });
    }
    return { foreign: foreign.sort((a, b) => a.seen - b.seen), lanes };
  });
}
