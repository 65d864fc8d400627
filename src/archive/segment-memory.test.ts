import { describe, expect, test } from 'vitest';
import { toLsn } from '../postgres/lsn.ts';
import { formatSegmentName } from '../postgres/segment-name.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { SegmentMemory } from './segment-memory.ts';

const MB = 1024 * 1024;
const SIZE = 16 * MB;
const TIMELINE = toTimelineId(1);
const name = (number: number): string =>
  formatSegmentName({ timeline: TIMELINE, number: BigInt(number) }, SIZE);
const startOf = (number: number): bigint => BigInt(number) * BigInt(SIZE);
const bytes = (byte: number, length = SIZE): Buffer => Buffer.alloc(length, byte);

/** Fills the segments one after the other, as a stream does, and ends each. */
function fill(memory: SegmentMemory, numbers: readonly number[]): void {
  const stream = memory.ofTimeline(TIMELINE);
  for (const number of numbers) {
    stream?.copy(toLsn(startOf(number)), bytes(number));
    memory.finish(name(number));
  }
}

describe('the memory of segments', () => {
  test('puts WAL where it belongs in its segment and cuts it at the end', () => {
    const memory = new SegmentMemory(SIZE);
    const stream = memory.ofTimeline(TIMELINE);
    const start = startOf(5);
    stream?.copy(toLsn(start), bytes(1, SIZE - 3));
    const part = Buffer.from('abcdef');
    expect(String(stream?.copy(toLsn(start + BigInt(SIZE - 3)), part))).toBe('abc');
    expect(String(stream?.copy(toLsn(start + BigInt(SIZE)), part.subarray(3)))).toBe('def');
    expect(String(memory.filling(name(5))?.subarray(-3))).toBe('abc');
    expect(String(memory.filling(name(6))?.subarray(0, 3))).toBe('def');
  });

  test('holds whole segments until they are stored, as many as there is memory for', () => {
    const memory = new SegmentMemory(SIZE);
    fill(memory, [5, 6]);
    expect(memory.read(name(5))?.equals(bytes(5))).toBe(true);
    expect(memory.read(name(6))?.equals(bytes(6))).toBe(true);
    memory.forget(name(5));
    expect(memory.read(name(5))).toBeNull();
  });

  test('never takes the memory of the segment that is being stored', () => {
    const memory = new SegmentMemory(SIZE);
    fill(memory, [5]);
    const stored = memory.read(name(5));
    fill(memory, [6, 7, 8, 9]);
    expect(stored?.equals(bytes(5))).toBe(true);
    expect(memory.read(name(6))?.equals(bytes(6))).toBe(true);
    expect([7, 8].map((number) => memory.read(name(number)))).toEqual([null, null]);
  });

  test('rather fails than takes memory that is in use', () => {
    const memory = new SegmentMemory(SIZE);
    fill(memory, [5]);
    memory.read(name(5));
    const stream = memory.ofTimeline(TIMELINE);
    for (const number of [6, 7]) stream?.copy(toLsn(startOf(number)), bytes(number));
    expect(() => stream?.copy(toLsn(startOf(8)), bytes(8))).toThrow('one is read');
    expect(memory.read(name(5))?.equals(bytes(5))).toBe(true);
  });

  test('gives up what a stream before had begun', () => {
    const memory = new SegmentMemory(SIZE);
    for (let round = 0; round < 10; round += 1) {
      const stream = memory.ofTimeline(TIMELINE);
      stream?.copy(toLsn(startOf(5)), bytes(round, 100));
    }
    fill(memory, [5]);
    expect(memory.read(name(5))?.equals(bytes(5))).toBe(true);
  });

  // What was there before may be on its way to the disk, and was promised.
  test('refuses WAL that does not follow what came before', () => {
    const stream = new SegmentMemory(SIZE).ofTimeline(TIMELINE);
    stream?.copy(toLsn(startOf(5)), bytes(1, 100));
    expect(() => stream?.copy(toLsn(startOf(5)), bytes(2, 100))).toThrow('was due');
    expect(() => stream?.copy(toLsn(startOf(5) + 101n), bytes(2, 100))).toThrow('was due');
  });

  test.each([MB, 64 * MB, 1024 * MB])('holds no segments of %i bytes', (size) => {
    expect(new SegmentMemory(size).ofTimeline(TIMELINE)).toBeNull();
  });
});
