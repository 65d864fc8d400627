/**
 * The incident: a table was cut by a vacuum and grew again by pages that WAL never mentions, because the server crashed
 * while it copied rows. PostgreSQL's own incremental backups fill those pages with what the parent had there, and
 * deleted rows are back.
 */
import { describe, expect, test } from 'vitest';
import { SUPPORTED_MAJORS } from '../../src/postgres/version.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { versionsAndSources } from '../support/matrix.ts';
import { protect } from '../support/protected-server.ts';
import { wrongAfterRestore } from '../support/restored-state.ts';

const CASES = versionsAndSources(
  [
    { major: 13, source: 'local' },
    { major: 18, source: 'connection' },
  ],
  SUPPORTED_MAJORS,
);
const ROWS = 3000;
const ROWS_LEFT = 300;

/** Keeps WAL in memory until a transaction ends, so that a crash loses what an unfinished one wrote. */
const LAZY_WAL = { autovacuum: false, wal_buffers: '16MB', wal_writer_delay: '10s', fsync: false };

async function relationBytes(cluster: TestCluster): Promise<number> {
  return Number(await cluster.value("select pg_relation_size('cut')"));
}

/** Inserts in a transaction that never ends, and kills the server when the file has grown. */
async function growAndCrash(cluster: TestCluster): Promise<void> {
  const client = await cluster.connect();
  await client.query('begin');
  await client.query(
    `insert into cut select n, repeat('lost ', 30) from generate_series(1, ${ROWS}) n`,
  );
  const before = await relationBytes(cluster);
  expect(before).toBeGreaterThan(0);
  await cluster.server.kill();
  await client.end().catch(() => {});
  await cluster.server.start();
}

describe('an incremental backup', () => {
  test.each(CASES)(
    'of PostgreSQL $major, from $source, brings no deleted row back where a table was cut and grew without WAL',
    async ({ major, source }) => {
      await using cluster = await testCluster({ major, settings: LAZY_WAL });
      const server = await protect(cluster);
      await using receiver = await server.receive();
      await cluster.sql(
        `create table cut as select n, repeat('there ', 30) as text from generate_series(1, ${ROWS}) n`,
      );
      const full = await server.backup(['--type', 'full', '--from', source]);
      await cluster.sql(`delete from cut where n > ${ROWS_LEFT}`);
      await cluster.sql('vacuum (truncate) cut');
      await cluster.sql('checkpoint');
      const cutBytes = await relationBytes(cluster);
      await growAndCrash(cluster);
      expect(await relationBytes(cluster)).toBeGreaterThan(cutBytes);
      expect(await pagesNeverWritten(cluster)).toBeGreaterThan(0);
      const backup = await server.backup(['--type', 'incremental', '--from', source]);
      expect(backup).toMatchObject({ type: 'incremental', parent: full.id });
      expect(await cluster.value('select count(*)::text from cut')).toBe(String(ROWS_LEFT));
      expect(await wrongAfterRestore({ server, cluster, backup: backup.id })).toEqual([]);
      await receiver.stop();
    },
  );
});

/** Pages of zeros at the end of the table's file, which no WAL describes. */
async function pagesNeverWritten(cluster: TestCluster): Promise<number> {
  const zeros = `decode(repeat('00', 8192), 'hex')`;
  return Number(
    await cluster.value(
      `select count(*) from generate_series(0, pg_relation_size('cut') / 8192 - 1) block
       where pg_read_binary_file(pg_relation_filepath('cut'), block * 8192, 8192) = ${zeros}`,
    ),
  );
}
