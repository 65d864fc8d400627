import { beforeEach, describe, expect, test } from 'vitest';
import { expectedWal, FIXTURE_SEGMENT_BYTES } from '../../test/fixtures/wal/load.ts';
import { storeBackup } from '../../test/support/stored-backup.ts';
import { makeFixtureArchive, type FixtureArchive } from '../../test/support/stored-wal.ts';
import { readChanges } from '../catalog/changes.ts';
import { writeKeepMark } from '../catalog/keep-mark.ts';
import { recordKnownDamage } from '../catalog/known-damage.ts';
import { withReader } from '../catalog/readers.ts';
import type { RetentionPolicy } from '../catalog/retention-policy.ts';
import { gapsOf, plannedGapsOf, readWalInventory } from '../catalog/wal-inventory.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { formatLsn, toLsn, type Lsn } from '../postgres/lsn.ts';
import { parseSegmentName, segmentStart } from '../postgres/segment-name.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { backupKeys, serverKeys, walKeys } from '../repository/layout.ts';
import { listBackupIds } from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { unreliable } from '../storage/unreliable.ts';
import { expire, type ExpireOutcome } from './expire.ts';

const MAJOR = 18;
const SEGMENTS = expectedWal(MAJOR).segments.filter((name) => name.startsWith('00000001'));
const FULL = '20261101T000000Z-F' as BackupId;
const MIDDLE = '20261110T000000Z-I' as BackupId;
const NEWEST = '20261120T000000Z-I' as BackupId;
const NOW = new Date('2026-11-22T00:00:00Z');
const NO_RULES: RetentionPolicy = {
  windowMs: null,
  keep: { full: null, daily: null, weekly: null, monthly: null, yearly: null },
  minimumRedundancy: 1,
};
/** The newest full backup, and the newest of all, from which the window of no length is restored. */
const POLICY: RetentionPolicy = { ...NO_RULES, windowMs: 1, keep: { ...NO_RULES.keep, full: 1 } };
const signal = new AbortController().signal;

let archive: FixtureArchive;
let store: ObjectStore;

function lsn(segment: number, offset: number): Lsn {
  const { number } = parseSegmentName(SEGMENTS[segment] ?? '', FIXTURE_SEGMENT_BYTES);
  return toLsn(segmentStart(number, FIXTURE_SEGMENT_BYTES) + BigInt(offset));
}

/** A backup within one of the fixtures' segments. */
async function addBackup(id: BackupId, segment: number, files: number): Promise<void> {
  const { systemIdentifier } = expectedWal(MAJOR);
  const time = `${id.slice(0, 4)}-${id.slice(4, 6)}-${id.slice(6, 8)}T00:00:00.000Z`;
  await storeBackup({
    store,
    files: Array.from({ length: files }, (_, index) => ({
      path: `global/${index}`,
      content: Buffer.alloc(100, id),
    })),
    manifest: {
      id,
      type: id.endsWith('F') ? 'full' : 'incremental',
      systemIdentifier,
      startLsn: formatLsn(lsn(segment, 0x28)),
      stopLsn: formatLsn(lsn(segment, 0x150)),
      startedAt: time,
      finishedAt: time,
    },
  });
}

beforeEach(async () => {
  archive = await makeFixtureArchive(MAJOR);
  ({ store } = archive);
  await archive.pushFixtures(SEGMENTS);
  await addBackup(FULL, 0, 1);
  await addBackup(MIDDLE, 1, 1);
  await addBackup(NEWEST, 2, 1);
});

async function run(
  policy: RetentionPolicy,
  options: { readonly dryRun?: boolean; readonly store?: ObjectStore } = {},
): Promise<ExpireOutcome> {
  const request = { store, server: 'shop', policy, now: NOW, dryRun: false, ...options };
  return expire(request, { planned: () => {}, deleted: () => {} }, signal);
}

async function segmentsLeft(): Promise<string[]> {
  const place = { server: 'shop', incarnation: nameOf(), timeline: toTimelineId(1) };
  const names = await store.listFolder(walKeys.timeline(place));
  return names.filter((name) => /^[0-9A-F]{24}$/.test(name));
}

function nameOf(): string {
  return `${expectedWal(MAJOR).systemIdentifier}-${MAJOR}`;
}

describe('expire', () => {
  test('deletes what no rule keeps, and tells what that frees and which moments go', async () => {
    const outcome = await run(POLICY);
    expect(await listBackupIds(store, 'shop')).toEqual([FULL, NEWEST]);
    expect(outcome.plan.deletions.map(({ id }) => id)).toEqual([MIDDLE]);
    expect(outcome.freedBytes).toBeGreaterThan(0);
    expect(outcome.windows.before.length).toBeGreaterThan(0);
    expect(await segmentsLeft()).toEqual(SEGMENTS.filter((_, index) => index !== 1));
  });

  test('shows the gap that it makes as planned, and not as missing', async () => {
    await run(POLICY);
    const inventory = await readWalInventory(store, archive.scope);
    expect(gapsOf(inventory)).toEqual([]);
    expect(plannedGapsOf(inventory)).toEqual([{ timeline: 1, start: lsn(1, 0), end: lsn(2, 0) }]);
  });

  test('keeps what changed since the newest full backup known, although its WAL goes', async () => {
    await run(POLICY);
    const inventory = await readWalInventory(store, archive.scope);
    const [from, to] = [lsn(0, 0x28), lsn(2, 0x28)];
    const changes = await readChanges(store, inventory, {
      timeline: toTimelineId(1),
      from,
      to,
      signal,
    });
    expect(changes.kind).toBe('known');
  });

  test('changes nothing with dryRun, nor without a rule', async () => {
    await run(POLICY, { dryRun: true });
    const { plan } = await run(NO_RULES);
    expect(plan.heldBack).toContain('no retention rule');
    expect(await listBackupIds(store, 'shop')).toEqual([FULL, MIDDLE, NEWEST]);
    expect(await segmentsLeft()).toEqual(SEGMENTS);
  });

  test('keeps what a person marked, until the time that was said', async () => {
    const place = { server: 'shop', id: MIDDLE };
    await writeKeepMark(store, place, { until: new Date(NOW.getTime() + 1) });
    await run(POLICY);
    expect(await listBackupIds(store, 'shop')).toContain(MIDDLE);
    await writeKeepMark(store, place, { until: NOW });
    await run(POLICY);
    expect(await listBackupIds(store, 'shop')).not.toContain(MIDDLE);
  });

  test('keeps a mark for ever that it cannot read', async () => {
    await store.replace(backupKeys.keep('shop', MIDDLE), Buffer.from('?'));
    await run(POLICY);
    expect(await listBackupIds(store, 'shop')).toContain(MIDDLE);
  });

  test('keeps a backup that is being read, with all WAL behind it', async () => {
    const reading = { server: 'shop', backups: [MIDDLE], command: 'restore' };
    await withReader(store, reading, async () => run(POLICY));
    expect(await listBackupIds(store, 'shop')).toContain(MIDDLE);
    expect(await segmentsLeft()).toEqual(SEGMENTS);
    await run(POLICY);
    expect(await listBackupIds(store, 'shop')).not.toContain(MIDDLE);
  });

  test('does not count on a backup that was found damaged', async () => {
    await recordKnownDamage(store, 'shop', {
      damaged: new Map([[backupKeys.pack('shop', NEWEST, 1), 'all' as const]]),
      wasReadWhole: () => false,
    });
    const { plan } = await run(POLICY);
    expect(plan.backups.find(({ backup }) => backup.id === MIDDLE)?.reasons).toContain('newest');
    expect(await listBackupIds(store, 'shop')).toContain(MIDDLE);
  });

  test('deletes nothing while what a backup needs is not known', async () => {
    await store.replace(backupKeys.manifest('shop', MIDDLE, 1), Buffer.from('cut'));
    const { plan } = await run(POLICY);
    expect(plan.heldBack).toContain(MIDDLE);
    expect(await listBackupIds(store, 'shop')).toEqual([FULL, MIDDLE, NEWEST]);
    expect(await segmentsLeft()).toEqual(SEGMENTS);
  });

  // The WAL of a backup that was about to go counted as gone for good, although it and the backup were all there.
  test('that was stopped before it deleted anything is decided on anew', async () => {
    const stopped = unreliable(store, [
      { operation: 'delete', call: 1, error: new WalnutError('interrupted', 'stopped') },
    ]);
    await expect(run(POLICY, { store: stopped })).rejects.toThrow('stopped');
    expect(await listBackupIds(store, 'shop')).toEqual([FULL, MIDDLE, NEWEST]);
    await writeKeepMark(store, { server: 'shop', id: MIDDLE }, { until: null });
    await run(POLICY);
    expect(await segmentsLeft()).toEqual(SEGMENTS);
    const { plan } = await run(POLICY);
    const kept = plan.backups.find(({ backup }) => backup.id === MIDDLE);
    expect(kept?.reasons).toContain('marked');
    expect(kept?.reasons).not.toContain('unsound');
    const inventory = await readWalInventory(store, archive.scope);
    expect([...gapsOf(inventory), ...plannedGapsOf(inventory)]).toEqual([]);
  });

  test('waits for nobody while a backup holds the lease', async () => {
    const owner = { command: 'backup', host: 'db1', processId: 1, startedAt: '' };
    const lease = await store.acquireLease(serverKeys.backupLease('shop'), owner);
    await expect(run(POLICY)).rejects.toMatchObject({ code: 'locked' });
    await lease.release();
  });

  test('makes room on a full disk, where it cannot write its notes', async () => {
    const error = new WalnutError('disk-full', 'the disk is full');
    const full = unreliable(store, [
      { operation: 'put', call: 1, error },
      ...[1, 2, 3].map((call) => ({ operation: 'replace' as const, call, error })),
    ]);
    await run(POLICY, { store: full });
    expect(await listBackupIds(store, 'shop')).toEqual([FULL, NEWEST]);
    const inventory = await readWalInventory(store, archive.scope);
    expect(plannedGapsOf(inventory).length).toBe(1);
  });
});
