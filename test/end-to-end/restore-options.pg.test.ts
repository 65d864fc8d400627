/** Options of `restore` whose promise only a running server can keep, by the built command line. */
import { appendFile, mkdir, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { checkDocument } from '../../src/api/contract.ts';
import { walStatusDocument } from '../../src/api/wal-contract.ts';
import type { MajorVersion } from '../../src/postgres/version.ts';
import { giveToUser } from '../../src/sandbox/scratch-folder.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { contentDifferences, contentOf } from '../support/content.ts';
import { drawnVersion } from '../support/matrix.ts';
import {
  protect,
  waitForRecovery,
  waitUntil,
  type ProtectedServer,
} from '../support/protected-server.ts';
import { populate } from '../support/schema.ts';
import { waitUntilCaughtUp } from '../support/standby.ts';

const clusters: TestCluster[] = [];

afterEach(async () => {
  for (const cluster of clusters.splice(0).toReversed()) await cluster.dispose();
});

async function startCluster(major: MajorVersion, settings = {}): Promise<TestCluster> {
  const cluster = await testCluster({ major, settings, initdb: { walSegmentMegabytes: 1 } });
  clusters.push(cluster);
  await populate(cluster, { scale: 0.05, tablespace: false });
  return cluster;
}

async function startRestored(server: ProtectedServer, name: string): Promise<TestCluster> {
  const restored = await server.adopt(name);
  clusters.push(restored);
  await restored.server.start();
  return restored;
}

async function expectSameContent(restored: TestCluster, original: TestCluster): Promise<void> {
  expect(contentDifferences(await contentOf(original), await contentOf(restored))).toEqual([]);
}

async function addTable(cluster: TestCluster, name: string): Promise<void> {
  const rows = `select n, md5(n::text) as text from generate_series(1, 5000) n`;
  await cluster.sql(`create table "${name}" as ${rows}`, { database: 'shop' });
}

describe.each(drawnVersion('restore-options'))('restore of PostgreSQL %i', (major) => {
  test('--standby follows the archive alone, also within a segment, until it is promoted', async () => {
    const primary = await startCluster(major);
    const server = await protect(primary);
    await using receiver = await server.receive();
    await server.backup([]);
    await server.restore('standby', { words: ['--standby'] });
    const standby = await startRestored(server, 'standby');
    // Much less than a segment each time: it comes in pieces.
    for (const name of ['first', 'second']) {
      await addTable(primary, name);
      await waitUntilCaughtUp(standby, primary);
      await expectSameContent(standby, primary);
    }
    expect(await standby.value('select pg_is_in_recovery()')).toBe('true');
    expect(await standby.value('select count(*) from pg_stat_wal_receiver')).toBe('0');
    await standby.sql('select pg_promote(true, 60)');
    await waitForRecovery(standby, 'promote');
    await expectSameContent(standby, primary);
    await addTable(standby, 'its own');
    await receiver.stop();
  });

  test('--standby with primary_conninfo catches up from the archive and then streams', async () => {
    const primary = await startCluster(major);
    const server = await protect(primary);
    const receiver = await server.receive();
    await server.backup([]);
    await addTable(primary, 'archived');
    await server.waitUntilStored(await primary.value('select pg_current_wal_flush_lsn()'));
    await receiver.stop();
    const conninfo = primary.connectionString({ user: 'replicator' });
    await server.restore('standby', {
      words: ['--standby', '--set', `primary_conninfo=${conninfo}`],
    });
    const standby = await startRestored(server, 'standby');
    // Nobody receives for the repository any more: this comes from the primary or not at all.
    await addTable(primary, 'streamed');
    await waitUntilCaughtUp(standby, primary);
    await expectSameContent(standby, primary);
    expect(await standby.value('select status from pg_stat_wal_receiver')).toBe('streaming');
    expect(await standby.value('select pg_is_in_recovery()')).toBe('true');
    const followers = "select count(*) from pg_stat_replication where usename = 'replicator'";
    expect(await primary.value(followers)).toBe('1');
  });

  test('--link makes a symbolic link again that the server cannot start without', async () => {
    const original = await startCluster(major);
    const outside = join(original.workFolder, 'settings of the host');
    await makeSettings(original, outside, '7MB');
    await symlink(outside, join(original.dataFolder, 'conf.d'));
    await appendFile(join(original.dataFolder, 'postgresql.conf'), "\ninclude_dir = 'conf.d'\n");
    await original.server.restart();
    expect(await original.value('show work_mem')).toBe('7MB');
    const server = await protect(original);
    await server.backup(['--from', 'local']);

    const plan = await server.run([...server.restoreWords('without'), '--dry-run']);
    expect(`${plan.stdout}${plan.stderr}`).toContain('--link conf.d=DIR makes it');
    const unknown = await server.run(
      server.restoreWords('wrong', { words: ['--link', `conf=${outside}`] }),
    );
    expect(unknown.exitCode).toBe(2);
    expect(unknown.stderr).toContain('It has conf.d.');

    const elsewhere = join(original.workFolder, 'settings of the new host');
    await makeSettings(original, elsewhere, '9MB');
    const words = ['--link', `conf.d=${elsewhere}`, '--to-immediate', '--action', 'promote'];
    await server.restore('linked', { words });
    expect(await readlink(join(server.restoredFolder('linked'), 'conf.d'))).toBe(elsewhere);
    const restored = await startRestored(server, 'linked');
    await waitForRecovery(restored, 'promote');
    expect(await restored.value('show work_mem')).toBe('9MB');
    await expectSameContent(restored, original);
  });

  test('--archive-mode preserve goes on archiving, on a new timeline and beside the old one', async () => {
    const original = await startCluster(major, { archive_mode: 'on' });
    const server = await protect(original, { toml: 'wal = "archive"\n' });
    await archiveByWalnut(server, original);
    const { id } = await server.backup([]);
    await addTable(original, 'before');
    await original.sql("select pg_create_restore_point('fork')");
    await archiveSegment(original, '00000001');
    const words = ['--to-name', 'fork', '--action', 'promote', '--archive-mode', 'preserve'];
    await server.restore('promoted', { words });
    const promoted = await startRestored(server, 'promoted');
    await waitForRecovery(promoted, 'promote');
    await expectSameContent(promoted, original);
    expect(await promoted.value('show archive_mode')).toBe('on');

    // Both go on from the same point, each with WAL of its own.
    await addTable(original, 'on the old timeline');
    await addTable(promoted, 'on the new timeline');
    for (const [cluster, timeline] of [
      [original, '00000001'],
      [promoted, '00000002'],
    ] as const) {
      await archiveSegment(cluster, timeline);
      const failures = 'select failed_count from pg_stat_archiver';
      expect(await cluster.value(failures)).toBe('0');
    }
    const { servers } = walStatusDocument.parse(await server.json(['wal', 'status', server.name]));
    expect(servers[0]?.gaps).toEqual([]);
    expect(servers[0]?.timelines.map(({ timeline }) => timeline)).toEqual([1, 2]);

    const expected = { 1: original, 2: promoted } as const;
    for (const timeline of [1, 2] as const) {
      const name = `timeline ${timeline}`;
      const along = ['--backup', id, '--timeline', String(timeline), '--action', 'promote'];
      await server.restore(name, { words: along });
      const restored = await startRestored(server, name);
      await waitForRecovery(restored, 'promote');
      await expectSameContent(restored, expected[timeline]);
    }
  });
});

async function makeSettings(cluster: TestCluster, folder: string, workMem: string): Promise<void> {
  await mkdir(folder);
  await writeFile(join(folder, 'memory.conf'), `work_mem = '${workMem}'\n`);
  await giveToUser(folder, cluster.server.user);
}

/** Sets archive_command as `check` prints it. */
async function archiveByWalnut(server: ProtectedServer, cluster: TestCluster): Promise<void> {
  const { exitCode, ...before } = await server.run(['check', server.name, '--json']);
  expect(exitCode).toBe(3);
  const { checks = [] } = checkDocument.parse(before.json()).servers[0] ?? {};
  const fix = checks.find(({ name }) => name === 'archive_command')?.fix ?? '';
  const statements = fix.split(';').filter((statement) => statement.trim() !== '');
  for (const statement of statements) await cluster.sql(statement);
  await waitUntil(
    () => 'archive_command is set',
    async () => (await cluster.value('show archive_command')).includes('wal push'),
  );
}

/** Ends the current WAL segment and waits until it is archived. */
async function archiveSegment(cluster: TestCluster, timeline: string): Promise<void> {
  const last = await cluster.value('select pg_walfile_name(pg_switch_wal())');
  expect(last.slice(0, 8)).toBe(timeline);
  const archived = `select coalesce(last_archived_wal >= '${last}', false) from pg_stat_archiver`;
  await waitUntil(
    () => `${last} is archived`,
    async () => (await cluster.value(archived)) === 'true',
  );
}
