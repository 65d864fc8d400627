/** A backup that was killed in mid-copy is redone: what it had stored is shared where it still equals the server's pages. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { backupDocument } from '../../src/api/contract.ts';
import type { MajorVersion } from '../../src/postgres/version.ts';
import { appendBallast } from '../support/ballast.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { drawnCases, versions } from '../support/matrix.ts';
import { protect, waitUntil, type ProtectedServer } from '../support/protected-server.ts';
import { wrongAfterRestore } from '../support/restored-state.ts';

const MB = 1024 * 1024;
/** More than one pack of what does not compress: only finished packs outlive the process. */
const BALLAST_BYTES = 176 * MB;
/** Of the killed attempt, so that it is killed before it ends. */
const SLOWLY = ['--rate', '80MB/s'];

type Case = {
  readonly type: 'full' | 'incremental';
  readonly source: 'local' | 'connection';
};
const CASES: readonly Case[] = [
  { type: 'full', source: 'connection' },
  { type: 'incremental', source: 'local' },
  { type: 'full', source: 'local' },
  { type: 'incremental', source: 'connection' },
];

type Scene = { readonly cluster: TestCluster; readonly server: ProtectedServer };

async function begin(major: MajorVersion, type: Case['type']): Promise<Scene> {
  const cluster = await testCluster({
    major,
    initdb: { dataChecksums: false },
    settings: { autovacuum: false },
  });
  const server = await protect(cluster);
  if (type === 'incremental') await server.backup(['--type', 'full', '--from', 'local']);
  await cluster.sql(
    "create table items as select n, repeat('walnut ', 10) as text from generate_series(1, 20000) n",
  );
  await cluster.sql('create table others as select n from generate_series(1, 5000) n');
  await appendBallast(cluster, 'items', BALLAST_BYTES);
  return { cluster, server };
}

/** Kills the backup when it has finished a pack, and answers its id. */
async function killInMidCopy({ server }: Scene, words: readonly string[]): Promise<string> {
  const before = await attempts(server);
  await using backup = await server.start(['backup', 'shop', ...words, ...SLOWLY]);
  let id: string | undefined;
  await waitUntil(
    () => `a pack of the backup: ${backup.stdout}${backup.stderr}`,
    async () => {
      id = (await attempts(server)).find((each) => !before.includes(each));
      return id !== undefined && existsSync(join(folderOf(server, id), 'pack-000001'));
    },
    { pollMs: 20 },
  );
  expect(backup.isRunning).toBe(true);
  await backup.stop('SIGKILL');
  return id ?? '';
}

async function attempts(server: ProtectedServer): Promise<string[]> {
  return await readdir(join(server.repository, 'shop/backup')).catch(() => []);
}

function folderOf({ repository }: ProtectedServer, id: string): string {
  return join(repository, 'shop/backup', id);
}

describe.each(versions([18], [13, 18]))('PostgreSQL %i', (major) => {
  test.each(drawnCases('redone', 1, CASES))(
    'a killed $type backup from $source is redone and stores only what it has to',
    async ({ type, source }) => {
      const scene = await begin(major, type);
      await using cluster = scene.cluster;
      const { server } = scene;
      await using receiver = await server.receive();
      const words = ['--type', type, '--from', source, '--jobs', '1'];
      const dead = await killInMidCopy(scene, words);
      // All in pages of the pack that the dead attempt left.
      await cluster.sql("update items set text = 'changed' where n % 7 = 0 and n < 10000");
      await cluster.sql('delete from items where n % 11 = 0');
      await cluster.sql('checkpoint');

      const result = await server.run(['backup', 'shop', ...words, '--json']);
      expect(result).toMatchObject({ exitCode: 0 });
      expect(result.stderr).toContain(`the backup ${dead} was interrupted`);
      const backup = backupDocument.parse(result.json());
      expect(backup).toMatchObject({ type });
      expect(backup.storedBytes).toBeLessThan(BALLAST_BYTES / 2);
      expect(await readdir(folderOf(server, dead))).toEqual(['pack-000001']);
      expect((await server.list()).backups.map(({ id }) => id)).not.toContain(dead);
      expect(await wrongAfterRestore({ server, cluster, backup: backup.id })).toEqual([]);
      expect(await server.json(['verify', 'shop'])).toMatchObject({ damaged: [] });
      await receiver.stop();
    },
  );

  test('of a killed backup nothing stays when the next one shares nothing', async () => {
    const scene = await begin(major, 'full');
    await using cluster = scene.cluster;
    const { server } = scene;
    await using receiver = await server.receive();
    const words = ['--type', 'full', '--from', 'local', '--jobs', '1'];
    const dead = await killInMidCopy(scene, words);
    await cluster.sql('truncate items');
    await cluster.sql('drop table others');
    await cluster.sql('vacuum full');
    await cluster.sql('checkpoint');
    const backup = await server.backup([...words, '--fresh']);
    expect(await attempts(server)).toEqual([backup.id]);
    expect(existsSync(folderOf(server, dead))).toBe(false);
    expect(await wrongAfterRestore({ server, cluster, backup: backup.id })).toEqual([]);
    await receiver.stop();
  });
});
