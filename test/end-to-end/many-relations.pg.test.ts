/** A cluster of thousands of relations: more files than one chunk of a map holds. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { restorePlanDocument } from '../../src/api/restore-contract.ts';
import { sleep } from '../../src/lib/sleep.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { isFullMatrix } from '../support/matrix.ts';
import { protect, waitForRecovery, type ProtectedServer } from '../support/protected-server.ts';

const MB = 1024 * 1024;
const RELATIONS = isFullMatrix() ? 20_000 : 2500;
/** A transaction holds a lock for each relation that it makes. */
const AT_ONCE = 500;
const QUIET_MS = 4000;
/** Telling all tables' rows in one statement takes a lock for each. */
const SETTINGS = { autovacuum: false, max_locks_per_transaction: 512 };

async function createTables(cluster: TestCluster): Promise<void> {
  for (let first = 0; first < RELATIONS; first += AT_ONCE) {
    await cluster.sql(
      `do $$ begin for i in ${first}..${first + AT_ONCE - 1} loop
         execute format('create table many_%s as select i as n from generate_series(1, %s) i', i, 1 + i % 9);
       end loop; end $$`,
    );
  }
}

/** One text that tells every table's rows. */
async function tellTables(cluster: TestCluster): Promise<string> {
  return await cluster.value(
    `select md5(string_agg(relname || query_to_xml(format('select sum(n), count(*) from %I', relname), true, true, '')::text, ''
       order by relname)) from pg_class where relname like 'many%' and relkind = 'r'`,
  );
}

/** Names of the chunks of maps that a backup stored itself. */
async function storedChunks(server: ProtectedServer, id: string): Promise<string[]> {
  const names = await readdir(join(server.repository, 'shop/backup', id));
  return names.filter((name) => name.startsWith('map-'));
}

test(`an incremental backup of ${RELATIONS} relations shares what did not change, and comes back whole`, async () => {
  await using cluster = await testCluster({ major: 18, settings: SETTINGS });
  await createTables(cluster);
  const server = await protect(cluster);
  await using receiver = await server.receive();
  // Hint bits are on disk by then, and no file was changed so shortly before that the next backup must look at it again.
  await cluster.sql('vacuum');
  await cluster.sql('checkpoint');
  await sleep(QUIET_MS);
  const full = await server.backup(['--type', 'full', '--from', 'local']);
  expect(full.files).toBeGreaterThan(RELATIONS);
  const chunks = await storedChunks(server, full.id);
  expect(chunks.length).toBeGreaterThan(1);

  const idle = await server.backup(['--type', 'incremental', '--from', 'local']);
  expect(idle).toMatchObject({ parent: full.id, changeSource: 'archive' });
  expect(idle.readBytes).toBeLessThan(8 * MB);
  expect(idle.storedBytes).toBeLessThan(MB);
  expect((await storedChunks(server, idle.id)).length).toBeLessThan(chunks.length);

  await cluster.sql(
    'update many_17 set n = n + 1; drop table many_18; create table many_new as select 5 as n',
  );
  await cluster.sql(`insert into many_${RELATIONS - 1} select 7 from generate_series(1, 1000)`);
  const last = await server.backup(['--type', 'incremental', '--from', 'connection']);
  expect(last).toMatchObject({ parent: idle.id, changeSource: 'archive' });
  const expected = await tellTables(cluster);

  const { backups } = await server.list();
  expect(backups.map(({ id }) => id)).toEqual([full.id, idle.id, last.id]);
  const words = ['--backup', last.id, '--to-immediate', '--action', 'promote'];
  const planned = restorePlanDocument.parse(
    await server.json([...server.restoreWords('restored', { words }), '--dry-run']),
  );
  expect(planned).toMatchObject({ backup: last.id, files: last.files });
  await server.restore('restored', { words });
  await using restored = await server.adopt('restored');
  await restored.server.start();
  await waitForRecovery(restored, 'promote');
  expect(await tellTables(restored)).toBe(expected);
  await receiver.stop();
});
