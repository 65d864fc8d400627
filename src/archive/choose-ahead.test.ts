import { describe, expect, test } from 'vitest';
import { AHEAD_FILES_MAX, chooseAhead } from './choose-ahead.ts';

const SEGMENT_BYTES: number = 16 * 1024 * 1024;

function segment(number: number, timeline = 1): string {
  const hexadecimal = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');
  return `${hexadecimal(timeline)}00000000${hexadecimal(number)}`;
}

function choose(names: readonly string[], segmentBytes = SEGMENT_BYTES): string[] {
  return chooseAhead(names, { asked: segment(1), segmentBytes });
}

describe('what is pushed ahead', () => {
  test('is what waits, in the order in which PostgreSQL will ask', () => {
    const waiting = [
      segment(3),
      segment(1),
      `${segment(2)}.00000028.backup`,
      segment(2, 2),
      '00000003.history',
      segment(2),
      '00000002.history',
    ];
    expect(choose(waiting.map((name) => `${name}.ready`))).toEqual([
      '00000002.history',
      '00000003.history',
      segment(2),
      `${segment(2)}.00000028.backup`,
      segment(3),
      segment(2, 2),
    ]);
  });

  test('is nothing that is archived already, that is partial, or that is no WAL', () => {
    const names = [`${segment(2)}.done`, `${segment(2)}.partial.ready`, 'notes.ready', segment(3)];
    expect(choose([...names, '../x.ready', '.ready'])).toEqual([]);
  });

  test('ends at a number of files, and at a number of bytes', () => {
    const names = Array.from(
      { length: AHEAD_FILES_MAX + 10 },
      (_, index) => `${segment(index + 2)}.ready`,
    );
    expect(choose(names)).toHaveLength(AHEAD_FILES_MAX);
    expect(choose(names, 256 * 1024 * 1024)).toHaveLength(16);
    expect(choose(names, 1024 * 1024 * 1024)).toHaveLength(4);
  });
});
