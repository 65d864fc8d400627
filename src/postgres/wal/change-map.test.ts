import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader } from '../../lib/byte-reader.ts';
import { ByteWriter } from '../../lib/byte-writer.ts';
import { readChangeMap, writeChangeMap } from './change-map-codec.ts';
import { ChangeMap, type ForkIdentity } from './change-map.ts';

type Place = readonly [fork?: number, databaseOid?: number, tablespaceOid?: number];

const fork = (
  relfilenode: number,
  ...[number = 0, databaseOid = 5, tablespaceOid = 1663]: Place
): ForkIdentity => ({
  tablespaceOid,
  databaseOid,
  relfilenode,
  fork: number,
});

type Change =
  | { readonly kind: 'mark'; readonly fork: ForkIdentity; readonly block: number }
  | { readonly kind: 'limit'; readonly fork: ForkIdentity; readonly block: number }
  | { readonly kind: 'rewrite'; readonly databaseOid: number };

function mapOf(changes: readonly Change[]): ChangeMap {
  const map = new ChangeMap();
  for (const change of changes) {
    if (change.kind === 'mark') map.mark(change.fork, change.block);
    else if (change.kind === 'limit') map.limit(change.fork, change.block);
    else map.rewrite({ tablespaceOid: 1663, databaseOid: change.databaseOid });
  }
  return map;
}

function bytesOf(map: ChangeMap): Buffer {
  const writer = new ByteWriter();
  writeChangeMap(writer, map);
  return Buffer.from(writer.view());
}

const merged = (...maps: ChangeMap[]): ChangeMap => {
  const map = new ChangeMap();
  for (const other of maps) map.merge(other);
  return map;
};

/** Few relations, so that they meet; blocks near each other, and at both ends of what a fork can have. */
const anyFork = fc
  .tuple(
    fc.constantFrom(1, 16_384, 4_294_967_295),
    fc.constantFrom(0, 2, 3),
    fc.constantFrom(5, 6),
    fc.constantFrom(1663, 9),
  )
  .map((parts) => fork(...parts));
const anyBlock = fc.oneof(
  fc.nat(600),
  fc.integer({ min: 65_000, max: 66_000 }),
  fc.nat(4_294_967_294),
);
const anyChange: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ kind: fc.constant('mark' as const), fork: anyFork, block: anyBlock }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('limit' as const), fork: anyFork, block: anyBlock }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('rewrite' as const), databaseOid: fc.nat(9) }),
  },
);
const anyChanges = fc.array(anyChange, { maxLength: 400 });

function outcomeOf(bytes: Uint8Array): string {
  try {
    readChangeMap(new ByteReader(bytes));
    return 'read';
  } catch (error) {
    return error instanceof RangeError ? 'refused' : 'another error';
  }
}

describe('a change map', () => {
  test('lists what was marked below the limit block, and knows the lowest limit', () => {
    const relation = fork(16_384);
    const map = mapOf([
      { kind: 'mark', fork: relation, block: 7 },
      { kind: 'mark', fork: relation, block: 200_000 },
      { kind: 'limit', fork: relation, block: 100 },
      { kind: 'mark', fork: relation, block: 101 },
      { kind: 'limit', fork: relation, block: 150 },
      { kind: 'mark', fork: relation, block: 99 },
    ]);
    expect(map.limitBlock(relation)).toBe(100);
    expect([...map.changedBlocks(relation, 0, 2 ** 32)]).toEqual([7, 99]);
    expect([...map.changedBlocks(relation, 8, 99)]).toEqual([]);
    expect(map.limitBlock(fork(16_384, 2))).toBeNull();
    expect([...map.changedBlocks(fork(16_384, 0, 6), 0, 1000)]).toEqual([]);
  });

  test('tells forks apart by each part of their name', () => {
    const forks = [fork(7), fork(7, 2), fork(7, 0, 6), fork(7, 0, 5, 9), fork(8), fork(7 + 256)];
    const map = new ChangeMap();
    for (const [block, identity] of forks.entries()) {
      for (let turn = 0; turn < 3; turn += 1) map.mark(identity, block + turn * 10);
      for (const other of forks) map.mark(other, 1000);
    }
    for (const [block, identity] of forks.entries()) {
      expect([...map.changedBlocks(identity, 0, 1000)]).toEqual([block, block + 10, block + 20]);
    }
  });

  test('answers as a set of numbers would', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.nat(2000), fc.integer({ min: 60_000, max: 140_000 })), {
          maxLength: 1500,
        }),
        fc.nat(140_000),
        fc.nat(140_000),
        (blocks, one, other) => {
          const [begin, end] = [Math.min(one, other), Math.max(one, other)];
          const map = new ChangeMap();
          for (const block of blocks) map.mark(fork(1), block);
          const expected = [...new Set(blocks)]
            .filter((block) => block >= begin && block < end)
            .toSorted((first, second) => first - second);
          expect([...map.changedBlocks(fork(1), begin, end)]).toEqual(expected);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('of a whole relation takes no more memory than a bit per block', () => {
    const map = new ChangeMap();
    for (let block = 0; block < 1_000_000; block += 1) map.mark(fork(1), block);
    expect(map.changedBlocks(fork(1), 0, 2 ** 32).length).toBe(1_000_000);
    expect(bytesOf(map).length).toBeLessThan(1_000_000 / 8 + 70_000);
  });

  test('knows databases that are to be read whole', () => {
    const map = mapOf([{ kind: 'rewrite', databaseOid: 16_400 }]);
    expect(map.isRewritten(1663, 16_400)).toBe(true);
    expect(map.isRewritten(1664, 16_400)).toBe(false);
    expect(map.isRewritten(1663, 5)).toBe(false);
    expect(merged(map).isRewritten(1663, 16_400)).toBe(true);
  });

  test('is the same however changes are divided and merged', () => {
    fc.assert(
      fc.property(anyChanges, anyChanges, anyChanges, (first, second, third) => {
        const [a, b, c] = [mapOf(first), mapOf(second), mapOf(third)];
        const whole = bytesOf(mapOf([...first, ...second, ...third]));
        expect(bytesOf(merged(merged(a, b), c)).equals(whole)).toBe(true);
        expect(bytesOf(merged(a, merged(b, c))).equals(whole)).toBe(true);
        expect(bytesOf(merged(c, a, b, a)).equals(whole)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test('is not changed by what it was merged into', () => {
    const one = mapOf([{ kind: 'mark', fork: fork(1), block: 1 }]);
    const both = merged(one);
    both.mark(fork(1), 2);
    expect([...one.changedBlocks(fork(1), 0, 10)]).toEqual([1]);
  });

  test('survives a round trip through its stored form', () => {
    fc.assert(
      fc.property(anyChanges, (changes) => {
        const bytes = bytesOf(mapOf(changes));
        const reader = new ByteReader(bytes);
        expect(bytesOf(readChangeMap(reader)).equals(bytes)).toBe(true);
        expect(reader.remaining).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  test('in a stored form that was changed or cut throws RangeError and nothing else', () => {
    fc.assert(
      fc.property(
        anyChanges,
        fc.tuple(fc.nat(), fc.nat(255)),
        fc.boolean(),
        (changes, [place, value], isCut) => {
          const bytes = bytesOf(mapOf(changes));
          const at = place % bytes.length;
          bytes[at] = value;
          expect(outcomeOf(isCut ? bytes.subarray(0, at) : bytes)).not.toBe('another error');
        },
      ),
      { numRuns: 500 },
    );
  });
});
