import { createHash, randomBytes } from 'node:crypto';

/** Numbers in [0, 1) that repeat for the same seed. */
export type Random = () => number;

/** The seed of this test run: `WALNUT_TEST_SEED`, or a new one. */
export function drawSeed(): string {
  return process.env['WALNUT_TEST_SEED'] ?? randomBytes(4).toString('hex');
}

/** A generator (mulberry32) whose numbers depend on `seed` alone. */
export function seededRandom(seed: string): Random {
  let state = createHash('sha256').update(seed).digest().readUInt32LE(0);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An integer from 0 to `limit - 1`. */
export function randomBelow(random: Random, limit: number): number {
  return Math.floor(random() * limit);
}

export function pickOne<T>(random: Random, choices: readonly T[]): T {
  const choice = choices[randomBelow(random, choices.length)];
  if (choice === undefined) throw new RangeError('pick one of no choices');
  return choice;
}

/** `count` of the choices, or all when there are not more, in their order. */
export function drawFrom<T>(choices: readonly T[], count: number, random: Random): T[] {
  const left = choices.map((_, index) => index);
  while (left.length > count) left.splice(randomBelow(random, left.length), 1);
  return choices.filter((_, index) => left.includes(index));
}
