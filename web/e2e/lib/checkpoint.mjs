/** The board's copy in its room, read as a member reads it: by the Matrix client in somebody's classroom page, with the keys that person has. */
import { until } from "./stack.mjs";

const TYPE = "com.educationpub.whiteboard.content";

/** The state event as it stands in the room, encrypted or not; null if there is none. `user`: an entry of ready.users. */
export async function checkpointEvent(stack, user) {
  const { room_id: room, widgets } = stack.ready;
  for (const [type, key] of [["m.room.encrypted", `${TYPE}:${widgets[0].board}`], [TYPE, widgets[0].board]]) {
    try {
      return await stack.matrix(user, "GET", `/rooms/${encodeURIComponent(room)}/state/${type}/${encodeURIComponent(key)}?format=event`);
    } catch (err) {
      if (err.status !== 404) throw err;
    }
  }
  return null;
}

/** The checkpoint's manifest. A person whose device cannot decrypt it gets an error with the crypto's own words. */
export async function readCheckpoint(person, event) {
  if (event.type !== "m.room.encrypted") return event.content;
  const inner = await person.page.evaluate(async ({ room, event }) => {
    const { client } = window.__classroom;
    const MatrixEvent = client.getRoom(room).currentState.getStateEvents("m.room.create", "").constructor;
    // The SDK decrypts messages only, so the state key is taken off: the ciphertext and its keys are the same.
    const sealed = new MatrixEvent({ ...event, state_key: undefined, room_id: room });
    await client.decryptEventIfNeeded(sealed);
    if (sealed.isDecryptionFailure()) throw new Error(`cannot decrypt: ${sealed.decryptionFailureReason}`);
    return { ...sealed.getClearContent(), type: sealed.getType() };
  }, { room: person.stack.ready.room_id, event });
  if (inner.type !== TYPE) throw new Error(`the event holds a ${inner.type}`);
  return inner;
}

/** Waits until the room's copy has exactly the heads that are on this person's page; gives event and manifest. */
export function savedToRoom(person, ms = 60_000) {
  return until(
    "the board is saved to the room",
    async () => {
      const event = await checkpointEvent(person.stack, person.user);
      if (!event) return null;
      const manifest = await readCheckpoint(person, event);
      const { doc } = person.board;
      const heads = [...(manifest.docs.find((d) => d.doc === doc)?.heads ?? [])].sort();
      return heads.join() === (await person.board.heads()).join() ? { event, manifest, heads } : null;
    },
    ms,
    250,
  );
}
