import { describe, expect, test } from 'vitest';
import { toLsn } from '../postgres/lsn.ts';
import { parseTimelineHistory, rootHistory } from '../postgres/timeline-history.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { decideStart, type StartPosition } from './start-position.ts';

const SIZE = 0x100000;
const at = (segment: number): bigint => BigInt(segment * SIZE);
/** Timeline 2 left timeline 1 within segment 16. */
const SECOND = parseTimelineHistory(toTimelineId(2), '1\t0/1000028\tpromoted\n');
/** Timeline 2 left timeline 1 exactly where segment 16 begins. */
const AT_BORDER = parseTimelineHistory(toTimelineId(2), '1\t0/1000000\tpromoted\n');

function start(
  history: typeof SECOND,
  last: Readonly<Record<number, number>>,
  slot = 0x500123,
): StartPosition {
  return decideStart({
    history,
    segmentBytes: SIZE,
    lastSegment: (timeline) => (last[timeline] === undefined ? null : BigInt(last[timeline])),
    slotLsn: toLsn(BigInt(slot)),
  });
}

describe('the receiver begins', () => {
  test("at the slot's segment when nothing is held", () => {
    expect(start(rootHistory(), {})).toEqual({ timeline: 1, lsn: at(5) });
  });

  test('behind the last whole segment, wherever the slot stands', () => {
    expect(start(rootHistory(), { 1: 9 })).toEqual({ timeline: 1, lsn: at(10) });
  });

  test('on the old timeline when that is not complete yet', () => {
    expect(start(SECOND, { 1: 9 })).toEqual({ timeline: 1, lsn: at(10) });
  });

  test('on the new timeline in the segment of the switch point', () => {
    expect(start(SECOND, { 1: 15 })).toEqual({ timeline: 2, lsn: at(16) });
  });

  test('not behind the switch point when the old timeline was received further than it', () => {
    expect(start(SECOND, { 1: 40 })).toEqual({ timeline: 2, lsn: at(16) });
    expect(start(AT_BORDER, { 1: 15 })).toEqual({ timeline: 2, lsn: at(16) });
    expect(start(AT_BORDER, { 1: 16 })).toEqual({ timeline: 2, lsn: at(16) });
  });

  test('behind what is held of the new timeline', () => {
    expect(start(SECOND, { 1: 40, 2: 17 })).toEqual({ timeline: 2, lsn: at(18) });
  });

  test("unmoved by a timeline that is not on the server's history", () => {
    expect(start(SECOND, { 1: 12, 3: 90 })).toEqual({ timeline: 1, lsn: at(13) });
  });
});
