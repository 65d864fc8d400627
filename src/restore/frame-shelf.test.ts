import { expect, test } from 'vitest';
import { BufferPool } from './buffer-pool.ts';
import { FrameShelf, type HeldFrame } from './frame-shelf.ts';

function open(shelf: FrameShelf, key: string): HeldFrame {
  return shelf.open(key, 4, (slot) => {
    slot.fill(key.charCodeAt(0), 0, 4);
    return slot.subarray(0, 4);
  });
}

test('the frame used longest ago makes room for another', () => {
  const shelf = new FrameShelf(new BufferPool(), 2);
  const first = open(shelf, 'a');
  const second = open(shelf, 'b');
  expect(shelf.use(first)?.[0]).toBe(97);
  const third = open(shelf, 'c');
  expect([shelf.find('a'), shelf.find('b'), shelf.find('c')]).toEqual([first, null, third]);
  expect([shelf.use(first)?.[0], shelf.use(second), shelf.use(third)?.[0]]).toEqual([97, null, 99]);
});

test('a frame that was dropped gives its memory once, however often that is said', () => {
  const pool = new BufferPool();
  const shelf = new FrameShelf(pool, 2);
  const held = open(shelf, 'a');
  shelf.drop(held);
  shelf.drop(held);
  expect([shelf.find('a'), shelf.use(held)]).toEqual([null, null]);
  expect(pool.take(4)).toBe(held.slot);
  expect(pool.take(4)).not.toBe(held.slot);
});
