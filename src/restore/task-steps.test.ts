import { describe, expect, test } from 'vitest';
import type { IndexedFrame } from '../repository/pack-index.ts';
import type { Placement } from './placement.ts';
import { rangesOf, stepsOverFrame, type Step, type WantedFrame } from './task-steps.ts';

const PAGE = 8192;

function frame(pack: string, number: number, pages: number): WantedFrame {
  const indexed = {
    number,
    offset: 96 + number * 1000,
    storedBytes: 900,
    plainBytes: pages * PAGE,
    pageCount: pages,
    codec: 'zstd' as const,
    hash: new Uint8Array(32),
    runs: [],
    pageHashes: new Uint8Array(0),
  } satisfies IndexedFrame;
  return {
    key: `${pack}:${number}`,
    pack,
    frame: indexed,
    uses: 0,
    usedBytes: 0,
    range: -1,
    held: null,
  };
}

/** Pages `position` … of a frame for blocks `block` … of a file of a hundred. */
function step(
  wanted: WantedFrame,
  place: { readonly block: number; readonly position: number; readonly pages: number },
  path = 'base/5/1',
): Step {
  wanted.uses += 1;
  const placement: Placement = {
    path,
    fileBytes: 100 * PAGE,
    pack: wanted.pack,
    frame: wanted.frame.number,
    frameOffset: place.position * PAGE,
    fileOffset: place.block * PAGE,
    bytes: place.pages * PAGE,
    hash: null,
    compare: false,
  };
  return { placement, wanted };
}

/** Blocks 10 to 17 are a frame's, but 12 and 15 and 16, which are those of later backups. */
function story(): { readonly older: WantedFrame; readonly newer: WantedFrame; steps: Step[] } {
  const older = frame('full', 0, 8);
  const newer = frame('incremental', 0, 32);
  const steps = [
    step(older, { block: 10, position: 0, pages: 2 }),
    step(newer, { block: 12, position: 5, pages: 1 }),
    step(older, { block: 13, position: 3, pages: 2 }),
    step(newer, { block: 15, position: 6, pages: 2 }),
    step(older, { block: 17, position: 7, pages: 1 }),
  ];
  return { older, newer, steps };
}

describe('steps over a frame', () => {
  test('are its own pages and those that others have in their place', () => {
    const { steps } = story();
    expect(stepsOverFrame(steps, 0)).toBe(5);
    expect(stepsOverFrame(steps, 1)).toBe(0);
    expect(stepsOverFrame(steps.slice(0, 4), 0)).toBe(0);
  });

  test('may end with pages of others, but not beyond the frame', () => {
    const { newer, steps } = story();
    const last = { block: 17, position: 8, pages: 1 };
    const { older, steps: again } = story();
    older.uses -= 1;
    expect(stepsOverFrame([...again.slice(0, 4), step(newer, last)], 0)).toBe(5);
    expect(stepsOverFrame([...again.slice(0, 4), step(newer, { ...last, pages: 2 })], 0)).toBe(0);
    expect(stepsOverFrame([...steps.slice(0, 4), step(newer, last)], 0)).toBe(0);
  });

  test.each([
    ['a gap', (steps: Step[]) => steps.toSpliced(1, 1)],
    [
      'zero pages',
      ([first, second, ...rest]: Step[]) => [first, { ...second, wanted: null }, ...rest],
    ],
    [
      'another file',
      ([first, second, ...rest]: Step[]) => [
        first,
        { ...second, placement: { ...second?.placement, path: 'base/5/2' } },
        ...rest,
      ],
    ],
    [
      'a page of its own at another place',
      ([first, second, third, ...rest]: Step[]) => [
        first,
        second,
        { ...third, placement: { ...third?.placement, frameOffset: 4 * PAGE } },
        ...rest,
      ],
    ],
    [
      'an end of the file before that of the frame',
      ([first, ...rest]: Step[]) => [
        { ...first, placement: { ...first?.placement, fileBytes: 17 * PAGE } },
        ...rest,
      ],
    ],
  ])('are none with %s', (_, change) => {
    expect(stepsOverFrame(change(story().steps) as Step[], 0)).toBe(0);
  });

  test('are none while another place needs the frame too', () => {
    const { older, steps } = story();
    older.uses += 1;
    expect(stepsOverFrame(steps, 0)).toBe(0);
  });
});

test('what is needed much later is read apart', () => {
  const [first, second, third] = [0, 1, 2].map((number) => frame('chain', number, 1));
  const between = Array.from({ length: 257 }, (_, number) => frame(`other-${number}`, 0, 1));
  const wanted = [first, second, ...between, third].filter((each) => each !== undefined);
  const ranges = rangesOf(wanted).filter(({ pack }) => pack === 'chain');
  expect(ranges.map(({ range }) => range.frames.length)).toEqual([2, 1]);
});

test('ranges come in the order in which they are needed first, and each frame knows its own', () => {
  const far = Array.from({ length: 3 }, (_, number) => frame('b', number, 1));
  const near = frame('a', 7, 1);
  const ranges = rangesOf([...far.slice(0, 1), near, ...far.slice(1)]);
  expect(ranges.map(({ pack, range }) => [pack, range.offset, range.frames.length])).toEqual([
    ['b', 96, 3],
    ['a', 7096, 1],
  ]);
  expect([...far, near].map(({ range }) => range)).toEqual([0, 0, 0, 1]);
});
