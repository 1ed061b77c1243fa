/**
 * insertId: a row whose id the table has seen within about a minute is dropped, without a word. Best effort: the service
 * promises nothing, so a share of the repeats may be let through on purpose.
 */
export class InsertIds {
  /** Insertion order is the order of time: the oldest stand first. */
  private readonly seen = new Map<string, number>();
  private readonly windowMs: number;
  private readonly missRate: number;
  private readonly random: () => number;

  constructor(windowMs: number, missRate: number, random: () => number) {
    this.windowMs = windowMs;
    this.missRate = missRate;
    this.random = random;
  }

  /** Whether the row is to be written; remembers its id. */
  admit(id: string, now: number): boolean {
    for (const [old, at] of this.seen) {
      if (at + this.windowMs > now) break;
      this.seen.delete(old);
    }
    if (!this.seen.has(id)) {
      this.seen.set(id, now);
      return true;
    }
    return this.missRate > 0 && this.random() < this.missRate;
  }
}

/** Mulberry32: numbers in [0, 1) that a seed repeats. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
