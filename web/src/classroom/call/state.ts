/** Call memberships as the SDK has them. */
import type { Room } from "matrix-js-sdk";
import { MEMBER } from "./allow";
import type { MemberEvent } from "./members";

export const memberEvents = (room: Room): MemberEvent[] =>
  room.currentState.getStateEvents(MEMBER).map((ev) => ({ stateKey: ev.getStateKey() ?? "", sender: ev.getSender() ?? "", at: ev.getTs(), content: ev.getContent() }));
