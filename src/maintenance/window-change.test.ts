import { describe, expect, test } from 'vitest';
import type { RecoveryWindow } from '../catalog/recovery-window.ts';
import { toLsn } from '../postgres/lsn.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { lostMoments } from './window-change.ts';

const at = (day: number): Date => new Date(Date.UTC(2026, 10, day));

function window(timeline: number, from: number, to: number): RecoveryWindow {
  const lsns = { fromLsn: toLsn(1n), toLsn: toLsn(2n) };
  return { timeline: toTimelineId(timeline), from: at(from), to: at(to), ...lsns };
}

describe('lost moments', () => {
  test.each([
    ['nothing, when windows stay', [window(1, 1, 9)], [window(1, 1, 9)], []],
    ['the beginning of a window', [window(1, 1, 9)], [window(1, 5, 9)], [[1, 1, 5]]],
    [
      'what lies between backups that are kept',
      [window(1, 1, 20)],
      [window(1, 1, 2), window(1, 8, 9), window(1, 15, 20)],
      [
        [1, 2, 8],
        [1, 9, 15],
      ],
    ],
    ['a whole timeline', [window(1, 1, 4), window(2, 1, 9)], [window(2, 1, 9)], [[1, 1, 4]]],
    ['everything', [window(1, 3, 3)], [], [[1, 3, 3]]],
  ])('are %s', (...[, before, after, expected]) => {
    const lost = lostMoments({ before, after });
    expect(lost).toEqual(
      expected.map(([timeline, from = 0, to = 0]) => ({ timeline, from: at(from), to: at(to) })),
    );
  });
});
