import { expect, test } from 'vitest';
import { TaskCutter } from './place-tasks.ts';
import { readPlacements, ZERO_PAGES, type Placement } from './placement.ts';

const MB = 1024 * 1024;

function placement(number: number, bytes: number): Placement {
  const hash = number % 2 === 0 ? null : new Uint8Array(32).fill(number % 256);
  const pack = number % 7 === 0 ? ZERO_PAGES : `shop/backup/${number % 5}/pack-1`;
  const place = { pack, frame: number, frameOffset: number, fileOffset: 0, bytes };
  const path = `base/5/${Math.floor(number / 3)}`;
  return { path, fileBytes: 8192, ...place, hash, compare: number % 3 === 0 };
}

function cut(count: number, bytes: number, cutter: TaskCutter): Placement[][] {
  const tasks: Placement[][] = [];
  const take = (): void => {
    const task = cutter.take();
    if (task !== null) tasks.push(readPlacements(task.placements));
  };
  for (let number = 0; number < count; number += 1) {
    cutter.add(placement(number, bytes));
    if (cutter.isFull) take();
  }
  take();
  take();
  return tasks;
}

test('placements come back in their order, cut by content', () => {
  const tasks = cut(1000, MB, new TaskCutter(100_000 * MB, 2));
  expect(tasks.flat()).toEqual(Array.from({ length: 1000 }, (_, each) => placement(each, MB)));
  expect(tasks.map(({ length }) => length)).toEqual([32, 32, 32, 48, 72, 108, 162, 243, 256, 15]);
});

test('tasks begin small, for which all wait, and end small, so that all workers end at the same time', () => {
  const lengths = cut(1000, MB, new TaskCutter(1000 * MB, 2)).map(({ length }) => length);
  expect(lengths.slice(0, 8)).toEqual([32, 32, 32, 48, 72, 108, 113, 94]);
  expect(lengths.slice(-6, -1)).toEqual(Array<number>(5).fill(4));
  expect(lengths.slice(6)).toEqual(lengths.slice(6).toSorted((first, second) => second - first));
  expect(cut(10, MB, new TaskCutter(10 * MB, 2)).length).toBe(3);
});

test('what comes beyond the bytes that were expected is cut finely', () => {
  const lengths = cut(100, MB, new TaskCutter(MB, 2)).map(({ length }) => length);
  expect(lengths).toEqual(Array<number>(25).fill(4));
});

test('tiny places are cut by their number', () => {
  const lengths = cut(20_000, 10, new TaskCutter(100_000 * MB, 1)).map(({ length }) => length);
  expect(lengths).toEqual([8192, 8192, 3616]);
});
