/** What went wrong, in the words of whoever refused. Matrix errors carry the server's sentence in `data.error`. */
export function reasonOf(err: unknown): string {
  if (!(err instanceof Error)) return String(err);
  const data = "data" in err && typeof err.data === "object" && err.data !== null ? (err.data as Record<string, unknown>) : {};
  if (typeof data["error"] === "string" && data["error"] !== "") return data["error"];
  if ("errcode" in err && typeof err.errcode === "string") return err.errcode;
  return err.message;
}
