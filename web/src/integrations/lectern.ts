/** What this page asks of Lectern itself (docs/protocol.md §8). The token says who somebody is, and nothing more. */
import { StepProblem } from "../classroom/add/steps";

/** Where a widget is shown now: above the messages; not, because no place is free, Lectern lacks the power level, or the person does. */
export type Shown = "top" | "full" | "level" | "self";

export class Lectern {
  constructor(
    private readonly token: string,
    private readonly base = "/integrations/api",
  ) {}

  async whoAmI(): Promise<string> {
    const { user_id } = await this.request(`/account?scalar_token=${encodeURIComponent(this.token)}`);
    if (typeof user_id !== "string" || user_id === "") throw new StepProblem({ key: "im.lectern", params: { detail: "?" } });
    return user_id;
  }

  async show(room: string, widget: string): Promise<Shown> {
    const { shown } = await this.request("/show", { scalar_token: this.token, room_id: room, widget_id: widget });
    return shown === "top" || shown === "full" || shown === "level" ? shown : "self";
  }

  /** Throws StepProblem. */
  private async request(path: string, body?: unknown): Promise<Record<string, unknown>> {
    const answer = await fetch(this.base + path, {
      ...(body !== undefined && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    }).catch(() => undefined);
    const said = (await answer?.json().catch(() => ({}))) as Record<string, unknown> | undefined;
    if (!answer || !said) throw new StepProblem({ key: "im.lecternSilent" });
    if (answer.status === 401) throw new StepProblem({ key: "im.expired" });
    if (!answer.ok) throw new StepProblem({ key: "im.lectern", params: { detail: typeof said["message"] === "string" ? said["message"] : String(answer.status) } });
    return said;
  }
}
