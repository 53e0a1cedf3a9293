import { randomBytes } from "node:crypto";

/** Randomness as an argument: the simulator passes a seeded one. */
export interface Random {
  /** Uniform in `[0, 1)`. */
  float(): number;
  bytes(count: number): Uint8Array;
}

export const systemRandom: Random = {
  float: () => randomBytes(4).readUInt32LE() / 2 ** 32,
  bytes: (count) => randomBytes(count),
};

/** Mulberry32: the same seed gives the same stream. For tests and simulations alone. */
export function seededRandom(seed: number): Random {
  let state = seed | 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  return {
    float: () => next() / 2 ** 32,
    bytes: (count) => Uint8Array.from({ length: count }, () => next() & 0xff),
  };
}
