/** Adding a board to a room, and creating a classroom: which steps, in which order. Shown and run by the dialogs; everything that is decided here is decided again by the homeserver. */
import { serverOf } from "../config";
import type { Classroom } from "../matrix";
import type { Powers } from "../roles";
import { powerOf, stateLevel } from "../roles";
import { WIDGET_EVENT_TYPES } from "../widgets";
import { boardOf, removal, WIDGET_TYPE, widgetContent, type Content, type NewBoard, type WidgetState } from "./board";
import type { Kind } from "./kinds";
import { LAYOUT_TYPE, layoutWith } from "./layout";
import { classroomLevels, grant, neededLevel } from "./levels";
import { detailOf, isRefusal, StepProblem, type Sentence, type Step } from "./steps";

/** How long Lectern has to accept an invitation. */
const ANSWER_MS = 20_000;
/** How long a room whose creation was not answered has to appear in /sync before it is created again. */
const LOST_MS = 5_000;

/** The requests that change a room, each of which may be repeated. */
export interface Server {
  /** The content of a state event, null if there is none. */
  state(roomId: string, type: string, key?: string): Promise<Content | null>;
  /** Writes a widget or the layout unless it is so already. Says whether it wrote. */
  put(roomId: string, type: string, key: string, content: Content): Promise<boolean>;
  /** Invites unless the person is a member or invited; `again`: also who is invited. */
  invite(roomId: string, userId: string, again?: boolean): Promise<void>;
  /** Gives somebody a power level. `content`: the room's power levels with that one number changed. */
  empower(roomId: string, userId: string, level: number, content: Content): Promise<void>;
  /** Widget events of the room's past, newest first, as far as they can be had. */
  past(roomId: string): Promise<WidgetState[]>;
  /** Shows widgets above the messages, for everybody; a sentence if that is not to be had. `live` are the widgets of the room. */
  arrange(roomId: string, live: readonly string[], ids: readonly string[]): Promise<Sentence | undefined>;
}

/** Whoever talks to the homeserver for the person: the classroom's own client, or a Matrix client around the page. */
export interface Client {
  /** The person's user id. */
  readonly me: string;
  readonly server: Server;
  powers(roomId: string): Powers;
  widgetIds(roomId: string): readonly string[];
  /** Names of a few members with at least this power; without whoever asks and Lectern's account. */
  whoHas(roomId: string, power: number, companion: string): readonly string[];
  /** Resolves when something has changed, at the latest after `ms`. */
  changed(ms: number): Promise<void>;
}

/** Which Lectern boards are added for. */
export interface Place {
  /** Origin of the widgets. */
  readonly lectern: string;
  /** User id of Lectern's own account. */
  readonly companion: string;
  /** mxc addresses of widgets' pictures, by kind. */
  readonly icons: Readonly<Record<string, string>>;
  /** Kinds that can be added. */
  readonly kinds: readonly Kind[];
}

/** Who acts, and for which Lectern. */
export interface Actor {
  readonly client: Client;
  readonly config: Place;
}

/** How Lectern's account stands in a room. */
export type Standing = "member" | "invited" | "absent";

/** The steps that bring Lectern (if it lacks membership or level) and these boards into a room. The boards come last: where Lectern does not answer, nobody sees a board that does not open. */
export function addSteps(actor: Actor, roomId: string, standing: Standing, powers: Powers, boards: readonly NewBoard[]): Step[] {
  const { companion } = actor.config;
  const steps: Step[] = [];
  if (standing !== "member") steps.push(inviteStep(actor, () => roomId));
  if (grant(powers, companion, actor.client.me).kind !== "enough") steps.push(levelStep(actor, roomId, powers));
  if (standing !== "member") steps.push(joinStep(actor, () => roomId));
  for (const b of boards) {
    steps.push({
      id: b.id,
      label: { key: "step.board", params: { name: b.name } },
      needs: standing === "member" ? [] : ["joined"],
      run: async () => {
        // Whatever is there by now, from a try whose answer was lost or from somebody else: every rewrite makes Element ask everybody again.
        const now = await actor.client.server.state(roomId, WIDGET_TYPE, b.id);
        if (typeof now?.["url"] !== "string") await actor.client.server.put(roomId, WIDGET_TYPE, b.id, widgetContent(b, actor.config.lectern, actor.client.me, actor.config.icons[b.kind]));
        return undefined;
      },
    });
  }
  if (boards.length > 0) steps.push(layoutStep(actor, roomId, boards.map((b) => b.id)));
  return steps;
}

/** A classroom that does not exist yet. `roomId` is known once the first step is done. */
export interface NewClassroom {
  readonly steps: readonly Step[];
  readonly roomId: () => string;
}

export function createSteps(classroom: Classroom, config: Place, name: string, people: readonly string[], boards: readonly NewBoard[]): NewClassroom {
  const actor = { client: classroom, config };
  const { server } = classroom;
  let roomId = "";
  let lost = false;
  const create: Step = {
    id: "create",
    label: { key: "step.create" },
    run: async () => {
      // An earlier try may have succeeded although its answer was lost: the boards' ids are random, so a room with one of them is ours.
      if (lost) roomId = (await classroom.roomWithWidget(boards[0]?.id ?? "", LOST_MS)) ?? "";
      if (roomId === "") {
        const version = await server.defaultRoomVersion();
        try {
          roomId = await server.create(classroomBody(classroom.me, config, name, boards, version));
        } catch (err) {
          lost = !isRefusal(err);
          throw err;
        }
      }
      if (!(await classroom.roomSeen(roomId, ANSWER_MS))) throw new StepProblem({ key: "step.notSeen" });
      return undefined;
    },
  };
  const invite = (userId: string): Step => ({
    id: `invite ${userId}`,
    label: { key: "step.invitePerson", params: { user: userId } },
    needs: ["create"],
    run: async () => {
      try {
        await server.invite(roomId, userId);
      } catch (err) {
        throw new StepProblem({ key: "step.personFailed", params: { server: serverOf(userId), detail: detailOf(err) } });
      }
      return undefined;
    },
  });
  const lectern = inviteStep(actor, () => roomId);
  const joined = joinStep(actor, () => roomId);
  // People come before Lectern's answer: it has that time to give it.
  return { steps: [create, { ...lectern, needs: ["create"] }, ...people.map(invite), joined], roomId: () => roomId };
}

/** The room in one request: encrypted, its state too (MSC4362), levels, boards and their places. People are invited one by one: one that fails must not spoil the room. */
function classroomBody(me: string, config: Place, name: string, boards: readonly NewBoard[], roomVersion: string): Content {
  const state: Content[] = [
    { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2", "io.element.msc4362.encrypt_state_events": true } },
    ...boards.map((b) => ({ type: WIDGET_TYPE, state_key: b.id, content: widgetContent(b, config.lectern, me, config.icons[b.kind]) })),
  ];
  const layout = layoutWith(undefined, [], boards.map((b) => b.id));
  if (layout) state.push({ type: LAYOUT_TYPE, state_key: "", content: layout });
  return {
    name,
    preset: "private_chat",
    visibility: "private",
    ...(roomVersion !== "" && { room_version: roomVersion }),
    power_level_content_override: classroomLevels(me, config.companion, roomVersion),
    initial_state: state,
  };
}

function inviteStep({ client: { server }, config }: Actor, room: () => string): Step {
  return {
    id: "invite",
    label: { key: "step.invite" },
    run: async () => {
      await server.invite(room(), config.companion);
      return undefined;
    },
  };
}

function joinStep({ client, config }: Actor, room: () => string): Step {
  const params = { seconds: ANSWER_MS / 1000, server: serverOf(config.companion), own: serverOf(client.me) };
  const { server } = client;
  let tried = false;
  return {
    id: "joined",
    label: { key: "step.joined" },
    needs: ["invite"],
    run: async () => {
      // If it was declined; and over federation in any case: there a refusal can get lost, which leaves the invitation open for ever (SPEC AD5).
      if (tried) await server.invite(room(), config.companion, params.server !== params.own);
      tried = true;
      for (const end = Date.now() + ANSWER_MS; ; await client.changed(1_000)) {
        const membership = (await server.state(room(), "m.room.member", config.companion))?.["membership"];
        if (membership === "join") return undefined;
        if (membership !== "invite") throw new StepProblem({ key: "step.declined", params });
        if (Date.now() > end) throw new StepProblem({ key: params.server === params.own ? "step.noAnswer" : "step.noAnswerAfar", params });
      }
    },
  };
}

function levelStep({ client, config }: Actor, roomId: string, powers: Powers): Step {
  return {
    id: "level",
    label: { key: "step.level", params: { level: neededLevel(powers) } },
    run: async () => {
      // As the homeserver has them now: somebody else may have changed them since the last /sync, and theirs must not be written over.
      const now = { ...powers, powerLevels: (await client.server.state(roomId, "m.room.power_levels")) ?? undefined };
      const how = grant(now, config.companion, client.me);
      if (how.kind === "rewrite") await client.server.empower(roomId, config.companion, how.level, how.content);
      if (how.kind !== "cannot") return undefined;
      const who = client.whoHas(roomId, how.atLeast, config.companion).join(", ");
      return { key: who === "" ? "step.levelNobody" : "step.levelCannot", params: { level: how.level, atLeast: how.atLeast, who } };
    },
  };
}

function layoutStep({ client }: Actor, roomId: string, ids: readonly string[]): Step {
  return {
    id: "layout",
    label: { key: "step.layout" },
    needs: [...ids],
    run: async () => {
      if (powerOf(client.powers(roomId), client.me) < stateLevel(client.powers(roomId), LAYOUT_TYPE)) return { key: "step.layoutCannot" };
      return await client.server.arrange(roomId, client.widgetIds(roomId), ids);
    },
  };
}

/** The events of a widget as the homeserver has them: usually one. Throws if it is gone. */
async function eventsOf({ client: { server } }: Actor, roomId: string, id: string): Promise<{ type: string; content: Content }[]> {
  const all = await Promise.all(WIDGET_EVENT_TYPES.map(async (type) => ({ type, content: (await server.state(roomId, type, id)) ?? {} })));
  const found = all.filter(({ content }) => typeof content["url"] === "string");
  if (found.length === 0) throw new StepProblem({ key: "boards.gone" });
  return found;
}

/** Gives a widget another name. Everything else of its event stays; the same name writes nothing. */
export async function renameWidget(actor: Actor, roomId: string, id: string, name: string): Promise<void> {
  for (const { type, content } of await eventsOf(actor, roomId, id)) await actor.client.server.put(roomId, type, id, { ...content, name });
}

/** Takes a widget out of the room; a board of ours is remembered in the event that does it. */
export async function removeWidget(actor: Actor, roomId: string, id: string): Promise<void> {
  for (const { type, content } of await eventsOf(actor, roomId, id)) {
    await actor.client.server.put(roomId, type, id, type === WIDGET_TYPE ? removal(boardOf(id, content, actor.config.lectern)) : {});
  }
}
