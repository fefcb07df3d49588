import { Session } from "../link/session";
import type { Act, Answer, Result } from "./wire";

const POLL_MS = 30_000; // the server answers after 20 s at the latest
const ACT_MS = 30_000; // some are done on two servers, one after the other

/** One person's session on a room's call. */
export class CallSession extends Session {
  private signing: Promise<string> | undefined;

  /** The list and what moderators decide ask at the same time: they sign in together. */
  override token(): Promise<string> {
    return (this.signing ??= super.token().finally(() => (this.signing = undefined)));
  }

  /** The room's call, as soon as it is another than the one of that revision; 0: at once. Throws Refused. */
  async call(seen: number): Promise<Answer> {
    return (await this.json("GET", `/v1/call?seen=${seen}`, await this.token(), undefined, POLL_MS)) as Answer;
  }

  /** Carries out a moderator's decision. Throws Refused. */
  async act(act: Act): Promise<Result> {
    return (await this.json("POST", "/v1/call/acts", await this.token(), act, ACT_MS)) as Result;
  }
}
