/** WAL of a backup that Walnut takes from the server's pg_wal itself, while archive_command does not bring it. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { walStatusDocument } from '../../src/api/wal-contract.ts';
import { testCluster } from '../support/cluster.ts';
import { contentDifferences, contentOf } from '../support/content.ts';
import { startLoad } from '../support/load.ts';
import { protect, waitForRecovery, waitUntil } from '../support/protected-server.ts';
import { populate } from '../support/schema.ts';

const FAILING = { archive_mode: 'on', archive_command: '/bin/false' };

test('a backup on the database host does not wait for the archiver, and says that it fails', async () => {
  const initdb = { walSegmentMegabytes: 1 };
  await using cluster = await testCluster({ major: 18, settings: FAILING, initdb });
  await populate(cluster, { scale: 0.1, tablespace: false });
  const server = await protect(cluster, { toml: 'wal = "archive"\n' });
  const load = startLoad(cluster);
  const full = await server.backup(['--from', 'local']);
  await load.waitForCommits(60);
  // Begins in the middle of a segment.
  const incremental = await server.backup(['--from', 'local']);
  await load.stop();
  const last = await server.backup(['--from', 'local']);
  expect([full.type, incremental.type, last.type]).toEqual(['full', 'incremental', 'incremental']);
  expect(last.changeSource).toBe('archive');
  for (const { warnings } of [full, incremental, last]) {
    expect(warnings).toEqual([expect.stringContaining("the server's archiver fails")]);
  }
  await server.restore('restored', { words: ['--to-immediate'] });
  await using restored = await server.adopt('restored');
  await restored.server.start();
  await waitForRecovery(restored, 'pause');
  expect(contentDifferences(await contentOf(cluster), await contentOf(restored))).toEqual([]);

  // Now the archiver brings the same segments, and all others.
  const program = join(inject('installation'), 'bin/walnut');
  const command = `${program} --config ${server.config} wal push shop %p --ahead ${join(cluster.workFolder, 'ahead')}`;
  await cluster.sql(`alter system set archive_command = '${command}'`);
  await cluster.sql('select pg_reload_conf()');
  const folder = join(cluster.dataFolder, 'pg_wal/archive_status');
  await waitUntil(
    () => 'nothing waits to be archived',
    async () => !(await readdir(folder)).some((name) => name.endsWith('.ready')),
  );
  const { servers } = walStatusDocument.parse(await server.json(['wal', 'status', 'shop']));
  expect(servers).toMatchObject([{ gaps: [], slot: null, error: null }]);
  const sound = await server.backup(['--from', 'local']);
  expect(sound.warnings).toEqual([]);
  expect(await server.run(['verify', 'shop'])).toMatchObject({ exitCode: 0 });
});

test('an account other than that of the server leaves WAL to the archiver', async (context) => {
  if (process.geteuid?.() !== 0) {
    context.skip('only root can read the files of another account');
    return;
  }
  await using cluster = await testCluster({ major: 18, settings: FAILING });
  const server = await protect(cluster, { toml: 'wal = "archive"\n' });
  const program = join(inject('installation'), 'bin/walnut');
  const command = `${program} --config ${server.config} wal push shop %p`;
  await cluster.sql(`alter system set archive_command = '${command}'`);
  await cluster.sql('select pg_reload_conf()');
  const result = await server.run(['backup', 'shop', '--from', 'local', '--json'], {
    asUser: 'self',
  });
  expect(result).toMatchObject({ exitCode: 0 });
  const folder = join(server.repository, 'shop/wal');
  const entries = await readdir(folder, { recursive: true });
  expect(entries.length).toBeGreaterThan(1);
  for (const entry of entries) {
    const { uid } = await stat(join(folder, entry));
    expect({ entry, uid }).toEqual({ entry, uid: cluster.server.user.uid });
  }
});
