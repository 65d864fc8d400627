import { describe, expect, test } from 'vitest';
import { toLsn } from '../postgres/lsn.ts';
import { isSilent, isStatusDue, SILENCE_MS_MAX, STATUS_INTERVAL_MS } from './status-timing.ts';

const IDLE = {
  nowMs: 1_000_000,
  lastSentMs: 1_000_000 - 1,
  reportedLsn: toLsn(100n),
  durableLsn: toLsn(100n),
  isRequested: false,
};

describe('a status report', () => {
  test('is not due while nothing is new', () => expect(isStatusDue(IDLE)).toBe(false));

  test('is due at once when more is durable: a commit may wait', () => {
    expect(isStatusDue({ ...IDLE, durableLsn: toLsn(101n) })).toBe(true);
  });

  test('is due at once when the server asks: its shutdown may wait', () => {
    expect(isStatusDue({ ...IDLE, isRequested: true })).toBe(true);
  });

  test('is due from time to time, so that the server knows that we live', () => {
    expect(isStatusDue({ ...IDLE, lastSentMs: IDLE.nowMs - STATUS_INTERVAL_MS })).toBe(true);
  });
});

describe('a server that says nothing', () => {
  test.each([
    [SILENCE_MS_MAX, true, false],
    [SILENCE_MS_MAX + 1, true, true],
    // Who does not read hears nothing.
    [SILENCE_MS_MAX * 10, false, false],
  ])('for %i ms while we read: %s, is given up: %s', (silenceMs, isReading, expected) => {
    expect(isSilent({ nowMs: silenceMs, lastHeardMs: 0, isReading })).toBe(expected);
  });
});
