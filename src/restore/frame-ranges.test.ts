import { describe, expect, test } from 'vitest';
import type { IndexedFrame } from '../repository/pack-index.ts';
import { frameRanges } from './frame-ranges.ts';

describe('frameRanges', () => {
  const frame = (number: number, offset: number, storedBytes: number): IndexedFrame => ({
    number,
    offset,
    storedBytes,
    plainBytes: 1,
    pageCount: 0,
    codec: 'none',
    hash: new Uint8Array(32),
    runs: [],
    pageHashes: new Uint8Array(0),
  });
  const limits = { readBytesMax: 1000, holeBytesMax: 100 };

  test('neighbours and small holes are read at once, large holes and full reads divide', () => {
    const frames = [frame(0, 96, 236), frame(1, 396, 236), frame(2, 790, 136), frame(3, 1100, 50)];
    const ranges = frameRanges(frames, limits);
    expect(ranges.map(({ offset, length, frames: held }) => [offset, length, held.length])).toEqual(
      [
        [96, 894, 3],
        [1100, 114, 1],
      ],
    );
    expect(frameRanges([frame(0, 96, 10), frame(1, 300, 10)], limits)).toHaveLength(2);
  });

  test('a frame beyond the limit makes a range of its own', () => {
    const frames = [frame(0, 96, 5000), frame(1, 5160, 10)];
    expect(frameRanges(frames, limits).map(({ length }) => length)).toEqual([5064, 74]);
  });
});
