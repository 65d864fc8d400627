import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeMapChunk, MapChunkEncoder, type MapEntry } from './map-chunk.ts';

const PACKS = [
  'shop/backup/20261122T191500Z-F/pack-000001',
  'shop/backup/20261122T191500Z-F/pack-000002',
];
const place = {
  pack: fc.constantFrom(...PACKS),
  frame: fc.nat(5000),
  position: fc.nat(31),
};
const facts = {
  path: fc.string({ minLength: 1, unit: 'grapheme' }),
  mode: fc.constantFrom(0o600, 0o640, 0o700),
  sizeBytes: fc.nat(2 ** 31 - 1),
  modifiedMs: fc.nat(2 ** 31 - 1),
};
const pageExtents = fc
  .array(fc.record({ gap: fc.nat(100), pages: fc.integer({ min: 1, max: 32 }), ...place }))
  .map((extents) => {
    let end = 0;
    return extents.map(({ gap, ...extent }) => {
      const firstBlock = end + gap;
      end = firstBlock + extent.pages;
      return { firstBlock, ...extent };
    });
  });
const identity = fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 }));
const entry: fc.Arbitrary<MapEntry> = fc.oneof(
  fc.record({ kind: fc.constant('relation' as const), ...facts, identity, extents: pageExtents }),
  fc.record({
    kind: fc.constant('file' as const),
    ...facts,
    identity,
    hash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    extents: fc.array(fc.record({ bytes: fc.nat(1_000_000), ...place })),
  }),
  fc.record({ kind: fc.constant('directory' as const), ...facts }),
  fc.record({ kind: fc.constant('link' as const), ...facts, target: fc.string() }),
);

function encode(entries: readonly MapEntry[], encoder = new MapChunkEncoder()): Buffer {
  encoder.clear();
  for (const one of entries) encoder.add(one);
  return encoder.encode();
}

describe('a map chunk', () => {
  test('survives a round trip', () => {
    fc.assert(
      fc.property(fc.array(entry), (entries) => {
        expect(decodeMapChunk(encode(entries), 'map-1')).toEqual(entries);
      }),
    );
  });

  test('is the same whatever its encoder held before', () => {
    const encoder = new MapChunkEncoder();
    fc.assert(
      fc.property(fc.array(entry), (entries) => {
        expect(encode(entries, encoder).equals(encode(entries))).toBe(true);
        expect(encoder.entries).toBe(entries.length);
        expect(encoder.firstPath).toBe(entries[0]?.path ?? null);
        expect(encoder.lastPath).toBe(entries.at(-1)?.path ?? null);
      }),
    );
  });

  test('cut anywhere, it is refused by name', () => {
    const [entries] = fc.sample(fc.array(entry, { minLength: 3 }), { numRuns: 1, seed: 5 });
    const plain = encode(entries ?? []);
    for (let length = 0; length < plain.length; length += 1) {
      expect(() => decodeMapChunk(plain.subarray(0, length), 'map-1')).toThrow('map-1');
    }
  });
});
