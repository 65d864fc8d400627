import { describe, expect, test } from 'vitest';
import { exampleManifest } from '../../test/support/stored-backup.ts';
import type { BackupRecord } from '../catalog/backup-catalog.ts';
import { parseLsn } from '../postgres/lsn.ts';
import { rootHistory, type TimelineHistory } from '../postgres/timeline-history.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from '../repository/backup-id.ts';
import type { Manifest } from '../repository/manifest.ts';
import { chooseParent, type ParentSearch } from './choose-parent.ts';

const INCARNATION = '7432109876543210987-18';
const LAYOUT = {
  blockBytes: 8192,
  segmentBlocks: 131_072,
  walSegmentBytes: 16 * 1024 * 1024,
  dataChecksumVersion: 1,
};

type Facts = {
  readonly id: string;
  readonly span: readonly [string, string];
  readonly timeline?: number;
  readonly incarnation?: string;
  readonly isDamaged?: boolean;
  readonly cluster?: Partial<Manifest['cluster']>;
};

function backup(facts: Facts): BackupRecord {
  const { id, span, timeline = 1, incarnation = INCARNATION, isDamaged = false } = facts;
  const type = id.endsWith('F') ? 'full' : 'incremental';
  const cluster = { ...exampleManifest({}).cluster, ...LAYOUT, ...facts.cluster };
  return {
    id: id as BackupId,
    incarnation,
    manifest: exampleManifest({ id: id as BackupId, type, cluster }),
    manifestKey: '',
    revision: 1,
    timeline: toTimelineId(timeline),
    startLsn: parseLsn(span[0]),
    stopLsn: parseLsn(span[1]),
    stopTimeline: toTimelineId(timeline),
    finishedAt: new Date(0),
    damaged: isDamaged,
  };
}

const FULL = backup({ id: '20261122T191500Z-F', span: ['0/2000028', '0/2000150'] });
const LATER = backup({ id: '20261122T201500Z-I', span: ['0/4000028', '0/4000150'] });
/** Timeline 2 left timeline 1 between the two. */
const AFTER_FAILOVER: TimelineHistory = {
  timeline: toTimelineId(2),
  ancestors: [{ timeline: toTimelineId(1), end: parseLsn('0/3000000'), reason: '' }],
};

function choose(backups: BackupRecord[], more: Partial<ParentSearch> = {}): unknown {
  const { parent, passedOver } = chooseParent({
    type: 'incremental',
    backups,
    incarnation: INCARNATION,
    history: rootHistory(),
    startLsn: parseLsn('0/6000028'),
    layout: LAYOUT,
    ...more,
  });
  return { parent: parent?.id ?? null, why: passedOver.map(({ reason }) => reason) };
}

describe('the parent', () => {
  test('of an incremental is the newest backup, of a differential the newest full one', () => {
    expect(choose([FULL, LATER])).toEqual({ parent: LATER.id, why: [] });
    expect(choose([FULL, LATER], { type: 'differential' })).toEqual({ parent: FULL.id, why: [] });
    expect(choose([])).toEqual({ parent: null, why: [] });
  });

  const cases: readonly (readonly [string, BackupRecord, string])[] = [
    [
      'damaged',
      backup({ id: LATER.id, span: ['0/4000028', '0/4000150'], isDamaged: true }),
      'damaged pages',
    ],
    [
      'of another life of the server',
      backup({ id: LATER.id, span: ['0/4000028', '0/4000150'], incarnation: '1-17' }),
      'earlier life',
    ],
    [
      'that ended behind the start of the new one, as with two backups of one restartpoint',
      backup({ id: LATER.id, span: ['0/4000028', '0/6000029'] }),
      'ended behind',
    ],
    [
      'from before data checksums were switched on',
      backup({
        id: LATER.id,
        span: ['0/4000028', '0/4000150'],
        cluster: { dataChecksumVersion: 0 },
      }),
      'checksums',
    ],
    [
      'with WAL segments of another size',
      backup({
        id: LATER.id,
        span: ['0/4000028', '0/4000150'],
        cluster: { walSegmentBytes: 2 ** 20 },
      }),
      'another size',
    ],
    [
      'with relation segments of another size',
      backup({
        id: LATER.id,
        span: ['0/4000028', '0/4000150'],
        cluster: { segmentBlocks: 65_536 },
      }),
      'another size',
    ],
    [
      'of a dead branch',
      backup({ id: LATER.id, span: ['0/4000028', '0/4000150'], timeline: 3 }),
      'history',
    ],
  ];

  test.each(cases)('is no backup %s', (_what, newest, reason) => {
    expect(choose([FULL, newest])).toEqual({
      parent: FULL.id,
      why: [expect.stringContaining(reason)],
    });
  });

  test('may lie on an older timeline, as long as that one was left behind its end', () => {
    expect(choose([FULL, LATER], { history: AFTER_FAILOVER })).toEqual({
      parent: FULL.id,
      why: [expect.stringContaining('history')],
    });
  });

  test('is none that reaches over the point where its timeline was left', () => {
    const over = backup({ id: FULL.id, span: ['0/2000028', '0/3000001'] });
    expect(choose([over], { history: AFTER_FAILOVER })).toEqual({
      parent: null,
      why: [expect.stringContaining('history')],
    });
    const just = backup({ id: FULL.id, span: ['0/2000028', '0/3000000'] });
    expect(choose([just], { history: AFTER_FAILOVER })).toMatchObject({ parent: FULL.id });
  });
});
