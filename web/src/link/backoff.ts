/** Full jitter (docs/protocol.md §7): random between 0 and min(30 s, 0.5 s * 2^n), never below what the server asked for. Milliseconds. */
export function backoff(attempt: number, random: () => number, atLeast = 0): number {
  return Math.max(atLeast, random() * Math.min(30_000, 500 * 2 ** Math.min(attempt, 10)));
}
