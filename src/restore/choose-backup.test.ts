import { beforeEach, describe, expect, test } from 'vitest';
import { expectedWal, FIXTURE_SEGMENT_BYTES } from '../../test/fixtures/wal/load.ts';
import { exampleManifest } from '../../test/support/stored-backup.ts';
import { makeFixtureArchive, type FixtureArchive } from '../../test/support/stored-wal.ts';
import type { BackupCatalog, BackupRecord } from '../catalog/backup-catalog.ts';
import { readWalInventory, type WalInventory } from '../catalog/wal-inventory.ts';
import { formatLsn, toLsn, type Lsn } from '../postgres/lsn.ts';
import { parseSegmentName, segmentStart } from '../postgres/segment-name.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { msToPostgresTime } from '../postgres/wal/postgres-time.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { incarnationName, walKeys } from '../repository/layout.ts';
import { chooseBackup, type BackupChoice } from './choose-backup.ts';
import type { RestoreRequest } from './restore-request.ts';
import type { RecoveryTarget } from './target.ts';

const MAJOR = 18;
const SEGMENTS = expectedWal(MAJOR).segments;
const [, , , LAST_NEEDED = ''] = SEGMENTS;
const SCOPE = {
  systemIdentifier: BigInt(expectedWal(MAJOR).systemIdentifier),
  majorVersion: MAJOR,
};
const NAME = incarnationName(SCOPE.systemIdentifier, SCOPE.majorVersion);
const NOW = new Date('2026-11-23T00:00:00Z');

let archive: FixtureArchive;

beforeEach(async () => {
  archive = await makeFixtureArchive(MAJOR);
});

/** A position in one of the fixtures' segments. */
function lsn(segment: number, offset: number): Lsn {
  const { number } = parseSegmentName(SEGMENTS[segment] ?? '', FIXTURE_SEGMENT_BYTES);
  return toLsn(segmentStart(number, FIXTURE_SEGMENT_BYTES) + BigInt(offset));
}

type BackupFacts = {
  readonly hour: number;
  readonly from: number;
  readonly to?: number;
  readonly timeline?: number;
  readonly damagedPages?: number;
};

/** A backup that lies within the fixtures' segments `from` to `to`. */
function backup(facts: BackupFacts): BackupRecord {
  const { hour, from, to = from, timeline = 1, damagedPages = 0 } = facts;
  const two = String(hour).padStart(2, '0');
  const id = `20261122T${two}0000Z-F` as BackupId;
  const manifest = exampleManifest({ id });
  return {
    id,
    incarnation: NAME,
    manifest: { ...manifest, totals: { ...manifest.totals, damagedPages } },
    manifestKey: '',
    revision: 1,
    timeline: toTimelineId(timeline),
    startLsn: lsn(from, 0x28),
    stopLsn: lsn(to, 0x150),
    stopTimeline: toTimelineId(timeline),
    finishedAt: new Date(`2026-11-22T${two}:30:00Z`),
    damaged: damagedPages > 0,
  };
}

const FIRST = backup({ hour: 1, from: 0 });
const SECOND = backup({ hour: 2, from: 3 });
const DAMAGED = backup({ hour: 3, from: 3, damagedPages: 2 });

async function inventory(...segments: number[]): Promise<WalInventory> {
  await archive.pushFixtures(segments.map((index) => SEGMENTS[index] ?? ''));
  return await readWalInventory(archive.store, archive.scope);
}

async function choose(
  wal: WalInventory,
  catalog: Partial<BackupCatalog>,
  wish: Partial<RestoreRequest> = {},
): Promise<BackupChoice> {
  const full = { server: 'shop', backups: [], unreadable: [], ...catalog };
  const target: RecoveryTarget = { kind: 'immediate' };
  return await chooseBackup(
    { store: archive.store, inventory: wal, catalog: full, now: NOW },
    { server: 'shop', backup: null, timeline: null, target, ...wish },
  );
}

const at = (time: string): RecoveryTarget => ({
  kind: 'time',
  timeUs: msToPostgresTime(Date.parse(time)),
  inclusive: true,
});

describe('choosing a backup', () => {
  test('takes the newest, and ends at its own end', async () => {
    const choice = await choose(await inventory(0, 1, 2, 3), { backups: [FIRST, SECOND] });
    expect(choice).toMatchObject({ backup: SECOND, passedOver: [] });
    expect(choice.end).toMatchObject({
      by: 'consistency',
      lastSegment: LAST_NEEDED,
    });
  });

  test('passes over newer backups that are damaged or unreadable, and says so', async () => {
    const unreadable = [{ id: '20261122T040000Z-F' as BackupId, reason: 'its hash is wrong' }];
    const wal = await inventory(0, 1, 2, 3);
    const choice = await choose(wal, { backups: [FIRST, DAMAGED], unreadable });
    expect(choice.backup).toBe(FIRST);
    expect(choice.passedOver).toEqual([
      { id: '20261122T040000Z-F', reason: 'its hash is wrong' },
      { id: DAMAGED.id, reason: 'it holds 2 damaged pages' },
    ]);
  });

  test('does not mention damaged backups that are older than the one it takes', async () => {
    const damaged = backup({ hour: 1, from: 0, damagedPages: 1 });
    const choice = await choose(await inventory(0, 1, 2, 3), { backups: [damaged, SECOND] });
    expect(choice).toMatchObject({ backup: SECOND, passedOver: [] });
  });

  test('restores a damaged backup when it is named', async () => {
    const wal = await inventory(3);
    const choice = await choose(wal, { backups: [FIRST, DAMAGED] }, { backup: DAMAGED.id });
    expect(choice.backup).toBe(DAMAGED);
  });

  test('refuses when only damaged backups could serve, and says how to have one anyway', async () => {
    await expect(choose(await inventory(3), { backups: [DAMAGED] })).rejects.toMatchObject({
      code: 'no-backup',
      hint: expect.stringContaining(`--backup ${DAMAGED.id}`),
    });
  });

  test('takes an older backup when the WAL of the newest one is not there', async () => {
    const choice = await choose(await inventory(0, 1), { backups: [FIRST, SECOND] });
    expect(choice.backup).toBe(FIRST);
    expect(choice.passedOver).toMatchObject([{ id: SECOND.id }]);
  });

  test('damaged WAL behind the end of the backup does not matter to a restore to that end', async () => {
    const wal = await inventory(0, 1, 2, 3);
    const place = { server: 'shop', incarnation: NAME, timeline: toTimelineId(1) };
    const key = walKeys.segment(place, SEGMENTS[2] ?? '');
    await archive.store.replace(key, Buffer.alloc(500));
    expect(await choose(wal, { backups: [FIRST] })).toMatchObject({ backup: FIRST });
  });

  test('refuses a backup whose WAL has a hole, and says from where to where', async () => {
    const long = backup({ hour: 1, from: 0, to: 3 });
    const wal = await inventory(0, 3);
    await expect(choose(wal, { backups: [long] }, { backup: long.id })).rejects.toMatchObject({
      code: 'target-unreachable',
      message: expect.stringContaining(
        `WAL is missing from ${formatLsn(lsn(1, 0))} to ${formatLsn(lsn(3, 0))} on timeline 1`,
      ),
      details: { reason: 'hole', reachableLsn: formatLsn(lsn(1, 0)) },
    });
  });

  test('refuses a time before the end of the first backup and names that end', async () => {
    const wal = await inventory(0, 1, 2, 3);
    const wish = { target: at('2026-11-22T01:29:59Z') };
    await expect(choose(wal, { backups: [FIRST, SECOND] }, wish)).rejects.toMatchObject({
      code: 'target-unreachable',
      details: { backup: FIRST.id, earliest: '2026-11-22T01:30:00.000Z' },
    });
  });

  test('refuses a named backup that ended after the time', async () => {
    const wal = await inventory(0, 1, 2, 3);
    const wish = { target: at('2026-11-22T02:00:00Z'), backup: SECOND.id };
    await expect(choose(wal, { backups: [FIRST, SECOND] }, wish)).rejects.toThrow(SECOND.id);
  });

  test('refuses a time that is still to come', async () => {
    const wish = { target: at('2026-11-23T00:00:01Z') };
    const wal = await inventory(0);
    await expect(choose(wal, { backups: [FIRST] }, wish)).rejects.toThrow('still to come');
  });

  test('refuses an LSN before the end of the first backup', async () => {
    const target = { kind: 'lsn' as const, lsn: lsn(0, 0x100), inclusive: true };
    const wal = await inventory(0);
    await expect(choose(wal, { backups: [FIRST] }, { target })).rejects.toMatchObject({
      code: 'target-unreachable',
    });
  });

  test('an unknown backup is refused with the ones there are, an unreadable one with its reason', async () => {
    const wal = await inventory(0);
    const id = '20200101T000000Z-F' as BackupId;
    await expect(choose(wal, { backups: [FIRST] }, { backup: id })).rejects.toMatchObject({
      code: 'no-backup',
      hint: expect.stringContaining(FIRST.id),
    });
    const unreadable = [{ id, reason: 'it is cut' }];
    await expect(choose(wal, { unreadable }, { backup: id })).rejects.toMatchObject({
      code: 'object-damaged',
      message: expect.stringContaining('it is cut'),
    });
  });

  test('without any backup it says so, and whether there are some of an earlier incarnation', async () => {
    const wal = await inventory(0);
    await expect(choose(wal, {})).rejects.toThrow('the repository has no backup of it');
    const older = { ...FIRST, incarnation: incarnationName(1n, 17) };
    await expect(choose(wal, { backups: [older] })).rejects.toThrow('--backup');
  });

  test('a refusal names a backup of an earlier cluster where the target may lie, and takes none', async () => {
    const wal = await inventory(0, 1, 2, 3);
    const older = { ...FIRST, incarnation: incarnationName(1n, 17) };
    const present = { ...SECOND, id: '20261122T050000Z-F' as BackupId };
    const backups = [older, present];
    const named = expect.stringContaining(`--backup ${older.id} (PostgreSQL`) as string;
    const target = { kind: 'name' as const, name: 'before_upgrade' };
    await expect(choose(wal, { backups }, { target })).rejects.toMatchObject({
      code: 'target-unreachable',
      hint: named,
    });
    await expect(
      choose(wal, { backups }, { target: at('2026-11-22T01:45:00Z') }),
    ).rejects.toMatchObject({ hint: named });
    // It had not ended by then either.
    await expect(
      choose(wal, { backups }, { target: at('2026-11-22T01:15:00Z') }),
    ).rejects.toMatchObject({ hint: expect.not.stringContaining(older.id) as string });
  });

  test('a refusal never names a time before the end of the backup', async () => {
    const wal = await inventory(0, 1, 2, 3);
    const target = { kind: 'name' as const, name: 'nowhere' };
    const early = { ...FIRST, finishedAt: new Date('2020-01-01T00:00:00Z') };
    await expect(choose(wal, { backups: [early] }, { target })).rejects.toMatchObject({
      hint: expect.stringContaining('--to-time') as string,
    });
    // Nothing was committed since this one ended.
    const late = { ...FIRST, finishedAt: new Date('2026-11-23T02:00:00Z') };
    const refusal = choose(wal, { backups: [late] }, { target, backup: late.id });
    await expect(refusal).rejects.toMatchObject({
      message: expect.not.stringContaining(', time ') as string,
      hint: expect.stringContaining('--to-lsn') as string,
    });
  });

  describe('along timelines', () => {
    /** Timeline 2 left timeline 1 before the second backup. */
    async function branched(): Promise<WalInventory> {
      const history = `1\t${formatLsn(lsn(2, 0))}\tno recovery target specified\n`;
      await archive.push('00000002.history', history);
      return await inventory(0, 1, 2, 3);
    }

    test('the default is the newest one: a backup of the abandoned branch is not used', async () => {
      const choice = await choose(await branched(), { backups: [FIRST, SECOND] });
      expect(choice.backup).toBe(FIRST);
      expect(choice.end.timeline).toBe(2);
    });

    test('a number goes along the old timeline', async () => {
      const wal = await branched();
      const wish = { timeline: toTimelineId(1) };
      const choice = await choose(wal, { backups: [FIRST, SECOND] }, wish);
      expect(choice).toMatchObject({ backup: SECOND, end: { timeline: 1 } });
    });

    test('current stays on the timeline of the backup', async () => {
      const wish = { timeline: 'current' as const };
      const choice = await choose(await branched(), { backups: [FIRST, SECOND] }, wish);
      expect(choice).toMatchObject({ backup: SECOND, end: { timeline: 1 } });
    });

    test('a named backup of the abandoned branch is restored along its own timeline', async () => {
      const wish = { backup: SECOND.id };
      const choice = await choose(await branched(), { backups: [FIRST, SECOND] }, wish);
      expect(choice).toMatchObject({ backup: SECOND, end: { timeline: 1 } });
    });

    test('a named backup is refused along a timeline that does not hold it', async () => {
      const wish = { backup: SECOND.id, timeline: toTimelineId(2) };
      await expect(choose(await branched(), { backups: [SECOND] }, wish)).rejects.toThrow(
        'not part of its history',
      );
    });

    test('a timeline without backups is refused with the timelines that have some', async () => {
      await expect(choose(await branched(), { backups: [SECOND] })).rejects.toMatchObject({
        code: 'target-unreachable',
        hint: expect.stringContaining('timeline 1'),
      });
    });
  });
});
