import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { readClusterFixture } from '../../test/fixtures/cluster/read-fixture.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { parseLsn, toLsn } from './lsn.ts';
import {
  extentOf,
  formatTimelineHistory,
  historyFileName,
  isOnHistory,
  parseHistoryFileName,
  parseTimelineHistory,
  rootHistory,
  switchPointOf,
  timelineAt,
  timelinesOf,
} from './timeline-history.ts';
import { toTimelineId } from './timeline-id.ts';
import { SUPPORTED_MAJORS } from './version.ts';

const one = toTimelineId(1);
const two = toTimelineId(2);
const four = toTimelineId(4);

/** 1 until 0/300, 2 until 0/500, then 4. Timeline 3 is somebody else's. */
const history = parseTimelineHistory(four, '1\t0/300\tfirst\n\n2\t0/500\tsecond\n');

describe('parsing a timeline history', () => {
  test.each(SUPPORTED_MAJORS)('reads and writes the file of a server of version %i', (major) => {
    const content = readClusterFixture(major, '00000003.history');
    const real = parseTimelineHistory(toTimelineId(3), content);
    expect(real.ancestors.map(({ timeline }) => timeline)).toEqual([1, 2]);
    expect(real.ancestors.map(({ reason }) => reason)).toEqual([
      'no recovery target specified',
      'no recovery target specified',
    ]);
    expect(formatTimelineHistory(real)).toBe(content.toString());
  });

  test('skips comments and blank lines, and needs no reason', () => {
    const text = '# made by hand\n\n   \n 1  16/B374D848 \n';
    expect(parseTimelineHistory(two, text).ancestors).toEqual([
      { timeline: 1, end: parseLsn('16/B374D848'), reason: '' },
    ]);
  });

  test.each([
    ['text', 'hello\n', /line 1/],
    ['a missing switch point', '1\n', /line 1/],
    ['a switch point without slash', '1\t300\tx\n', /line 1/],
    ['timeline 0', '0\t0/300\tx\n', /line 1/],
    ['a timeline beyond 32 bits', '4294967296\t0/300\tx\n', /line 1/],
    ['timelines that do not rise', '2\t0/300\tx\n2\t0/400\tx\n', /line 2: timeline 2 follows 2/],
    ['a timeline newer than its own', '5\t0/300\tx\n', /not older than 4/],
    ['a switch point that goes back', '1\t0/300\tx\n2\t0/200\tx\n', /before the last one/],
  ])('refuses %s', (_what, text, reason) => {
    expect(() => parseTimelineHistory(four, text)).toThrow(reason);
    expect(() => parseTimelineHistory(four, text)).toThrow(WalnutError);
  });

  test('survives any flipped bit with a history or a named error', () => {
    const content = readClusterFixture(18, '00000003.history');
    fc.assert(
      fc.property(fc.nat(content.length * 8 - 1), (bit) => {
        const broken = Buffer.from(content);
        broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(isHistoryOrNamedError(broken)).toBe(true);
      }),
    );
  });

  test('what was written is read back the same', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 1000 }), { maxLength: 20 }),
        fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { minLength: 20, maxLength: 20 }),
        (timelines, positions) => {
          const ends = positions.toSorted((a, b) => (a < b ? -1 : 1));
          const ancestors = timelines
            .toSorted((a, b) => a - b)
            .map((timeline, index) => ({
              timeline: toTimelineId(timeline),
              end: toLsn(ends[index] ?? 0n),
              reason: 'after LSN 0/1',
            }));
          const written = { timeline: toTimelineId(1001), ancestors };
          expect(parseTimelineHistory(written.timeline, formatTimelineHistory(written))).toEqual(
            written,
          );
        },
      ),
    );
  });
});

describe('following a timeline history', () => {
  test.each([
    ['0/0', 1],
    ['0/2FF', 1],
    ['0/300', 2],
    ['0/4FF', 2],
    ['0/500', 4],
    ['FFFFFFFF/FFFFFFFF', 4],
  ])('the byte at %s belongs to timeline %i', (lsn, timeline) => {
    expect(timelineAt(history, parseLsn(lsn))).toBe(timeline);
  });

  test('knows where each ancestor was left, and nothing of strangers', () => {
    expect(switchPointOf(history, one)).toBe(0x300n);
    expect(switchPointOf(history, two)).toBe(0x500n);
    expect(switchPointOf(history, four)).toBeNull();
    expect(switchPointOf(history, toTimelineId(3))).toBeNull();
    expect(extentOf(history, two)).toEqual({ start: 0x300n, end: 0x500n });
    expect(extentOf(history, four)).toEqual({ start: 0x500n, end: null });
    expect(extentOf(history, toTimelineId(3))).toBeNull();
    expect(timelinesOf(history)).toEqual([1, 2, 4]);
  });

  test.each([
    [1, ['0/100', '0/300'], true],
    [1, ['0/100', '0/301'], false],
    [1, ['0/300', '0/300'], true],
    [2, ['0/300', '0/500'], true],
    [2, ['0/200', '0/400'], false],
    [2, ['0/400', '0/501'], false],
    [3, ['0/300', '0/400'], false],
    [4, ['0/500', '9/0'], true],
    [4, ['0/400', '9/0'], false],
    [4, ['0/600', '0/500'], false],
    [5, ['0/600', '0/700'], false],
  ] as const)('a range of timeline %i, %j, is on it: %s', (timeline, [start, end], expected) => {
    const range = { timeline: toTimelineId(timeline), start: parseLsn(start), end: parseLsn(end) };
    expect(isOnHistory(history, range)).toBe(expected);
  });

  test('a cluster never promoted has all its WAL on timeline 1', () => {
    expect(timelineAt(rootHistory(), parseLsn('0/1'))).toBe(1);
    expect(
      isOnHistory(rootHistory(), { timeline: one, start: toLsn(0n), end: toLsn(2n ** 64n - 1n) }),
    ).toBe(true);
  });

  test('history file names go there and back', () => {
    expect(historyFileName(toTimelineId(0x1a))).toBe('0000001A.history');
    expect(parseHistoryFileName('0000001A.history')).toBe(0x1a);
    expect(parseHistoryFileName('00000000.history')).toBeNull();
    expect(parseHistoryFileName('0000001a.history')).toBeNull();
    expect(parseHistoryFileName('0000001A.history.tmp')).toBeNull();
  });
});

function isHistoryOrNamedError(bytes: Uint8Array): boolean {
  try {
    const { ancestors } = parseTimelineHistory(toTimelineId(3), bytes);
    return ancestors.every(({ timeline }) => timeline < 3);
  } catch (error) {
    return error instanceof WalnutError;
  }
}
