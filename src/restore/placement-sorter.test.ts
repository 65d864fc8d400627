import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { IndexedFrame } from '../repository/pack-index.ts';
import { frameRanges } from './frame-ranges.ts';
import { readPlacements, type Placement } from './placement.ts';
import { PlacementSorter } from './placement-sorter.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'walnut-sorter-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function placement(path: string, frame: number): Placement {
  const hash = frame % 2 === 0 ? null : new Uint8Array(32).fill(frame % 256);
  const place = { frame, frameOffset: frame, fileOffset: 0, bytes: 100 };
  return { path, fileBytes: 8192, ...place, hash, compare: frame % 3 === 0 };
}

describe('PlacementSorter', () => {
  test.each([1_000_000, 500])(
    'with %d bytes of memory all placements come back by pack and frame',
    (memory) => {
      const spillPath = join(folder, 'spill');
      const sorter = new PlacementSorter({ spillPath, memoryBytesMax: memory });
      const added = new Map<string, Placement[]>();
      for (let number = 0; number < 1000; number += 1) {
        const pack = `pack-${(number * 7) % 3}`;
        const one = placement(`base/5/${number}`, (number * 31) % 600);
        sorter.add(pack, one);
        const range = `${pack}/${Math.floor(one.frame / 128)}`;
        added.set(range, [...(added.get(range) ?? []), one]);
      }
      expect(existsSync(spillPath)).toBe(memory === 500);
      const tasks = [...sorter.tasks()].map(({ pack, placements }) => {
        const decoded = readPlacements(placements);
        return { range: `${pack}/${Math.floor((decoded[0]?.frame ?? 0) / 128)}`, decoded };
      });
      expect(tasks.map(({ range }) => range)).toEqual([...added.keys()].toSorted());
      for (const { range, decoded } of tasks) expect(decoded).toEqual(added.get(range));
      sorter.close();
      expect(existsSync(spillPath)).toBe(false);
    },
  );
});

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
