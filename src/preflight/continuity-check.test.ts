import { describe, expect, test } from 'vitest';
import { exampleManifest } from '../../test/support/stored-backup.ts';
import type { BackupRecord } from '../catalog/backup-catalog.ts';
import { readWalInventory, type WalInventory } from '../catalog/wal-inventory.ts';
import { formatLsn, toLsn, type Lsn } from '../postgres/lsn.ts';
import { formatSegmentName } from '../postgres/segment-name.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { walKeys } from '../repository/layout.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import { storeWalObject } from '../repository/wal-object.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import { judgeContinuity } from './continuity-check.ts';

const SIZE = 1024 * 1024;
const SERVER = 'shop';
const INCARNATION = {
  systemIdentifier: '7711169712404804592',
  majorVersion: 18,
  walSegmentBytes: SIZE,
  firstSeenAt: '2026-11-23T00:00:00.000Z',
};
const NAME = nameOfIncarnation(INCARNATION);

const at = (segment: number): Lsn => toLsn(BigInt(segment * SIZE));

type Stored = {
  /** Timeline and number of segments that are stored whole. */
  readonly segments: readonly (readonly [timeline: number, number: number])[];
  /** Gaps that a receiver recorded, from one segment's start to another's. */
  readonly gaps?: readonly (readonly [from: number, to: number])[];
  /** Where timeline 2 left timeline 1. */
  readonly fork?: number;
};

async function inventoryOf({ segments, gaps = [], fork }: Stored): Promise<WalInventory> {
  const store = openMemoryStore();
  const place = (timeline: number): Parameters<typeof walKeys.segment>[0] => ({
    server: SERVER,
    incarnation: NAME,
    timeline: toTimelineId(timeline),
  });
  for (const [timeline, number] of segments) {
    const segment = { timeline: toTimelineId(timeline), number: BigInt(number) };
    const key = walKeys.segment(place(timeline), formatSegmentName(segment, SIZE));
    await store.put(key, Buffer.alloc(1));
  }
  for (const [from, to] of gaps) {
    await store.put(walKeys.gap(place(1), at(from), at(to)), Buffer.alloc(1));
  }
  if (fork !== undefined) {
    await storeWalObject(store, {
      key: walKeys.history(SERVER, NAME, '00000002.history'),
      kind: 'timeline-history',
      plain: Buffer.from(`1\t${formatLsn(at(fork))}\tno recovery target specified\n`),
      level: 1,
    });
  }
  return await readWalInventory(store, { server: SERVER, incarnation: INCARNATION });
}

function backup(id: string, segment: number, damaged = false): BackupRecord {
  const timeline = toTimelineId(1);
  return {
    id: id as BackupId,
    incarnation: NAME,
    manifest: exampleManifest({ id: id as BackupId }),
    manifestKey: '',
    revision: 1,
    timeline,
    startLsn: toLsn(at(segment) + 0x28n),
    stopLsn: toLsn(at(segment) + 0x150n),
    stopTimeline: timeline,
    finishedAt: new Date('2026-11-23T00:00:00Z'),
    damaged,
  };
}

const FIRST = backup('20261123T010000Z-F', 1);
const SECOND = backup('20261123T020000Z-F', 5);

describe('WAL continuity', () => {
  test('passes when nothing is missing', async () => {
    const inventory = await inventoryOf({
      segments: [
        [1, 1],
        [1, 2],
      ],
    });
    expect(judgeContinuity(inventory, [FIRST])).toMatchObject({ passed: true });
  });

  test.each<[string, Stored]>([
    [
      'between segments',
      {
        segments: [
          [1, 1],
          [1, 2],
          [1, 4],
        ],
      },
    ],
    [
      'recorded, with nothing behind it yet',
      {
        segments: [
          [1, 1],
          [1, 2],
        ],
        gaps: [[3, 4]],
      },
    ],
  ])('fails with a gap behind the newest backup, %s: take a new one', async (_, stored) => {
    const finding = judgeContinuity(await inventoryOf(stored), [FIRST]);
    expect(finding).toMatchObject({
      passed: false,
      detail: expect.stringContaining(`from ${formatLsn(at(3))} to ${formatLsn(at(4))}`) as string,
      fix: expect.stringContaining('walnut backup shop') as string,
    });
  });

  test('passes, and still tells, once a sound backup begins behind the gap', async () => {
    const inventory = await inventoryOf({
      segments: [
        [1, 1],
        [1, 2],
        [1, 4],
        [1, 5],
      ],
    });
    expect(judgeContinuity(inventory, [FIRST, SECOND])).toMatchObject({
      passed: true,
      detail: expect.stringContaining(`all of it before backup ${SECOND.id}`) as string,
    });
    const damaged = backup(SECOND.id, 5, true);
    expect(judgeContinuity(inventory, [FIRST, damaged])).toMatchObject({ passed: false });
  });

  test('does not ask for WAL of a timeline behind the point where it was left', async () => {
    const segments: Stored['segments'] = [
      [1, 1],
      [1, 2],
      [1, 4],
      [2, 2],
      [2, 3],
    ];
    const inventory = await inventoryOf({ segments, fork: 2.5 });
    expect(judgeContinuity(inventory, [FIRST])).toMatchObject({
      passed: true,
      detail: expect.stringContaining('on a timeline left behind') as string,
    });
    const broken = await inventoryOf({ segments: [...segments, [2, 5]], fork: 2.5 });
    expect(judgeContinuity(broken, [FIRST])).toMatchObject({ passed: false });
  });

  test('has nothing to ask for without a backup', async () => {
    const inventory = await inventoryOf({
      segments: [
        [1, 1],
        [1, 3],
      ],
    });
    expect(judgeContinuity(inventory, [])).toMatchObject({ passed: true });
  });
});
