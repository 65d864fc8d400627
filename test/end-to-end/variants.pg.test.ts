/** Clusters, roles and pages that are not as in the guide, by the built command line. */
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  backupDocument,
  errorDocument,
  showDocument,
  type BackupDocument,
  type ErrorDocument,
} from '../../src/api/contract.ts';
import { TEST_PASSWORD, testCluster, type TestCluster } from '../support/cluster.ts';
import { contentDifferences, contentOf } from '../support/content.ts';
import { startLoad } from '../support/load.ts';
import { drawnCases } from '../support/matrix.ts';
import {
  protect,
  waitForRecovery,
  waitUntil,
  type ProtectedServer,
} from '../support/protected-server.ts';
import { populate } from '../support/schema.ts';

const MAJOR = 18;
const PAGE_BYTES = 8192;
const MB = 1024 * 1024;

// 16 MB segments and checksums are what the story is told on.
const LAYOUTS = [
  { walSegmentMegabytes: 1, dataChecksums: true, wal: 'fetch' },
  { walSegmentMegabytes: 64, dataChecksums: true, wal: 'fetch' },
  { walSegmentMegabytes: 16, dataChecksums: false, wal: 'copy' },
];

describe('a cluster', () => {
  test.each(drawnCases('layouts', 2, LAYOUTS))(
    'with segments of $walSegmentMegabytes MB and checksums $dataChecksums comes back',
    async ({ walSegmentMegabytes, dataChecksums, wal }) => {
      const initdb = { walSegmentMegabytes, dataChecksums };
      await using cluster = await testCluster({ major: MAJOR, initdb });
      await populate(cluster, { scale: 0.05, tablespace: false });
      const server = await protect(cluster);
      await using receiver = await server.receive();
      const load = startLoad(cluster);
      const { id } = await server.backup([]);
      await load.waitForCommits(50);
      await cluster.sql('select pg_switch_wal()');
      await load.waitForCommits(20);
      const marker = await load.mark('marker');
      await load.waitForCommits(20);
      await load.stop();
      await server.waitUntilStored(await cluster.value('select pg_current_wal_flush_lsn()'));
      await receiver.stop();
      const shown = showDocument.parse(await server.json(['show', 'shop', id]));
      expect(shown).toMatchObject({ walSegmentBytes: walSegmentMegabytes * MB, dataChecksums });
      const words = ['--to-time', marker.time, '--wal', wal];
      await server.restore('restored', { words });
      await using restored = await server.adopt('restored');
      await restored.server.start();
      await waitForRecovery(restored, 'pause');
      expect(contentDifferences(marker.content, await contentOf(restored))).toEqual([]);
    },
  );
});

describe('a role without superuser', () => {
  let cluster: TestCluster;
  let server: ProtectedServer;

  beforeAll(async () => {
    cluster = await testCluster({ major: MAJOR, initdb: { walSegmentMegabytes: 1 } });
    server = await protect(cluster);
  }, 180_000);

  afterAll(async () => {
    await cluster.dispose();
  });

  /** Makes a role and lets Walnut use it. */
  async function useRole(name: string, attributes = '', password = TEST_PASSWORD): Promise<void> {
    await cluster.sql(`create role ${name} login password '${TEST_PASSWORD}' ${attributes}`);
    await server.configure({ connection: cluster.connectionString({ user: name, password }) });
  }

  async function refusal(words: readonly string[]): Promise<ErrorDocument['error']> {
    const result = await server.run([...words, '--json']);
    expect(result.exitCode).toBe(1);
    const { error } = errorDocument.parse(
      JSON.parse(result.stdout.trim().split('\n').at(-1) ?? ''),
    );
    return error;
  }

  test('with a wrong password is told so, and does not see it', async () => {
    await useRole('forgetful', 'replication in role walnut', 'not the one');
    const { code, hint, message } = await refusal(['backup', 'shop']);
    expect(code).toBe('authentication');
    expect(`${message}${hint}`).not.toContain('not the one');
    const [statement = ''] = /ALTER ROLE forgetful PASSWORD '…';/.exec(hint ?? '') ?? [];
    await cluster.sql(statement.replace('…', 'not the one'));
    await server.backup(['--from', 'local']);
  });

  test.each(['local', 'connection'])(
    'without the grants for source %s is given the statements',
    async (source) => {
      await useRole(`stranger_${source}`, 'replication');
      const { code, hint } = await refusal(['backup', 'shop', '--from', source]);
      expect(code).toBe('permission');
      const statements = hint?.match(/GRANT [^;]+;/g) ?? [];
      expect(statements.length).toBeGreaterThan(1);
      await cluster.sql(statements.join('\n'));
      const { source: used } = await server.backup(['--from', source]);
      expect(used).toBe(source);
    },
  );

  test('that may not replicate is given the statement', async () => {
    await useRole('reader', 'in role walnut');
    for (const words of [
      ['wal', 'receive', 'shop'],
      ['backup', 'shop'],
      ['backup', 'shop', '--from', 'stream'],
    ]) {
      const { code, hint } = await refusal(words);
      expect(code).toBe('permission');
      expect(hint).toContain('ALTER ROLE reader REPLICATION;');
    }
    await cluster.sql('ALTER ROLE reader REPLICATION;');
    await using receiver = await server.receive();
    await server.backup(['--from', 'stream']);
    await receiver.stop();
  });

  test('that no line of pg_hba.conf lets in is given the lines', async () => {
    await useRole('outsider', 'replication in role walnut');
    const path = join(cluster.dataFolder, 'pg_hba.conf');
    const before = await readFile(path, 'utf8');
    const setLines = async (lines: readonly string[]): Promise<void> => {
      await writeFile(path, ['local all postgres trust', ...lines, ''].join('\n'));
      await reload();
    };
    await setLines([]);
    const lineFor = async (words: readonly string[]): Promise<string> => {
      const { code, hint } = await refusal(words);
      expect(code).toBe('authentication');
      return hint?.split('\n').find((line) => line.startsWith('host ')) ?? '';
    };
    const forReplication = await lineFor(['wal', 'receive', 'shop']);
    expect(forReplication).toMatch(/^host +replication +outsider +127\.0\.0\.1\/32 +scram/);
    await setLines([forReplication]);
    await using receiver = await server.receive();
    // By stream a backup does without a session; what reads over SQL cannot.
    expect((await server.backup([])).source).toBe('stream');
    const forSessions = await lineFor(['backup', 'shop', '--from', 'connection']);
    expect(forSessions).toMatch(/^host +postgres +outsider +127\.0\.0\.1\/32 +scram/);
    await setLines([forReplication, forSessions]);
    expect((await server.backup([])).source).toBe('local');
    await receiver.stop();
    await writeFile(path, before);
    await reload();
  });

  async function reload(): Promise<void> {
    const loadedAt = await cluster.value('select pg_conf_load_time()::text');
    cluster.server.reload();
    await waitUntil(
      () => 'the server has read pg_hba.conf',
      async () => (await cluster.value('select pg_conf_load_time()::text')) !== loadedAt,
      { pollMs: 20 },
    );
  }
});

describe('a damaged page', () => {
  let cluster: TestCluster;
  let server: ProtectedServer;
  let sound: BackupDocument;
  let file: string;

  beforeAll(async () => {
    cluster = await testCluster({
      major: MAJOR,
      initdb: { walSegmentMegabytes: 1, dataChecksums: true },
      settings: { autovacuum: false },
    });
    await cluster.sql(
      'create table ledger as select n, md5(n::text) from generate_series(1, 5000) n',
    );
    server = await protect(cluster);
    sound = await server.backup(['--name', 'before the damage']);
    file = await cluster.value("select pg_relation_filepath('ledger')");
    await cluster.server.stop();
    await damage(join(cluster.dataFolder, file), 7);
    await cluster.server.start();
  }, 180_000);

  afterAll(async () => {
    await cluster.dispose();
  });

  /** Writes garbage into the middle of a block. */
  async function damage(path: string, block: number): Promise<void> {
    const handle = await open(path, 'r+');
    await handle.write(Buffer.alloc(100, 0xa5), 0, 100, block * PAGE_BYTES + 4000);
    await handle.close();
  }

  test.each(['local', 'connection', 'stream'])(
    'is named by file, block and relation, and the backup is kept: %s',
    async (source) => {
      const words = ['--type', 'full', '--from', source, '--json'];
      const result = await server.run(['backup', 'shop', ...words]);
      expect(result.exitCode).toBe(4);
      const document = backupDocument.parse(result.json());
      expect(document).toMatchObject({
        damagedPages: 1,
        damage: [{ file, block: 7, relation: 'postgres.public.ledger' }],
      });
      const { backups } = await server.list();
      expect(backups.find(({ id }) => id === document.id)).toMatchObject({ damaged: true });
    },
  );

  test('is printed for a person', async () => {
    const result = await server.run(['backup', 'shop', '--type', 'full']);
    expect(result.exitCode).toBe(4);
    expect(result.stdout).toContain(`${file}, block 7, of postgres.public.ledger`);
  });

  test('makes restore pass the backup over, with a message; the one before is whole', async () => {
    const result = await server.run(server.restoreWords('whole'));
    expect(result).toMatchObject({ exitCode: 0 });
    const { backups } = await server.list();
    const damaged = backups.filter((backup) => backup.damaged);
    expect(damaged.length).toBeGreaterThan(0);
    for (const { id } of damaged) {
      expect(`${result.stdout}${result.stderr}`).toContain(`backup ${id} is passed over`);
    }
    expect(result.stdout).toContain(sound.id);
    await using restored = await server.adopt('whole');
    await restored.server.start();
    await waitForRecovery(restored, 'promote');
    expect(await restored.value('select count(*) from ledger')).toBe('5000');
  });

  test('comes back with its backup when that is asked for by name', async () => {
    const { backups } = await server.list();
    const damaged = backups.find((backup) => backup.damaged)?.id ?? '';
    const words = ['--backup', damaged, '--to-immediate', '--action', 'promote'];
    const result = await server.run(server.restoreWords('damaged', { words }));
    expect(result).toMatchObject({ exitCode: 0 });
    expect(`${result.stdout}${result.stderr}`).toContain('postgres.public.ledger block 7');
    await using restored = await server.adopt('damaged');
    await restored.server.start();
    await waitForRecovery(restored, 'promote');
    await expect(restored.value('select count(*) from ledger')).rejects.toThrow(/invalid page/);
  });

  test('is not read by an incremental: WAL tells of no change, so the sound page of the parent stands', async () => {
    const { type, damagedPages, parent } = await server.backup(['--type', 'incremental']);
    expect({ type, damagedPages, parent }).toEqual({
      type: 'incremental',
      damagedPages: 0,
      parent: sound.id,
    });
  });
});
