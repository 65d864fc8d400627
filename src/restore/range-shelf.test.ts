import { expect, test } from 'vitest';
import type { ObjectStore } from '../storage/object-store.ts';
import { BufferPool } from './buffer-pool.ts';
import { RangeShelf, type PackRange } from './range-shelf.ts';

const MB = 1024 * 1024;

/** Answers the low byte of each offset, counts the reads, and ends at `bytes`. */
function countingStore(bytes: number): { readonly store: ObjectStore; readonly reads: number[] } {
  const reads: number[] = [];
  const read = async (_key: string, offset: number, into: Uint8Array): Promise<number> => {
    reads.push(offset);
    const count = Math.max(0, Math.min(into.length, bytes - offset));
    for (let at = 0; at < count; at += 1) into[at] = (offset + at) / MB;
    await Promise.resolve();
    return count;
  };
  return { store: { read } as unknown as ObjectStore, reads };
}

function ranges(count: number, length: number): PackRange[] {
  return Array.from({ length: count }, (_, number) => ({
    pack: 'pack',
    range: { offset: number * length, length, frames: [{}, {}] as never },
  }));
}

test('ranges are read once each, a little ahead, and let go when their frames are opened', async () => {
  const { store, reads } = countingStore(100 * MB);
  const shelf = new RangeShelf(store, ranges(10, MB), new BufferPool());
  expect((await shelf.take(0)).bytes[0]).toBe(0);
  expect(reads).toEqual([0, MB, 2 * MB]);
  for (let number = 0; number < 10; number += 1) {
    for (let opened = 0; opened < 2; opened += 1) {
      const { offset, bytes } = await shelf.take(number);
      expect([offset, bytes.length, bytes[MB - 1]]).toEqual([number * MB, MB, number]);
      shelf.opened(number);
    }
  }
  await shelf.close();
  expect(reads.toSorted((a, b) => a - b)).toEqual(ranges(10, MB).map(({ range }) => range.offset));
  expect(shelf.readBytes).toBe(10 * MB);
});

test('what is held has a limit: a range that made room is read again', async () => {
  const { store, reads } = countingStore(100 * MB);
  const shelf = new RangeShelf(store, ranges(12, MB), new BufferPool());
  // Of each range one frame stays unopened, as where many backups share a stretch of a file.
  for (let number = 0; number < 12; number += 1) {
    await shelf.take(number);
    shelf.opened(number);
  }
  for (let number = 0; number < 12; number += 1) {
    expect((await shelf.take(number)).bytes[5]).toBe(number);
    shelf.opened(number);
  }
  await shelf.close();
  expect(reads.length).toBeGreaterThan(12);
  expect(reads.length).toBeLessThanOrEqual(24);
});

test('a pack that is cut gives what it has, and a range can be added', async () => {
  const { store } = countingStore(1000);
  const shelf = new RangeShelf(store, [], new BufferPool());
  const [only] = ranges(1, MB);
  const number = shelf.add(only ?? { pack: '', range: { offset: 0, length: 1, frames: [] } });
  expect((await shelf.take(number)).bytes.length).toBe(1000);
  await shelf.close();
});

test('a failed read is met when its range is due, not before', async () => {
  const read = async (_key: string, offset: number): Promise<number> => {
    if (offset > 0) throw new Error(`no ${offset}`);
    return MB;
  };
  const store = { read } as unknown as ObjectStore;
  const shelf = new RangeShelf(store, ranges(3, MB), new BufferPool());
  await shelf.take(0);
  await expect(shelf.take(1)).rejects.toThrow(`no ${MB}`);
  await shelf.close();
});
