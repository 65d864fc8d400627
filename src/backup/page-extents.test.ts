import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PageExtent } from '../repository/map-chunk.ts';
import {
  appendExtent,
  clipExtents,
  mergeExtents,
  runsOf,
  subtractRuns,
  type BlockRun,
} from './page-extents.ts';

const BLOCKS_MAX = 120;

/** Sorted extents without overlaps, each in a frame of its own. */
const extentsIn = (pack: string): fc.Arbitrary<PageExtent[]> =>
  fc
    .array(fc.record({ gap: fc.nat(9), pages: fc.integer({ min: 1, max: 32 }), at: fc.nat(5) }))
    .map((list) => {
      let end = 0;
      return list.map(({ gap, pages, at }, frame) => {
        const firstBlock = end + gap;
        end = firstBlock + pages;
        return { firstBlock, pages, pack, frame, position: at };
      });
    });
const runs: fc.Arbitrary<BlockRun[]> = fc.uniqueArray(fc.nat(BLOCKS_MAX)).map((blocks) =>
  runsOf(
    Uint32Array.from(blocks).toSorted((one, other) => one - other),
    0,
  ),
);

/** Where each block comes from, as `pack/frame/position`. */
function placesOf(extents: readonly PageExtent[]): Map<number, string> {
  const places = new Map<number, string>();
  for (const { firstBlock, pages, pack, frame, position } of extents) {
    for (let page = 0; page < pages; page += 1) {
      expect(places.has(firstBlock + page)).toBe(false);
      places.set(firstBlock + page, `${pack}/${frame}/${position + page}`);
    }
  }
  return places;
}

function isSorted(extents: readonly PageExtent[]): boolean {
  return extents.every((extent, index) => {
    const before = extents[index - 1];
    return before === undefined || before.firstBlock + before.pages <= extent.firstBlock;
  });
}

describe('page extents', () => {
  test('a clip keeps the places of the blocks inside, and nothing else', () => {
    fc.assert(
      fc.property(extentsIn('a'), fc.nat(150), fc.nat(150), (extents, begin, end) => {
        const clipped = clipExtents(extents, begin, end);
        const expected = [...placesOf(extents)].filter(([block]) => block >= begin && block < end);
        expect([...placesOf(clipped)]).toEqual(expected);
      }),
    );
  });

  test('what is left without some runs keeps its places', () => {
    fc.assert(
      fc.property(extentsIn('a'), runs, (extents, taken) => {
        const isTaken = (block: number): boolean =>
          taken.some(({ first, count }) => block >= first && block < first + count);
        const left = subtractRuns(extents, taken);
        const expected = [...placesOf(extents)].filter(([block]) => !isTaken(block));
        expect([...placesOf(left)]).toEqual(expected);
        expect(isSorted(left)).toBe(true);
      }),
    );
  });

  test('merging what was left with what was read anew gives every block its newest place', () => {
    fc.assert(
      fc.property(extentsIn('old'), runs, (extents, taken) => {
        const fresh = taken.map(({ first, count }, frame) => ({
          firstBlock: first,
          pages: count,
          pack: 'new',
          frame,
          position: 0,
        }));
        const merged = mergeExtents(subtractRuns(extents, taken), fresh);
        const expected = new Map([...placesOf(extents), ...placesOf(fresh)]);
        expect(new Map(placesOf(merged))).toEqual(expected);
        expect(isSorted(merged)).toBe(true);
      }),
    );
  });

  test('pages that follow each other in file and frame become one extent', () => {
    const extents: PageExtent[] = [];
    const place = { pack: 'a', frame: 1 };
    appendExtent(extents, { ...place, firstBlock: 4, pages: 1, position: 7 });
    appendExtent(extents, { ...place, firstBlock: 5, pages: 2, position: 8 });
    appendExtent(extents, { ...place, firstBlock: 7, pages: 1, position: 11 });
    appendExtent(extents, { ...place, frame: 2, firstBlock: 8, pages: 1, position: 12 });
    expect(extents).toEqual([
      { ...place, firstBlock: 4, pages: 3, position: 7 },
      { ...place, firstBlock: 7, pages: 1, position: 11 },
      { ...place, frame: 2, firstBlock: 8, pages: 1, position: 12 },
    ]);
  });

  test('blocks become runs, shifted into their segment', () => {
    const blocks = Uint32Array.from([131_072, 131_073, 131_080]);
    expect(runsOf(blocks, -131_072)).toEqual([
      { first: 0, count: 2 },
      { first: 8, count: 1 },
    ]);
  });
});
