/** The receiver on real servers. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { gapsOf, readWalInventory, type WalInventory } from '../../src/catalog/wal-inventory.ts';
import { sleep } from '../../src/lib/sleep.ts';
import { readConnectionSettings } from '../../src/postgres/connection/connection-settings.ts';
import { systemSources } from '../../src/postgres/connection/connection-sources.ts';
import { parseLsn } from '../../src/postgres/lsn.ts';
import { toTimelineId } from '../../src/postgres/timeline-id.ts';
import { walKeys } from '../../src/repository/layout.ts';
import { giveToUser } from '../../src/sandbox/scratch-folder.ts';
import { adoptCluster, testCluster, type TestCluster } from '../support/cluster.ts';
import { lostCommits, startLoad } from '../support/load.ts';
import { drawSeed, randomBelow, seededRandom } from '../support/random.ts';
import {
  differencesFromCopies,
  makeCopyFolder,
  makeTestArchive,
  startReceiver,
  TEST_SERVER,
  waitForWal,
  type TestArchive,
} from '../support/receiving.ts';
import { waitUntil } from '../support/protected-server.ts';
import { populate, WORKLOAD_TABLESPACE } from '../support/schema.ts';
import { startSwallowingProxy } from '../support/swallowing-proxy.ts';
import { runWalnut, spawnWalnut } from '../support/walnut.ts';

const clusters: TestCluster[] = [];

afterEach(async () => {
  for (const made of clusters.splice(0).toReversed()) await made.dispose();
});

async function startCluster(options: Parameters<typeof testCluster>[0]): Promise<TestCluster> {
  const made = await testCluster({ initdb: { walSegmentMegabytes: 1 }, ...options });
  clusters.push(made);
  return made;
}

/** The cluster archives copies of its segments too, for comparison. */
async function archiveCopies(cluster: TestCluster): Promise<string> {
  const { folder, command } = await makeCopyFolder(cluster);
  await cluster.sql('alter system set archive_mode = on');
  await cluster.sql(`alter system set archive_command = '${command}'`);
  await cluster.server.restart();
  return folder;
}

async function inventoryOf({ store, scope }: TestArchive): Promise<WalInventory> {
  return readWalInventory(store, scope);
}

/** Switches segments and waits until the last one is stored and the server's own copy of it is there. */
async function finishSegment(cluster: TestCluster, archive: TestArchive): Promise<void> {
  const [row] = await cluster.sql<{ end: string; name: string }>(
    'select lsn::text as end, pg_walfile_name(lsn) as name from pg_switch_wal() as lsn',
  );
  const { end = '', name = '' } = row ?? {};
  await waitForWal(archive, end);
  const isCopied = async (): Promise<boolean> =>
    (await cluster.value('select coalesce(max(last_archived_wal), $1) from pg_stat_archiver', {
      parameters: [''],
    })) >= name;
  while (!(await isCopied())) await sleep(50);
}

describe('wal receive', () => {
  test.each([13, 18] as const)(
    'stores every segment of a %i as the server has it, and the open one in pieces',
    async (major) => {
      const cluster = await startCluster({ major });
      const copies = await archiveCopies(cluster);
      await populate(cluster);
      const archive = await makeTestArchive(cluster);
      const running = startReceiver(cluster, archive);
      await running.receiver.streaming;
      const load = startLoad(cluster);
      await sleep(2000);
      await load.stop();
      await waitForWal(archive, await cluster.value('select pg_current_wal_flush_lsn()::text'));
      // The object can be seen a moment before the event is told.
      await waitUntil(
        () => 'a piece is stored',
        async () => running.events.some(({ kind }) => kind === 'piece-stored'),
        { timeoutMs: 10_000, pollMs: 20 },
      );
      await finishSegment(cluster, archive);
      await running.stop();
      expect(gapsOf(await inventoryOf(archive))).toEqual([]);
      const { compared, differences } = await differencesFromCopies(archive, copies);
      expect(differences).toEqual([]);
      expect(compared).toBeGreaterThan(3);
      expect(running.events.filter(({ kind }) => kind === 'retrying')).toEqual([]);
    },
  );

  test('kill -9 at 20 random moments under load leaves no gap and no wrong byte', async () => {
    const random = seededRandom(drawSeed());
    const cluster = await startCluster({ major: 18 });
    const copies = await archiveCopies(cluster);
    await populate(cluster);
    const archive = await makeTestArchive(cluster);
    const { config } = archive;
    const load = startLoad(cluster, { restMs: 1 });
    for (let kill = 0; kill < 20; kill += 1) {
      await using receiver = await spawnWalnut(['wal', 'receive', TEST_SERVER], { config });
      await receiver.waitForLine('streaming from');
      await sleep(randomBelow(random, 600));
      await receiver.stop('SIGKILL');
    }
    await using receiver = await spawnWalnut(['wal', 'receive', TEST_SERVER], { config });
    await receiver.waitForLine('streaming from');
    await load.stop();
    await finishSegment(cluster, archive);
    const { exitCode } = await receiver.stop('SIGTERM');
    expect(exitCode).toBe(0);
    expect(gapsOf(await inventoryOf(archive))).toEqual([]);
    const { compared, differences } = await differencesFromCopies(archive, copies);
    expect(differences).toEqual([]);
    expect(compared).toBeGreaterThan(5);
  });

  test.each([13, 18] as const)('does not hold up the fast shutdown of a %i', async (major) => {
    const cluster = await startCluster({ major });
    await populate(cluster);
    const archive = await makeTestArchive(cluster);
    // Pieces and segments are far apart: only the answer to the server's question can let it go.
    const running = startReceiver(cluster, archive, { pieceIntervalMs: 600_000 });
    await running.receiver.streaming;
    const load = startLoad(cluster);
    await sleep(500);
    await load.stop();
    const begun = Date.now();
    await cluster.server.stop('fast');
    expect(Date.now() - begun).toBeLessThan(5000);
    await running.stop();
    expect(gapsOf(await inventoryOf(archive))).toEqual([]);
  });

  test('a second receiver is refused, and the first is named', async () => {
    const cluster = await startCluster({ major: 18 });
    const archive = await makeTestArchive(cluster);
    const running = startReceiver(cluster, archive);
    await running.receiver.streaming;
    await expect(startReceiver(cluster, archive).done).rejects.toMatchObject({ code: 'locked' });
    await running.stop();
  });

  test('connects again where an answer is lost, and a stop does not wait for one', async () => {
    const cluster = await startCluster({ major: 18 });
    const archive = await makeTestArchive(cluster);
    await using proxy = await startSwallowingProxy(cluster, { user: 'replicator' });
    const connection = readConnectionSettings(proxy.connectionString, systemSources());
    proxy.swallow('IDENTIFY_SYSTEM');
    const running = startReceiver(cluster, archive, { connection, answerMsMax: 500 });
    const reasons = (): string[] =>
      running.events.flatMap((event) => (event.kind === 'retrying' ? [event.reason] : []));
    await waitUntil(
      () => 'an answer is given up',
      async () => reasons().length > 0,
      { timeoutMs: 10_000, pollMs: 20 },
    );
    expect(reasons()[0]).toContain('the server did not answer within 0.5 s');
    proxy.swallow(null);
    await running.receiver.streaming;
    await running.stop();
    proxy.swallow('START_REPLICATION');
    const hanging = startReceiver(cluster, archive, { connection });
    await sleep(1000);
    expect(hanging.events.some(({ kind }) => kind === 'streaming')).toBe(false);
    const begun = Date.now();
    await hanging.stop();
    expect(Date.now() - begun).toBeLessThan(5000);
  });

  test('goes on without a gap after slot and spool are lost, while the server still has the WAL', async () => {
    // The first segment is not full when the receiver first stops: only pieces are stored.
    const cluster = await startCluster({
      major: 18,
      initdb: { walSegmentMegabytes: 16 },
      settings: { wal_keep_size: '256MB' },
    });
    const archive = await makeTestArchive(cluster);
    const first = startReceiver(cluster, archive);
    await first.receiver.streaming;
    await waitForWal(archive, await cluster.value('select pg_current_wal_flush_lsn()::text'));
    await first.stop();
    await cluster.sql("select pg_drop_replication_slot('walnut_shop')");
    // The spool is lost as well: the pieces in the repository tell where to go on.
    await rm(archive.spoolFolder, { recursive: true });
    await populate(cluster);
    // The new slot keeps WAL from a later segment on only.
    await cluster.sql('select pg_switch_wal()');
    await cluster.sql('checkpoint');
    const second = startReceiver(cluster, archive);
    await waitForWal(archive, await cluster.value('select pg_current_wal_flush_lsn()::text'));
    await second.stop();
    expect(gapsOf(await inventoryOf(archive))).toEqual([]);
  });

  test('records a gap exactly where the server no longer has the WAL', async () => {
    const cluster = await startCluster({
      major: 18,
      settings: { min_wal_size: '2MB', max_wal_size: '4MB' },
    });
    const archive = await makeTestArchive(cluster);
    const first = startReceiver(cluster, archive);
    await first.receiver.streaming;
    await cluster.sql('select pg_switch_wal()');
    await waitForWal(archive, await cluster.value('select pg_current_wal_flush_lsn()::text'));
    await first.stop();
    const held = await inventoryOf(archive);
    const lastWhole = held.timelines.get(toTimelineId(1))?.runs.at(-1)?.last ?? 0n;
    await cluster.sql("select pg_drop_replication_slot('walnut_shop')");
    for (let round = 0; round < 6; round += 1) {
      await cluster.sql('create table filler as select generate_series(1, 30000) as number');
      await cluster.sql('drop table filler');
      await cluster.sql('select pg_switch_wal()');
    }
    await cluster.sql('checkpoint');
    await cluster.sql('checkpoint');
    const oldest = await cluster.value(
      'select min(name) from pg_ls_waldir() where length(name) = 24',
    );
    const second = startReceiver(cluster, archive);
    await waitForGap(archive);
    await second.stop();
    const [gap] = gapsOf(await inventoryOf(archive));
    expect(gap?.start).toBe((lastWhole + 1n) * 1_048_576n);
    expect(gap?.end).toBe(BigInt(`0x${oldest.slice(16)}`) * 1_048_576n);
    expect(second.events.filter(({ kind }) => kind === 'gap')).toHaveLength(1);
  });

  test('follows a promotion, and keeps a longer tail of the old timeline', async () => {
    const cluster = await startCluster({ major: 18 });
    const copies = await archiveCopies(cluster);
    await populate(cluster);
    const archive = await makeTestArchive(cluster);
    const running = startReceiver(cluster, archive);
    await running.receiver.streaming;
    const load = startLoad(cluster, { reconnect: true });
    await sleep(1000);
    await cluster.server.stop('fast');
    await writeFile(join(cluster.dataFolder, 'standby.signal'), '');
    await giveToUser(cluster.dataFolder, cluster.server.user);
    await cluster.server.start();
    await cluster.server.promote();
    await sleep(1000);
    await load.stop();
    const end = await cluster.value('select pg_switch_wal()::text');
    await waitForWal(archive, end, { timeline: 2 });
    await sleep(1500);
    await running.stop();
    expect(running.events.some(({ kind }) => kind === 'history-stored')).toBe(true);
    const inventory = await inventoryOf(archive);
    expect(gapsOf(inventory)).toEqual([]);
    expect([...inventory.timelines.keys()]).toEqual([1, 2]);
    expect((await differencesFromCopies(archive, copies)).differences).toEqual([]);
  });

  test('as a synchronous standby loses no acknowledged commit when the primary is killed', async () => {
    const cluster = await startCluster({ major: 18 });
    await populate(cluster);
    const archive = await makeTestArchive(cluster, { user: 'walnut' });
    const { config } = archive;
    await using receiver = await spawnWalnut(['wal', 'receive', TEST_SERVER], { config });
    await receiver.waitForLine('streaming from');
    await cluster.sql("alter system set synchronous_standby_names = 'walnut'");
    await cluster.sql('select pg_reload_conf()');
    const backup = await runWalnut(['backup', TEST_SERVER], { config });
    expect(backup.exitCode).toBe(0);
    const load = startLoad(cluster);
    await sleep(1500);
    await cluster.server.kill();
    const { acknowledged } = await load.stop();
    expect(Math.min(...acknowledged)).toBeGreaterThan(10);
    await receiver.stop('SIGTERM');
    const target = await restoreLatest(cluster, archive);
    const copy = await adoptCluster({ major: 18, dataFolder: target });
    clusters.push(copy);
    await copy.server.start();
    while ((await copy.value('select pg_is_in_recovery()::text')) === 'true') await sleep(100);
    expect(await lostCommits(copy, acknowledged)).toEqual([]);
  });

  test('a hole in the archive ends recovery with an error and never promotes', async () => {
    const cluster = await startCluster({ major: 18 });
    await populate(cluster);
    const archive = await makeTestArchive(cluster, { user: 'walnut' });
    const { config } = archive;
    const backup = await runWalnut(['backup', TEST_SERVER], { config });
    expect(backup.exitCode).toBe(0);
    await using receiver = await spawnWalnut(['wal', 'receive', TEST_SERVER], { config });
    await receiver.waitForLine('streaming from');
    const load = startLoad(cluster);
    await sleep(1500);
    await load.stop();
    await waitForWal(archive, await cluster.value('select pg_switch_wal()::text'));
    await receiver.stop('SIGTERM');
    const target = await restoreLatest(cluster, archive);
    const { startLsn } = backupDocument(
      await runWalnut(['list', TEST_SERVER, '--json'], { config }),
    );
    const inventory = await inventoryOf(archive);
    const last = inventory.timelines.get(toTimelineId(1))?.runs.at(-1)?.last ?? 0n;
    const missing = (parseLsn(startLsn) / 1_048_576n + last) / 2n;
    const name = `0000000100000000${missing.toString(16).toUpperCase().padStart(8, '0')}`;
    const place = { server: TEST_SERVER, incarnation: inventory.name, timeline: toTimelineId(1) };
    await archive.store.delete(walKeys.segment(place, name));
    const copy = await adoptCluster({ major: 18, dataFolder: target });
    clusters.push(copy);
    await copy.server.start().catch(() => {});
    await copy.server.waitForExit({ timeoutMs: 30_000 });
    const log = await copy.server.readLog();
    expect(log).toMatch(new RegExp(`FATAL:.*could not restore file "${name}"`));
    expect(log).toContain('it is missing, but');
    expect(log).not.toContain('archive recovery complete');
  });
});

/** Restores to the latest moment into a new folder, which it answers. */
async function restoreLatest(cluster: TestCluster, { config }: TestArchive): Promise<string> {
  const target = join(cluster.workFolder, 'restored');
  const tablespace = `${WORKLOAD_TABLESPACE}=${join(cluster.workFolder, 'tablespace')}`;
  const args = ['restore', TEST_SERVER, '--target', target, '--tablespace', tablespace];
  const { exitCode, stderr } = await runWalnut(args, { config });
  if (exitCode !== 0) throw new Error(`restore ended with ${exitCode}: ${stderr}`);
  return target;
}

async function waitForGap(archive: TestArchive): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (gapsOf(await inventoryOf(archive)).length === 0 && Date.now() < deadline) await sleep(50);
  await sleep(500);
}

function backupDocument(listed: { json(): unknown }): { startLsn: string } {
  const document = listed.json() as { servers: { backups: { startLsn: string }[] }[] };
  return document.servers[0]?.backups[0] ?? { startLsn: '0/0' };
}
