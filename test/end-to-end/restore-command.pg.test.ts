/** `walnut restore` as a person types it: WAL fetched by the shim that it wrote, JSON documents, next steps. */
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { restoreDocument, restorePlanDocument } from '../../src/api/restore-contract.ts';
import { sleep } from '../../src/lib/sleep.ts';
import { createRepository } from '../../src/repository/repository.ts';
import { giveToUser } from '../../src/sandbox/scratch-folder.ts';
import { isRoot } from '../../src/sandbox/unprivileged-user.ts';
import { createFilesystemFolder } from '../../src/storage/filesystem/filesystem-store.ts';
import { openStore } from '../../src/storage/open-store.ts';
import { adoptCluster, testCluster, type TestCluster } from '../support/cluster.ts';
import { contentDifferences, contentOf, type ClusterContent } from '../support/content.ts';
import { startLoad, type Marker } from '../support/load.ts';
import { populate } from '../support/schema.ts';
import { runWalnut, writeConfig, type WalnutResult } from '../support/walnut.ts';

describe('walnut restore', () => {
  let cluster: TestCluster;
  let config: string;
  let repository: string;
  let marker: Marker;
  let content: ClusterContent;

  beforeAll(async () => {
    cluster = await testCluster({ major: 18 });
    repository = join(cluster.workFolder, 'repository');
    config = await writeConfig(
      cluster.workFolder,
      [
        '[repository.main]',
        `url = "file://${repository}"`,
        '[server.shop]',
        `connection = "${cluster.server.connectionString()}"`,
        `data_directory = "${cluster.dataFolder}"`,
        'repository = "main"',
        'wal = "archive"',
        '',
      ].join('\n'),
    );
    await createFilesystemFolder({ kind: 'filesystem', path: repository });
    await createRepository(await openStore({ kind: 'filesystem', path: repository }), new Date());
    await giveToUser(repository, cluster.server.user);
    const program = join(inject('installation'), 'bin/walnut');
    await cluster.sql('alter system set archive_mode = on');
    await cluster.sql(
      `alter system set archive_command = '${program} wal push --config ${config} shop "%p"'`,
    );
    await cluster.sql("alter system set archive_timeout = '1s'");
    await cluster.server.restart();
    await populate(cluster);
    const load = startLoad(cluster);
    await load.waitForCommits(30);
    const backup = await walnut('backup', 'shop', '--from', 'local');
    if (backup.exitCode !== 0) throw new Error(backup.stderr);
    marker = await load.mark('marker');
    await load.waitForCommits(50);
    await load.stop();
    content = await contentOf(cluster);
    const last = await cluster.value('select pg_walfile_name(pg_current_wal_lsn())');
    await cluster.sql('select pg_switch_wal()');
    const archived = 'select coalesce(last_archived_wal, $1) from pg_stat_archiver';
    while ((await cluster.value(archived, { parameters: [''] })) < last) await sleep(100);
  }, 180_000);

  afterAll(async () => {
    await cluster.dispose();
  });

  async function walnut(...words: string[]): Promise<WalnutResult> {
    return await runWalnut(words, { config });
  }

  /** A target with the tablespaces beside it. */
  function into(name: string): { folder: string; words: string[] } {
    const folder = join(cluster.workFolder, name, 'data');
    const tablespace = `walnut space=${join(cluster.workFolder, name, 'space')}`;
    return { folder, words: ['restore', 'shop', '--target', folder, '--tablespace', tablespace] };
  }

  test('a dry run prints the plan as text and as a document, and makes nothing', async () => {
    const { folder, words } = into('dry');
    const text = await walnut(...words, '--dry-run');
    expect(text).toMatchObject({ exitCode: 0 });
    expect(text.stdout).toContain('restore_command');
    const json = await walnut(...words, '--dry-run', '--json');
    const plan = restorePlanDocument.parse(json.json());
    expect(plan).toMatchObject({ dryRun: true, server: 'shop', target: folder, overwrites: [] });
    expect(await readdir(cluster.workFolder)).not.toContain('dry');
  });

  test('WAL is fetched by the command that the restore wrote, up to the end of the plan', async () => {
    const { folder, words } = into('latest');
    const result = await walnut(...words, '--json');
    expect(result).toMatchObject({ exitCode: 0 });
    const document = restoreDocument.parse(result.json());
    expect(document).toMatchObject({ target: folder, wal: { mode: 'fetch' } });
    await using restored = await adoptCluster({ major: 18, dataFolder: folder });
    await restored.server.start();
    while ((await restored.value('select pg_is_in_recovery()')) === 'true') await sleep(50);
    expect(contentDifferences(content, await contentOf(restored))).toEqual([]);
  });

  test('at a target it pauses, and the text says how to go on', async () => {
    const { folder, words } = into('named');
    const result = await walnut(...words, '--to-name', marker.name, '--set', 'work_mem=5MB');
    expect(result).toMatchObject({ exitCode: 0 });
    expect(result.stdout).toContain(`pg_ctl -D ${folder} promote`);
    await using restored = await adoptCluster({ major: 18, dataFolder: folder });
    await restored.server.start();
    while ((await restored.value('select pg_is_wal_replay_paused()')) === 'false') await sleep(50);
    expect(contentDifferences(marker.content, await contentOf(restored))).toEqual([]);
    expect(await restored.value('show work_mem')).toBe('5MB');
    await restored.server.promote();
    expect(await restored.value('select pg_is_in_recovery()')).toBe('false');
  });

  test('an account that cannot read the repository is found out before anything is written', async () => {
    if (!isRoot()) return;
    const { folder, words } = into('denied');
    const result = await runWalnut([...words, '--owner', 'daemon', '--json'], {
      config,
      asUser: 'self',
    });
    expect(result.exitCode).toBe(1);
    expect(result.json()).toMatchObject({
      error: { code: 'permission', hint: expect.stringContaining('--wal copy') },
    });
    await expect(readdir(dirname(folder))).rejects.toThrow('ENOENT');
    const copied = await runWalnut([...words, '--owner', 'daemon', '--wal', 'copy'], {
      config,
      asUser: 'self',
    });
    expect(copied).toMatchObject({ exitCode: 0 });
  });

  test('a folder with content is refused', async () => {
    const { words } = into('latest');
    const result = await walnut(...words, '--json');
    expect(result.exitCode).toBe(1);
    expect(result.json()).toMatchObject({ error: { code: 'target-not-empty' } });
  });

  test('in place as root, what is written belongs to the owner of the directory', async () => {
    if (!isRoot()) return;
    const { folder, words } = into('latest');
    const { uid } = await stat(folder);
    const options = { config, asUser: 'self' } as const;
    const result = await runWalnut([...words, '--delta', '--json'], options);
    expect(result).toMatchObject({ exitCode: 0 });
    const { keptBytes, restoredBytes } = restoreDocument.parse(result.json());
    expect(keptBytes).toBeGreaterThan(restoredBytes);
    for (const path of [
      '.',
      'PG_VERSION',
      'global/pg_control',
      'pg_wal',
      'base',
      'recovery.signal',
    ]) {
      expect((await stat(join(folder, path))).uid).toBe(uid);
    }
    await using restored = await adoptCluster({ major: 18, dataFolder: folder });
    await restored.server.start();
    while ((await restored.value('select pg_is_in_recovery()')) === 'true') await sleep(50);
    expect(contentDifferences(content, await contentOf(restored))).toEqual([]);
  });
});
