import { randomFillSync } from 'node:crypto';

/** Randomness is handed in: one seed replays a failure. */
export interface Random {
  /** Uniform in [0, 1). */
  float(): number;
  /** Fills and returns `target`. */
  fill(target: Uint8Array): Uint8Array;
}

export const systemRandom: Random = {
  float: () => Math.random(),
  fill: target => randomFillSync(target),
};

/** mulberry32: small, fast, good enough for tests and simulations; never for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const float = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    float,
    fill(target) {
      for (let i = 0; i < target.length; i++) target[i] = Math.floor(float() * 256);
      return target;
    },
  };
}

/** A random (version 4) UUID as 16 bytes. */
export function uuidBytes(random: Random): Uint8Array {
  const bytes = random.fill(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes;
}
