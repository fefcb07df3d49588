/** A seeded generator (mulberry32): the same seed gives the same run, as far as the timing of real pages allows. */
export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  /** In [0, 1). */
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  chance(p) {
    return this.next() < p;
  }

  /** A whole number in [low, high]. */
  whole(low, high) {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  pick(list) {
    return list[Math.floor(this.next() * list.length)];
  }

  /** One of [weight, value] pairs. */
  weighted(pairs) {
    let at = this.next() * pairs.reduce((sum, [w]) => sum + w, 0);
    for (const [w, value] of pairs) if ((at -= w) < 0) return value;
    return pairs.at(-1)[1];
  }
}
