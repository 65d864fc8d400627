/**
 * What an incremental backup must not trust: each of these makes it read more than WAL tells of, or rest on an older
 * backup, or become a full one. It says so, and what it stores restores as the server was.
 */
import { open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { BackupDocument } from '../../src/api/contract.ts';
import { must } from '../../src/lib/assert.ts';
import type { MajorVersion } from '../../src/postgres/version.ts';
import { decodeObjectHeader } from '../../src/repository/object-header.ts';
import type { Settings } from '../../src/sandbox/cluster-folder.ts';
import { adoptCluster, testCluster, type TestCluster } from '../support/cluster.ts';
import { enableChecksums } from '../support/enable-checksums.ts';
import { drawnCases, versions } from '../support/matrix.ts';
import { protect, waitUntil, type ProtectedServer } from '../support/protected-server.ts';
import { resetWal } from '../support/reset-wal.ts';
import { wrongAfterRestore } from '../support/restored-state.ts';
import type { WalnutProcess } from '../support/walnut.ts';

const PAGE_BYTES = 8192;
/** Which only servers from 17 on have. */
const BY_SUMMARIES = "a gap in stored WAL is filled by the server's own summaries";
const clusters: TestCluster[] = [];

afterEach(async () => {
  for (const cluster of clusters.splice(0).toReversed()) await cluster.dispose();
});

/** A protected server with a full backup and a receiver that runs. */
type Scene = {
  cluster: TestCluster;
  readonly server: ProtectedServer;
  readonly receiver: WalnutProcess;
  readonly full: BackupDocument;
};

type Outcome = { readonly scene: Scene; readonly backup: BackupDocument };

async function begin(
  major: MajorVersion,
  { settings = {}, dataChecksums = false }: { settings?: Settings; dataChecksums?: boolean } = {},
): Promise<Scene> {
  const cluster = await testCluster({
    major,
    initdb: { walSegmentMegabytes: 1, dataChecksums },
    settings: { autovacuum: false, min_wal_size: '2MB', max_wal_size: '4MB', ...settings },
  });
  clusters.push(cluster);
  await cluster.sql(
    `create table items as select n, md5(n::text) as text from generate_series(1, 20000) n;
     create index on items (n)`,
  );
  const server = await protect(cluster);
  const receiver = await server.receive();
  const full = await server.backup(['--type', 'full', '--from', 'local']);
  return { cluster, server, receiver, full };
}

async function change({ cluster }: Pick<Scene, 'cluster'>): Promise<void> {
  await cluster.sql("update items set text = text || '!' where n % 500 < 100");
  await cluster.sql('delete from items where n % 3 = 1 and n > 15000');
}

/** Segments come and go until the server no longer has those that a gap needs. */
async function recycleWal({ cluster }: Pick<Scene, 'cluster'>): Promise<void> {
  for (let segments = 0; segments < 8; segments += 1) {
    await cluster.sql(
      'insert into items select n, md5(random()::text) from generate_series(1, 100) n',
    );
    await cluster.sql('select pg_switch_wal()');
    await cluster.sql('checkpoint');
  }
}

async function incremental({ server }: Scene): Promise<BackupDocument> {
  return await server.backup(['--type', 'incremental', '--from', 'local']);
}

async function wrongWith({ server, cluster }: Scene, { id }: BackupDocument): Promise<string[]> {
  return await wrongAfterRestore({ server, cluster, backup: id });
}

/** All pages are read and compared, and the output says why. */
function compared({ full }: Scene, reason: RegExp): object {
  return {
    id: expect.stringMatching(/-I$/),
    type: 'incremental',
    parent: full.id,
    changeSource: 'compare',
    warnings: expect.arrayContaining([expect.stringMatching(reason)]),
  };
}

/** A full backup though an incremental one was asked for, and the output says why. */
function fullBecause(reason: RegExp): object {
  return {
    id: expect.stringMatching(/-F$/),
    type: 'full',
    parent: null,
    changeSource: null,
    warnings: expect.arrayContaining([expect.stringMatching(reason)]),
  };
}

/** Stored segments of the only timeline, oldest first. */
async function storedSegments({ server }: Scene): Promise<string[]> {
  const folder = join(server.repository, 'shop/wal');
  const names = await readdir(folder, { recursive: true });
  return names
    .filter((name) => /\/[0-9A-F]{24}$/.test(name))
    .toSorted()
    .map((name) => join(folder, name));
}

/** Changes some rows and answers the stored segments that tell of it. */
async function changedSegments(scene: Scene): Promise<string[]> {
  const before = await storedSegments(scene);
  for (let segments = 0; segments < 2; segments += 1) {
    await change(scene);
    await scene.cluster.sql('select pg_switch_wal()');
  }
  const end = await scene.cluster.value('select pg_current_wal_flush_lsn()');
  await scene.server.waitUntilStored(end);
  return (await storedSegments(scene)).filter((path) => !before.includes(path));
}

/** What happens between a full backup and the next one, and what that one makes of it. */
const CASES: Readonly<Record<string, (major: MajorVersion) => Promise<Outcome>>> = {
  'a gap in WAL, because the slot was dropped, makes it compare all pages': async (major) => {
    const scene = await begin(major);
    await scene.receiver.stop();
    await change(scene);
    await scene.cluster.sql('select pg_drop_replication_slot(slot_name) from pg_replication_slots');
    await recycleWal(scene);
    const backup = await incremental(scene);
    expect(backup).toMatchObject(compared(scene, /missing|gap/i));
    return { scene, backup };
  },

  'a segment that is gone from the repository makes it compare all pages': async (major) => {
    const scene = await begin(major);
    const [segment = ''] = await changedSegments(scene);
    await rm(segment);
    const backup = await incremental(scene);
    expect(backup).toMatchObject(compared(scene, /missing|gap/i));
    await scene.receiver.stop();
    return { scene, backup };
  },

  'damaged change maps are made anew from their segments': async (major) => {
    const scene = await begin(major);
    const segments = await changedSegments(scene);
    for (const path of segments) await damageChanges(path);
    const backup = await incremental(scene);
    expect(backup).toMatchObject({ parent: scene.full.id, changeSource: 'archive' });
    await scene.receiver.stop();
    return { scene, backup };
  },

  'segments damaged with their change maps make it compare all pages': async (major) => {
    const scene = await begin(major);
    const segments = await changedSegments(scene);
    for (const path of segments) {
      await flipBytes(path, (await payloadOffset(path)) + 100);
      await damageChanges(path);
    }
    const backup = await incremental(scene);
    expect(backup).toMatchObject(compared(scene, /does not match/));
    await scene.receiver.stop();
    return { scene, backup };
  },

  'WAL that was reset makes it trust nothing that WAL tells': async (major) => {
    const scene = await begin(major);
    await change(scene);
    await scene.cluster.server.stop('fast');
    await scene.receiver.stop();
    await resetWal(scene.cluster);
    await scene.cluster.server.start();
    await change(scene);
    const backup = await incremental(scene);
    expect(backup.changeSource).not.toBe('archive');
    expect(backup.warnings.join('\n')).toMatch(/missing|anew/);
    return { scene, backup };
  },

  'checksums that were switched on make it a full one': async (major) => {
    const scene = await begin(major);
    await scene.cluster.server.stop('fast');
    await enableChecksums(scene.cluster);
    await scene.cluster.server.start();
    expect(await scene.cluster.value('show data_checksums')).toBe('on');
    await change(scene);
    const backup = await incremental(scene);
    expect(backup).toMatchObject(fullBecause(/checksums/));
    await scene.receiver.stop();
    return { scene, backup };
  },

  'an interval of wal_level = minimal makes it a full one': async (major) => {
    const scene = await begin(major);
    await scene.receiver.stop();
    const { cluster } = scene;
    await cluster.sql('select pg_drop_replication_slot(slot_name) from pg_replication_slots');
    await cluster.sql("alter system set wal_level = 'minimal'");
    await cluster.sql('alter system set max_wal_senders = 0');
    await cluster.server.restart();
    await cluster.sql(
      `begin; truncate items; insert into items select n, 'not logged' from generate_series(1, 5000) n; commit`,
    );
    await cluster.sql("alter system set wal_level = 'replica'");
    await cluster.sql('alter system set max_wal_senders = 10');
    await cluster.server.restart();
    await change(scene);
    const backup = await incremental(scene);
    expect(backup).toMatchObject(fullBecause(/minimal/));
    return { scene, backup };
  },

  'a damaged parent is passed over for an older sound one': async (major) => {
    const scene = await begin(major, { dataChecksums: true });
    await change(scene);
    await scene.cluster.sql('checkpoint');
    const path = await scene.cluster.value("select pg_relation_filepath('items')");
    const restoreBytes = await flipBytes(
      join(scene.cluster.dataFolder, path),
      3 * PAGE_BYTES + 100,
    );
    const result = await scene.server.run([
      'backup',
      'shop',
      '--type',
      'incremental',
      '--from',
      'local',
      '--paranoid',
      '--json',
    ]);
    expect(result.exitCode).toBe(4);
    expect(result.json()).toMatchObject({ damagedPages: 1, parent: scene.full.id });
    await restoreBytes();
    const backup = await incremental(scene);
    expect(backup).toMatchObject({
      type: 'incremental',
      parent: scene.full.id,
      changeSource: 'archive',
    });
    await scene.receiver.stop();
    return { scene, backup };
  },

  'a new incarnation under the same name begins with a full one': async (major) => {
    const scene = await begin(major);
    await scene.receiver.stop();
    await scene.cluster.server.stop();
    const other = await testCluster({ major, settings: { autovacuum: false } });
    clusters.push(other);
    await other.sql("create table other as select 'other' as text");
    await scene.server.configure({ cluster: other });
    await scene.server.run(['init', 'shop', '--yes', '--new-incarnation']);
    scene.cluster = other;
    const backup = await incremental(scene);
    expect(backup).toMatchObject(fullBecause(/no backup|life/));
    return { scene, backup };
  },

  'a parent beyond the point where its timeline was left is passed over': async (major) => {
    const scene = await begin(major);
    const primary = scene.cluster;
    await scene.server.restore('standby', { words: ['--standby'] });
    const standby = await adoptCluster({
      major,
      dataFolder: scene.server.restoredFolder('standby'),
      overrides: {
        primary_conninfo: primary.connectionString({ user: 'replicator' }),
        // From the repository it would get all that the primary had.
        restore_command: 'false',
      },
    });
    clusters.push(standby);
    await standby.server.start();
    const lsn = await primary.value('select pg_current_wal_flush_lsn()');
    await waitUntil(
      () => `the standby replays ${lsn}`,
      async () => (await standby.value(`select pg_last_wal_replay_lsn() >= '${lsn}'`)) === 'true',
    );
    await standby.server.stop();
    await change(scene);
    const beyond = await incremental(scene);
    expect(beyond).toMatchObject({ type: 'incremental', parent: scene.full.id });
    await primary.server.kill();
    await scene.receiver.stop();
    await standby.server.start();
    await standby.server.promote();
    scene.cluster = standby;
    await scene.server.configure({ cluster: standby });
    await scene.server.json(['init', 'shop', '--yes']);
    await standby.sql(
      "insert into items select n, 'on the new timeline' from generate_series(1, 500) n",
    );
    const backup = await incremental(scene);
    expect(backup).toMatchObject({
      type: 'incremental',
      parent: scene.full.id,
      timeline: 2,
      changeSource: 'archive',
    });
    return { scene, backup };
  },

  [BY_SUMMARIES]: async (major) => {
    const scene = await begin(major, { settings: { summarize_wal: true } });
    const segments = await changedSegments(scene);
    for (const segment of segments) await rm(segment);
    const backup = await incremental(scene);
    expect(backup).toMatchObject({ parent: scene.full.id, changeSource: 'summaries' });
    await scene.receiver.stop();
    return { scene, backup };
  },
};

describe.each(versions([18], [13, 16, 17, 18]))('PostgreSQL %i', (major) => {
  const names = Object.keys(CASES).filter((name) => major >= 17 || name !== BY_SUMMARIES);
  test.each(drawnCases('fall-backs', 6, names))('%s', async (name) => {
    const { scene, backup } = await must(CASES[name], name)(major);
    expect(await wrongWith(scene, backup)).toEqual([]);
  });
});

/** What was noted of a segment's changes stands right before its content. */
async function damageChanges(path: string): Promise<void> {
  await flipBytes(path, (await payloadOffset(path)) - 8);
}

async function payloadOffset(path: string): Promise<number> {
  return decodeObjectHeader(await readFile(path), path).payloadOffset;
}

/** Turns some bytes of a file and answers what turns them back. */
async function flipBytes(path: string, offset: number): Promise<() => Promise<void>> {
  const turn = async (): Promise<void> => {
    const file = await open(path, 'r+');
    const bytes = Buffer.alloc(8);
    await file.read(bytes, 0, 8, offset);
    await file.write(
      bytes.map((byte) => byte ^ 0xff),
      0,
      8,
      offset,
    );
    await file.close();
  };
  await turn();
  return turn;
}
