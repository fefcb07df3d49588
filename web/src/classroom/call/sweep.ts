/** Leftovers of this device in calls: of a page that was closed too hard to say goodbye. */
import type { StateEvents } from "matrix-js-sdk";
import type { Classroom } from "../matrix";
import { reasonOf } from "../reason";
import { MEMBER } from "./allow";
import { memberEvents } from "./state";
import { standing } from "./members";

/** Takes this device out of every call but the one it is in: it has one page, and this is it. */
export async function sweep(classroom: Classroom, except: () => string | null): Promise<void> {
  const { client, session } = classroom;
  for (const room of client.getRooms()) {
    if (room.getMyMembership() !== "join") continue;
    for (const key of standing(memberEvents(room), session.userId, session.deviceId)) {
      if (room.roomId === except()) continue;
      try {
        await client.sendStateEvent(room.roomId, MEMBER as keyof StateEvents, {} as StateEvents[keyof StateEvents], key);
      } catch (err) {
        console.warn("an old call membership stays:", reasonOf(err));
      }
    }
  }
}
