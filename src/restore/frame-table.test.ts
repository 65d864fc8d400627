import { expect, test } from 'vitest';
import type { IndexedFrame } from '../repository/pack-index.ts';
import { FrameTable } from './frame-table.ts';

function frame(number: number, pageCount: number): IndexedFrame {
  return {
    number,
    // Beyond 32 bits, as in a pack that did not compress.
    offset: 5_000_000_000 + number * 1000,
    storedBytes: 900 + number,
    plainBytes: pageCount * 8192 + 100,
    pageCount,
    codec: number % 2 === 0 ? 'zstd' : 'none',
    hash: new Uint8Array(32).fill(number),
    runs: [{ kind: 'pages', path: 'base/5/1', from: 0, length: pageCount }],
    pageHashes: new Uint8Array(pageCount * 8).fill(100 + number),
  };
}

test('answers what the index said of each frame, without what a restore does not need', () => {
  const frames = [frame(0, 32), frame(1, 0), frame(2, 7)];
  const table = new FrameTable({ frames }, { pageHashes: true });
  const short = new FrameTable({ frames }, { pageHashes: false });
  expect(table.count).toBe(3);
  for (const { runs: _, ...wanted } of frames) {
    expect(table.frame(wanted.number)).toEqual(wanted);
    expect(short.frame(wanted.number)).toEqual({ ...wanted, pageHashes: new Uint8Array(0) });
  }
  expect(table.frame(3)).toBeUndefined();
});
