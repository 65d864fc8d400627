import { describe, expect, test } from 'vitest';
import { toLsn } from '../lsn.ts';
import { rootHistory, type LsnRange, type TimelineHistory } from '../timeline-history.ts';
import { toTimelineId } from '../timeline-id.ts';
import { chooseSummaries } from './wal-summaries.ts';

const summary = (timeline: number, start: number, end: number): LsnRange => ({
  timeline: toTimelineId(timeline),
  start: toLsn(BigInt(start)),
  end: toLsn(BigInt(end)),
});

function chosen(
  available: readonly LsnRange[],
  { from, to, history = rootHistory() }: { from: number; to: number; history?: TimelineHistory },
): string[] | string {
  const span = { history, from: toLsn(BigInt(from)), to: toLsn(BigInt(to)) };
  const { summaries, missingFrom } = chooseSummaries(available, span);
  if (missingFrom !== null) return `missing from ${missingFrom}`;
  return summaries.map(({ timeline, start, end }) => `${timeline}:${start}-${end}`);
}

describe('the summaries of a range', () => {
  const available = [summary(1, 10, 20), summary(1, 30, 40), summary(1, 20, 30)];

  test('are those that touch it, in order', () => {
    expect(chosen(available, { from: 10, to: 40 })).toEqual(['1:10-20', '1:20-30', '1:30-40']);
    expect(chosen(available, { from: 15, to: 21 })).toEqual(['1:10-20', '1:20-30']);
    expect(chosen(available, { from: 15, to: 20 })).toEqual(['1:10-20']);
  });

  test('may overlap', () => {
    expect(
      chosen([summary(1, 10, 25), summary(1, 10, 12), summary(1, 20, 40)], { from: 11, to: 40 }),
    ).toEqual(['1:10-25', '1:20-40']);
  });

  test('must cover it from its beginning to its end without a hole', () => {
    expect(chosen(available, { from: 9, to: 20 })).toBe('missing from 9');
    expect(chosen(available, { from: 10, to: 41 })).toBe('missing from 40');
    expect(chosen([summary(1, 10, 20), summary(1, 21, 40)], { from: 10, to: 40 })).toBe(
      'missing from 20',
    );
    expect(chosen([], { from: 10, to: 11 })).toBe('missing from 10');
  });

  test('of nothing are none', () => {
    expect(chosen([], { from: 10, to: 10 })).toEqual([]);
  });

  test('follow the history, and never a timeline beyond its switch point', () => {
    const one = toTimelineId(1);
    const history = {
      timeline: toTimelineId(2),
      ancestors: [{ timeline: one, end: toLsn(35n), reason: '' }],
    };
    const child = summary(2, 35, 60);
    expect(chosen([...available, child], { from: 25, to: 50, history })).toEqual([
      '1:20-30',
      '1:30-40',
      '2:35-60',
    ]);
    expect(chosen(available, { from: 25, to: 36, history })).toBe('missing from 35');
    expect(chosen([summary(3, 10, 60)], { from: 25, to: 36, history })).toBe('missing from 25');
  });
});
