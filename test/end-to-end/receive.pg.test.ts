/** The receiver on real servers. */
import { afterEach, describe, expect, test } from 'vitest';
import { gapsOf, readWalInventory } from '../../src/catalog/wal-inventory.ts';
import { sleep } from '../../src/lib/sleep.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { startLoad } from '../support/load.ts';
import { drawSeed, randomBelow, seededRandom } from '../support/random.ts';
import {
  differencesFromCopies,
  makeCopyFolder,
  makeTestArchive,
  startReceiver,
  TEST_SERVER,
  waitForWal,
} from '../support/receiving.ts';
import { populate } from '../support/schema.ts';
import { spawnWalnut } from '../support/walnut.ts';

const clusters: TestCluster[] = [];

afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.dispose();
});

async function cluster(options: Parameters<typeof testCluster>[0]): Promise<TestCluster> {
  const made = await testCluster(options);
  clusters.push(made);
  return made;
}

describe('wal receive', () => {
  test('stores every segment as the server has it, and the open one in pieces', async () => {
    const server = await cluster({ major: 18, initdb: { walSegmentMegabytes: 1 } });
    const copies = await makeCopyFolder(server);
    await server.sql(`alter system set archive_mode = on`);
    await server.sql(`alter system set archive_command = '${copies.command}'`);
    await server.server.restart();
    await populate(server);
    const archive = await makeTestArchive(server);
    const running = startReceiver(server, archive);
    await running.receiver.streaming;
    const load = startLoad(server);
    await sleep(2000);
    await load.stop();
    const end = await server.value('select pg_current_wal_flush_lsn()::text');
    await waitForWal(archive, end);
    const switched = await server.value('select pg_switch_wal()::text');
    await waitForWal(archive, switched);
    await sleep(1500);
    await running.stop();
    const inventory = await readWalInventory(archive.store, archive.scope);
    expect(gapsOf(inventory)).toEqual([]);
    const { compared, differences } = await differencesFromCopies(archive, copies.folder);
    expect(differences).toEqual([]);
    expect(compared).toBeGreaterThan(3);
    expect(running.events.filter(({ kind }) => kind === 'retrying')).toEqual([]);
  });

  test('kill -9 at 20 random moments under load leaves no gap and no wrong byte', async () => {
    const seed = drawSeed();
    const random = seededRandom(seed);
    const server = await cluster({ major: 18, initdb: { walSegmentMegabytes: 1 } });
    const copies = await makeCopyFolder(server);
    await server.sql(`alter system set archive_mode = on`);
    await server.sql(`alter system set archive_command = '${copies.command}'`);
    await server.server.restart();
    await populate(server);
    const archive = await makeTestArchive(server);
    const load = startLoad(server, { restMs: 1 });
    for (let kill = 0; kill < 20; kill += 1) {
      const receiver = await spawnWalnut(['wal', 'receive', TEST_SERVER], {
        config: archive.config,
      });
      await receiver.waitForLine('streaming from');
      await sleep(randomBelow(random, 600));
      await receiver.stop('SIGKILL');
    }
    const receiver = await spawnWalnut(['wal', 'receive', TEST_SERVER], { config: archive.config });
    await load.stop();
    const switched = await server.value('select pg_switch_wal()::text');
    await waitForWal(archive, switched);
    await sleep(1500);
    const { exitCode } = await receiver.stop('SIGTERM');
    expect(exitCode, receiver.stderr).toBe(0);
    expect(gapsOf(await readWalInventory(archive.store, archive.scope)), seed).toEqual([]);
    const { compared, differences } = await differencesFromCopies(archive, copies.folder);
    expect(differences, seed).toEqual([]);
    expect(compared).toBeGreaterThan(5);
  });
});
