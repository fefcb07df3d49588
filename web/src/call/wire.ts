/** What the server says of a room's call, and what moderators decide about it (docs/protocol.md §9.3). */

export const SOURCES = ["microphone", "camera", "screen_share"] as const;
export type Source = (typeof SOURCES)[number];
/** How a source stands: not published, published and silent, heard or seen. */
export type Media = "off" | "muted" | "on";

/** One device that is in the call, or says so. */
export interface Device {
  readonly device: string;
  /** On this instance's call server; on another one; says that it is in the call and is not connected. */
  readonly where: "here" | "elsewhere" | "nowhere";
  /** The room's state says that it is in the call: others' clients show it. */
  readonly listed: boolean;
  readonly microphone: Media;
  readonly camera: Media;
  readonly screen_share: Media;
}

export interface Member {
  readonly user_id: string;
  readonly name: string;
  /** The homeserver of people of other instances, else "". */
  readonly external: string;
  readonly role: "moderator" | "participant";
  /** The asking person may decide about them. */
  readonly may_moderate: boolean;
  /** In the room. */
  readonly joined: boolean;
  readonly removed: boolean;
  /** What they may publish. */
  readonly sources: readonly Source[];
  readonly devices: readonly Device[];
}

/** Somebody who did not come through the token service. */
export interface Stranger {
  readonly identity: string;
  readonly kind: string;
}

export interface Call {
  readonly configured: true;
  readonly revision: number;
  /** The call server does not answer. */
  readonly down: boolean;
  /** For how long the call that was ended for all stays ended, ms. */
  readonly ended: number;
  readonly moderator: boolean;
  /** What people below moderators may publish. */
  readonly sources: readonly Source[];
  /** What the asking person may publish. */
  readonly mine: readonly Source[];
  /** An Element Call of this instance, "" for none. */
  readonly element_call: string;
  readonly user_id: string;
  readonly room_name: string;
  readonly members: readonly Member[];
  readonly strangers: readonly Stranger[];
}

export type Answer = Call | { readonly configured: false };

/** A moderator's decision. There is none that switches a microphone on. */
export type Act =
  | { readonly action: "mute" | "stop_video" | "stop_share"; readonly user_id: string }
  | { readonly action: "sources"; readonly user_id: string; readonly sources: readonly Source[] }
  | { readonly action: "remove" | "readmit" | "kick" | "ban"; readonly user_id: string }
  | { readonly action: "remove"; readonly identity: string }
  | { readonly action: "end" | "begin" };

export type Outcome = "enforced" | "requested" | "not_possible";

export interface Result {
  readonly outcome: Outcome;
  /** Of whom it is another one, by person. */
  readonly people?: Readonly<Record<string, Outcome>>;
  /** The other servers on which people publish, by person. */
  readonly foci?: Readonly<Record<string, readonly string[]>>;
  readonly changed: number;
  /** The room's timeline says who did it. */
  readonly noted: boolean;
  /** It outlives a restart of Lectern. */
  readonly kept: boolean;
}

/** Everybody below moderators. */
export const EVERYBODY = "*";
