/**
 * The incident: INSERT, UPDATE and DELETE clear bits of the visibility map without naming its block in WAL (before 17.11
 * and 18.6, and always before 17), and without a new LSN on its page. An incremental backup that trusts WAL or LSNs
 * keeps the old map, and index-only scans of the restored cluster show rows that are gone.
 */
import { describe, expect, test } from 'vitest';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { versionsAndSources } from '../support/matrix.ts';
import { protect } from '../support/protected-server.ts';
import { wrongAfterRestore } from '../support/restored-state.ts';

const CASES = versionsAndSources(
  [
    { major: 16, source: 'local' },
    { major: 18, source: 'connection' },
  ],
  [16, 17, 18],
);

/** All pages all-visible and all-frozen, on disk. */
async function makeVisibleTable(cluster: TestCluster): Promise<void> {
  await cluster.sql(
    "create table visible as select n, repeat('walnut ', 20) as text from generate_series(1, 3000) n",
  );
  await cluster.sql('create index on visible (n)');
  await cluster.sql('vacuum (freeze, analyze) visible');
  await cluster.sql('checkpoint');
}

async function pagesAllVisible(cluster: TestCluster): Promise<number> {
  await cluster.sql('create extension if not exists pg_visibility');
  return Number(
    await cluster.value("select all_visible from pg_visibility_map_summary('visible')"),
  );
}

describe('an incremental backup', () => {
  test.each(CASES)(
    'of PostgreSQL $major, from $source: visibility bits cleared since the parent are cleared in the restored cluster',
    async ({ major, source }) => {
      await using cluster = await testCluster({ major, settings: { autovacuum: false } });
      const server = await protect(cluster);
      await using receiver = await server.receive();
      await makeVisibleTable(cluster);
      const visibleBefore = await pagesAllVisible(cluster);
      const full = await server.backup(['--type', 'full', '--from', source]);
      await cluster.sql("update visible set text = 'changed' where n % 150 = 0");
      expect(await pagesAllVisible(cluster)).toBeLessThan(visibleBefore);
      await cluster.sql('checkpoint');
      const backup = await server.backup(['--type', 'incremental', '--from', source]);
      expect(backup).toMatchObject({
        type: 'incremental',
        parent: full.id,
        changeSource: 'archive',
      });
      expect(await wrongAfterRestore({ server, cluster, backup: backup.id })).toEqual([]);
      await receiver.stop();
    },
  );
});
