/** Clusters that are reached or laid out in uncommon ways, by the built command line. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { giveToUser } from '../../src/sandbox/scratch-folder.ts';
import { adoptCluster, testCluster } from '../support/cluster.ts';
import { contentDifferences, contentOf } from '../support/content.ts';
import { drawnCases, isFullMatrix } from '../support/matrix.ts';
import { protect, waitForRecovery } from '../support/protected-server.ts';
import { populate } from '../support/schema.ts';
import { makeStandby, waitUntilCaughtUp } from '../support/standby.ts';

type Source = 'local' | 'connection' | 'stream';
type Case = { readonly major: 13 | 15 | 18; readonly source: Source };

/** Every case with WALNUT_TEST_MATRIX=full; otherwise `few`, which differ most. */
function cases(all: readonly Case['major'][], few: readonly Case[]): readonly Case[] {
  if (!isFullMatrix()) return few;
  const sources: readonly Source[] = ['local', 'connection', 'stream'];
  return all.flatMap((major) => sources.map((source) => ({ major, source })));
}

const STANDBYS = cases(
  [13, 18],
  [
    { major: 13, source: 'connection' },
    { major: 18, source: 'local' },
    { major: 18, source: 'stream' },
  ],
);
const IN_PLACE = cases(
  [15, 18],
  [
    { major: 15, source: 'stream' },
    { major: 18, source: 'local' },
  ],
);

describe('a standby', () => {
  test.each(drawnCases('standbys', 2, STANDBYS))(
    'of PostgreSQL $major is backed up while the primary works, source $source, and comes back',
    async ({ major, source }) => {
      await using primary = await testCluster({ major, initdb: { dataChecksums: true } });
      await populate(primary, { scale: 0.1, tablespace: false });
      await using standby = await makeStandby(primary);
      const server = await protect(primary, {
        connection: standby.connectionString({ user: 'walnut' }),
      });
      await server.configure({ connection: standby.connectionString({ user: 'walnut' }) });
      const config = await readFile(server.config, 'utf8');
      await writeFile(server.config, config.replace(primary.dataFolder, standby.dataFolder));
      await primary.sql('create table later as select generate_series(1, 5000) as n');
      await waitUntilCaughtUp(standby, primary);
      const expected = await contentOf(primary);
      const document = await server.backup(['--from', source]);
      expect(document).toMatchObject({ source, damagedPages: 0 });
      await server.restore('restored', { words: ['--to-immediate', '--action', 'promote'] });
      await using restored = await server.adopt('restored');
      await restored.server.start();
      await waitForRecovery(restored, 'promote');
      expect(contentDifferences(expected, await contentOf(restored))).toEqual([]);
    },
  );
});

describe('an in-place tablespace', () => {
  test.each(drawnCases('in place', 1, IN_PLACE))(
    'of PostgreSQL $major comes back, source $source',
    async ({ major, source }) => {
      await using cluster = await testCluster({
        major,
        settings: { allow_in_place_tablespaces: true },
      });
      await cluster.sql("create tablespace inside location ''");
      await cluster.sql(
        'create table kept tablespace inside as select n, md5(n::text) as text from generate_series(1, 20000) n',
      );
      const server = await protect(cluster, { connection: cluster.connectionString() });
      await server.backup(['--from', source]);
      await server.restore('restored', { words: ['--to-immediate', '--action', 'promote'] });
      await using restored = await server.adopt('restored');
      await restored.server.start();
      await waitForRecovery(restored, 'promote');
      const question = "select md5(string_agg(text, '' order by n)) from kept";
      expect(await restored.value(question)).toBe(await cluster.value(question));
    },
  );
});

describe('a cluster whose configuration lies elsewhere, as on Debian', () => {
  test('is backed up with its configuration, and the restored one starts with pg_ctl alone', async () => {
    await using cluster = await testCluster({ major: 18 });
    await populate(cluster, { scale: 0.1, tablespace: false });
    const folder = join(cluster.workFolder, 'etc');
    await mkdir(folder);
    await cluster.server.stop('fast');
    for (const name of ['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf']) {
      await rename(join(cluster.dataFolder, name), join(folder, name));
    }
    await giveToUser(folder, cluster.server.user);
    await using moved = await adoptCluster({
      major: 18,
      dataFolder: cluster.dataFolder,
      overrides: {
        config_file: join(folder, 'postgresql.conf'),
        hba_file: join(folder, 'pg_hba.conf'),
        ident_file: join(folder, 'pg_ident.conf'),
      },
    });
    await moved.server.start();
    const expected = await contentOf(moved);
    const server = await protect(cluster, {
      connection: moved.connectionString({ user: 'walnut' }),
    });
    await server.backup([]);
    await server.restore('restored');
    await using restored = await server.adopt('restored');
    await restored.server.start();
    await waitForRecovery(restored, 'promote');
    expect(contentDifferences(expected, await contentOf(restored))).toEqual([]);
  });
});
