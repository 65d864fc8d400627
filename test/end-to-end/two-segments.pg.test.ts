/** A relation of more than one gigabyte lies in several files; blocks are numbered across them. */
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { BackupDocument } from '../../src/api/contract.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { versionsAndSources } from '../support/matrix.ts';
import { protect } from '../support/protected-server.ts';
import { wrongAfterRestore } from '../support/restored-state.ts';

const CASES = versionsAndSources([{ major: 18, source: 'local' }], [13, 15, 18]);
const GB = 1024 * 1024 * 1024;
const SEGMENT_BLOCKS = 131_072;
const MB = 1024 * 1024;

const CHANGES_ON_BOTH_SIDES = [
  "update long set text = 'changed' where n % 100 = 7 and n < 5000",
  "update long set text = 'changed' where n % 100 = 9 and n > 5000",
  'delete from long where n > 9000',
  'vacuum (truncate) long',
];
/** The second file stays, without a byte. */
const CUT_TO_THE_FIRST = [
  'delete from long where n > 4000',
  'vacuum (truncate) long',
  "insert into long select n, 'again' from generate_series(1, 3000) n",
];

/** Fills the first file up with a hole, so that the next rows begin the second one. */
async function growToSecondSegment(cluster: TestCluster): Promise<void> {
  await cluster.sql(
    "create table long as select n, repeat('first ', 20) as text from generate_series(1, 5000) n",
  );
  const path = await cluster.value("select pg_relation_filepath('long')");
  await cluster.sql('checkpoint');
  await cluster.server.stop('fast');
  await truncate(join(cluster.dataFolder, path), GB);
  await cluster.server.start();
  await cluster.sql(
    "insert into long select n, repeat('second ', 20) from generate_series(5001, 15000) n",
  );
}

async function lastBlock(cluster: TestCluster): Promise<number> {
  return Number(await cluster.value('select max((ctid::text::point)[0]) from long'));
}

describe('an incremental backup', () => {
  test.each(CASES)(
    'of PostgreSQL $major, from $source, brings changes on both sides of the boundary back',
    async ({ major, source }) => {
      await using cluster = await testCluster({ major, settings: { autovacuum: false } });
      const server = await protect(cluster);
      await using receiver = await server.receive();
      await growToSecondSegment(cluster);
      expect(await lastBlock(cluster)).toBeGreaterThan(SEGMENT_BLOCKS);
      const full = await server.backup(['--type', 'full', '--from', source]);
      let parent: BackupDocument = full;
      for (const changes of [CHANGES_ON_BOTH_SIDES, CUT_TO_THE_FIRST]) {
        for (const change of changes) {
          await cluster.sql(change);
          const backup = await server.backup(['--type', 'incremental', '--from', source]);
          expect(backup).toMatchObject({ parent: parent.id, changeSource: 'archive' });
          expect(backup.readBytes).toBeLessThan(32 * MB);
          parent = backup;
        }
        expect(await wrongAfterRestore({ server, cluster, backup: parent.id })).toEqual([]);
      }
      await receiver.stop();
    },
  );
});
