import { describe, expect, test } from 'vitest';
import { exampleManifest } from '../../test/support/stored-backup.ts';
import { toLsn } from '../postgres/lsn.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from '../repository/backup-id.ts';
import type { BackupRecord } from './backup-catalog.ts';
import {
  keptByRules,
  windowBegin,
  type BackupFacts,
  type KeepReason,
  type RetentionPolicy,
} from './retention-policy.ts';

const NOW = new Date('2026-11-22T12:00:00Z');
const NONE: RetentionPolicy = {
  windowMs: null,
  keep: { full: null, daily: null, weekly: null, monthly: null, yearly: null },
  minimumRedundancy: 1,
};

/** A backup that ended at a time, written as `2026-11-22 02:00 F`. */
function backup(text: string, position: number): BackupRecord {
  const finishedAt = new Date(`${text.slice(0, 10)}T${text.slice(11, 16)}:00Z`);
  const id = `${text.slice(0, 10).replaceAll('-', '')}T${text.slice(11, 13)}0000Z-${text.at(-1)}`;
  const type = text.endsWith('F') ? 'full' : 'incremental';
  return {
    id: id as BackupId,
    incarnation: '1-18',
    manifest: exampleManifest({ id: id as BackupId, type }),
    manifestKey: '',
    revision: 1,
    timeline: toTimelineId(1),
    startLsn: toLsn(BigInt(position * 100)),
    stopLsn: toLsn(BigInt(position * 100 + 50)),
    stopTimeline: toTimelineId(1),
    finishedAt,
    damaged: false,
  };
}

function factsOf(texts: readonly string[], unsound: readonly number[] = []): BackupFacts {
  const backups = texts.map(backup);
  const lost = unsound.map((index): [BackupId, string] => [
    backups[index]?.id ?? ('' as BackupId),
    'damaged',
  ]);
  return { backups, unsound: new Map(lost), marks: new Map(), beingRead: new Set() };
}

function kept(
  policy: Partial<RetentionPolicy['keep']> & { windowMs?: number; minimumRedundancy?: number },
  facts: BackupFacts,
): [number, KeepReason[]][] {
  const { windowMs = null, minimumRedundancy = 1, ...keep } = policy;
  const whole = { windowMs, keep: { ...NONE.keep, ...keep }, minimumRedundancy };
  const reasons = keptByRules(whole, facts, NOW);
  return facts.backups.flatMap(({ id }, index): [number, KeepReason[]][] => {
    const own = reasons.get(id)?.filter((reason) => reason !== 'minimum-redundancy') ?? [];
    return own.length === 0 ? [] : [[index, own]];
  });
}

describe('a retention policy', () => {
  test('keeps the last backup of each of so many days that have one, in UTC', () => {
    const facts = factsOf([
      '2026-11-18 01:00 I',
      '2026-11-20 01:00 I',
      '2026-11-20 23:00 I',
      '2026-11-22 00:00 I',
    ]);
    expect(kept({ daily: 2 }, facts)).toEqual([
      [2, ['daily']],
      [3, ['newest', 'daily']],
    ]);
  });

  test('begins weeks on Mondays, also around the new year', () => {
    const facts = factsOf([
      '2025-12-28 23:00 I',
      '2025-12-29 00:00 I',
      '2026-01-04 23:00 I',
      '2026-01-05 00:00 I',
    ]);
    expect(kept({ weekly: 3 }, facts).map(([index]) => index)).toEqual([0, 2, 3]);
    expect(kept({ yearly: 5 }, facts).map(([index]) => index)).toEqual([1, 3]);
    expect(kept({ monthly: 1 }, facts).map(([index]) => index)).toEqual([3]);
  });

  test('does not count a backup that is not sound, in any rule', () => {
    const facts = factsOf(['2026-11-20 01:00 F', '2026-11-21 01:00 F', '2026-11-22 01:00 F'], [2]);
    expect(kept({ full: 1, daily: 1 }, facts)).toEqual([
      [1, ['newest', 'window', 'full', 'daily']],
      [2, ['window']],
    ]);
  });

  test('lets the window begin with the oldest full backup it keeps, when it has no length', () => {
    const facts = factsOf([
      '2026-11-01 01:00 F',
      '2026-11-10 01:00 F',
      '2026-11-12 01:00 I',
      '2026-11-20 01:00 F',
    ]);
    const policy = { ...NONE, keep: { ...NONE.keep, full: 2 } };
    expect(windowBegin(policy, facts, NOW)).toEqual(new Date('2026-11-10T01:00:00Z'));
    expect(kept({ full: 2 }, facts).map(([index]) => index)).toEqual([1, 2, 3]);
    expect(windowBegin({ ...policy, windowMs: 3_600_000 }, facts, NOW)).toEqual(
      new Date('2026-11-22T11:00:00Z'),
    );
  });

  test('keeps the newest by time and by position, which differ after a failover', () => {
    const [first, second] = ['2026-11-22 03:00 I', '2026-11-21 01:00 I'];
    expect(kept({ daily: 0 }, factsOf([first, second]))).toEqual([
      [0, ['newest']],
      [1, ['newest']],
    ]);
  });

  test('keeps everything while nothing is sound, and without any rule', () => {
    const facts = factsOf(['2020-01-01 01:00 F', '2021-01-01 01:00 F'], [0, 1]);
    expect(kept({ daily: 1 }, facts)).toEqual([
      [0, ['none-is-sound']],
      [1, ['none-is-sound']],
    ]);
    expect(kept({}, factsOf(['2020-01-01 01:00 F']))).toEqual([[0, ['no-policy']]]);
  });

  test('keeps so many of the newest whatever else it says', () => {
    const facts = factsOf(['2020-01-01 01:00 I', '2020-01-02 01:00 I', '2020-01-03 01:00 I']);
    const policy = { ...NONE, windowMs: 1, minimumRedundancy: 2 };
    expect([...keptByRules(policy, facts, NOW).keys()].length).toBe(2);
  });
});
