/** Counters per lane and direction, for the diagnostics hook and for tests. */
export interface LaneCount {
  frames: number;
  bytes: number;
  /** Changes sent, or entries received. */
  changes: number;
}
export type LaneName = "socket" | "log" | "live";
export type Stats = Record<LaneName, { sent: LaneCount; received: LaneCount }> & {
  /** Moves to each lane, reconnections, entries asked for again, resets. */
  moves: { toSocket: number; toChannel: number };
  reconnects: number;
  gaps: number;
  resets: number;
};

const none = (): LaneCount => ({ frames: 0, bytes: 0, changes: 0 });
export function newStats(): Stats {
  const lane = () => ({ sent: none(), received: none() });
  return { socket: lane(), log: lane(), live: lane(), moves: { toSocket: 0, toChannel: 0 }, reconnects: 0, gaps: 0, resets: 0 };
}

export function count(c: LaneCount, bytes: number, changes = 0): void {
  c.frames++;
  c.bytes += bytes;
  c.changes += changes;
}
