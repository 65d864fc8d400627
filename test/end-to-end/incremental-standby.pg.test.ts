/** Incremental backups that read a standby, of which each is on top of one of the primary or of the standby. */
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { SUPPORTED_MAJORS } from '../../src/postgres/version.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { versionsAndSources } from '../support/matrix.ts';
import { protect, waitUntil, type ProtectedServer } from '../support/protected-server.ts';
import { populate, WORKLOAD_DATABASES } from '../support/schema.ts';
import { makeStandby } from '../support/standby.ts';
import { wrongAfterRestore } from '../support/restored-state.ts';

const CASES = versionsAndSources([{ major: 18, source: 'connection' }], SUPPORTED_MAJORS);

/** Lets Walnut read `cluster` from now on. */
async function readFrom(server: ProtectedServer, cluster: TestCluster): Promise<void> {
  await server.configure({ connection: cluster.connectionString({ user: 'walnut' }) });
  const config = await readFile(server.config, 'utf8');
  await writeFile(server.config, config.replace(server.cluster.dataFolder, cluster.dataFolder));
}

async function work(primary: TestCluster): Promise<void> {
  for (const database of WORKLOAD_DATABASES) {
    const options = { database };
    await primary.sql('update customers set balance = balance + 1 where id % 5 = 0', options);
    await primary.sql('delete from orders where id % 4 = 1', options);
    await primary.sql('vacuum orders', options);
    await primary.sql(
      `insert into orders (customer, lines, total) select n, '[]', n from generate_series(1, 500) n`,
      options,
    );
  }
}

/** A backup of a standby starts at its last restartpoint, so that one has to be behind the work. */
async function settle(primary: TestCluster, standby: TestCluster): Promise<void> {
  await primary.sql('checkpoint');
  const lsn = await primary.value('select pg_current_wal_flush_lsn()');
  await waitUntil(
    () => `the standby replays ${lsn}`,
    async () => (await standby.value(`select pg_last_wal_replay_lsn() >= '${lsn}'`)) === 'true',
    { pollMs: 50 },
  );
  await standby.sql('checkpoint');
}

describe('incremental backups of a standby', () => {
  test.each(CASES)(
    'of PostgreSQL $major, from $source, come back as the primary was',
    async ({ major, source }) => {
      await using primary = await testCluster({ major, settings: { autovacuum: false } });
      await populate(primary, { scale: 0.1, tablespace: false });
      await using standby = await makeStandby(primary, 'replicator');
      const server = await protect(primary);
      await using receiver = await server.receive();
      const full = await server.backup(['--type', 'full', '--from', source]);
      let parent = full.id;
      for (const read of [standby, standby, primary, standby]) {
        await work(primary);
        await settle(primary, standby);
        await readFrom(server, read);
        const backup = await server.backup(['--type', 'incremental', '--from', source]);
        expect(backup).toMatchObject({ type: 'incremental', parent, changeSource: 'archive' });
        parent = backup.id;
        expect(await wrongAfterRestore({ server, cluster: primary, backup: parent })).toEqual([]);
      }
      await receiver.stop();
    },
  );
});
