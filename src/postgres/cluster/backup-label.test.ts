import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { readClusterFixture } from '../../../test/fixtures/cluster/read-fixture.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import { SUPPORTED_MAJORS } from '../version.ts';
import { parseBackupLabel } from './backup-label.ts';

const LINES = {
  start: 'START WAL LOCATION: 16/B3000028 (file 0000000300000016000000B3)',
  checkpoint: 'CHECKPOINT LOCATION: 16/B3000060',
  method: 'BACKUP METHOD: streamed',
  from: 'BACKUP FROM: standby',
  time: 'START TIME: 2026-11-22 18:39:31 CET',
  label: 'LABEL: night: 3',
  timeline: 'START TIMELINE: 3',
};

function label(changes: Partial<Record<keyof typeof LINES, string>> = {}): Buffer {
  return Buffer.from(
    Object.values({ ...LINES, ...changes })
      .map((line) => `${line}\n`)
      .join(''),
  );
}

describe('parsing a backup_label', () => {
  test.each(SUPPORTED_MAJORS)('reads that of version %i and keeps its bytes', (major) => {
    const bytes = readClusterFixture(major, 'backup_label');
    const parsed = parseBackupLabel(bytes);
    expect(parsed).toMatchObject({
      startTimeline: 1,
      method: 'streamed',
      from: 'primary',
      label: 'walnut "fixture"',
      incrementalFrom: null,
    });
    expect(parsed.startLsn % (16n * 1024n * 1024n)).toBe(0x28n);
    expect(parsed.checkpointLsn).toBeGreaterThan(parsed.startLsn);
    expect(parsed.startSegment).toMatch(/^00000001000000000000000[234]$/);
    expect(Buffer.from(parsed.bytes).equals(bytes)).toBe(true);
  });

  test('reads that of a standby on another timeline', () => {
    expect(parseBackupLabel(label())).toMatchObject({
      startLsn: 0x16_b300_0028n,
      startSegment: '0000000300000016000000B3',
      checkpointLsn: 0x16_b300_0060n,
      startTimeline: 3,
      from: 'standby',
      startTime: '2026-11-22 18:39:31 CET',
      label: 'night: 3',
    });
  });

  test('reads LSNs padded with zeros, and master for primary', () => {
    const parsed = parseBackupLabel(
      label({
        start: 'START WAL LOCATION: 0/03000028 (file 000000030000000000000003)',
        checkpoint: 'CHECKPOINT LOCATION: 0/03000060',
        from: 'BACKUP FROM: master',
      }),
    );
    expect(parsed).toMatchObject({ startLsn: 0x300_0028n, from: 'primary' });
  });

  test('knows an incremental of PostgreSQL by its last lines', () => {
    const text = `${label().toString()}INCREMENTAL FROM LSN: 0/9000028\nINCREMENTAL FROM TLI: 2\n`;
    expect(parseBackupLabel(Buffer.from(text)).incrementalFrom).toEqual({
      lsn: 0x900_0028n,
      timeline: 2,
    });
  });

  test('a label with line breaks does not overrule the other fields', () => {
    const parsed = parseBackupLabel(
      label({ label: 'LABEL: x\nBACKUP METHOD: pg_rewind\nSTART WAL LOCATION: 0/0' }),
    );
    expect(parsed).toMatchObject({ method: 'streamed', startLsn: 0x16_b300_0028n });
  });

  test.each([
    ['no start', { start: 'X: 1' }, /START WAL LOCATION is missing/],
    ['a start without file', { start: 'START WAL LOCATION: 0/28' }, /START WAL LOCATION is unread/],
    ['a start too long', { start: LINES.start.replace('16/B3', '123456789/B3') }, /is unreadable/],
    ['no checkpoint', { checkpoint: '' }, /CHECKPOINT LOCATION is missing/],
    ['a broken checkpoint', { checkpoint: 'CHECKPOINT LOCATION: x' }, /CHECKPOINT LOCATION is un/],
    ['no method', { method: '' }, /BACKUP METHOD is missing/],
    ['an unknown origin', { from: 'BACKUP FROM: moon' }, /BACKUP FROM is "moon"/],
    ['no timeline', { timeline: '' }, /START TIMELINE is missing/],
    ['timeline 0', { timeline: 'START TIMELINE: 0' }, /START TIMELINE is unreadable/],
    ['two timelines', { timeline: 'START TIMELINE: 2' }, /timeline 2 in a file of timeline 3/],
  ])('refuses one with %s', (_what, changes, reason) => {
    expect(() => parseBackupLabel(label(changes))).toThrow(reason);
  });

  test('a cut or a flipped bit ends in a label or a named error', () => {
    const whole = label();
    fc.assert(
      fc.property(fc.nat(whole.length), fc.nat(whole.length * 8 - 1), (length, bit) => {
        const broken = Buffer.from(whole);
        broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(isLabelOrNamedError(broken)).toBe(true);
        expect(isLabelOrNamedError(whole.subarray(0, length))).toBe(true);
      }),
    );
    // 'START TIMELINE: 3' is the last line: nothing shorter is complete.
    expect(() => parseBackupLabel(whole.subarray(0, whole.length - 2))).toThrow(WalnutError);
  });
});

function isLabelOrNamedError(bytes: Uint8Array): boolean {
  try {
    return parseBackupLabel(bytes).startTimeline > 0;
  } catch (error) {
    return error instanceof WalnutError;
  }
}
