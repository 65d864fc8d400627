/** A role with REPLICATION and nothing else, whom pg_hba.conf lets in for replication and nothing else. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { versions } from '../support/matrix.ts';
import { checkDocument, initDocument, showDocument } from '../../src/api/contract.ts';
import { walStatusDocument } from '../../src/api/wal-contract.ts';
import type { MajorVersion } from '../../src/postgres/version.ts';
import { TEST_PASSWORD, testCluster, type TestCluster } from '../support/cluster.ts';
import { contentDifferences, contentOf } from '../support/content.ts';
import { protect, waitForRecovery, waitUntil } from '../support/protected-server.ts';
import { populate, WORKLOAD_TABLESPACE } from '../support/schema.ts';
import { makeStandby, waitUntilCaughtUp } from '../support/standby.ts';

const ROLE = 'streamer';
const TEST_ACCESS = 'local all postgres trust';
const REPLICATION_LINE = `host replication ${ROLE} 127.0.0.1/32 scram-sha-256`;
const DATABASE_LINE = `host postgres ${ROLE} 127.0.0.1/32 scram-sha-256`;

/** Nothing but these lines, beside the socket that the tests themselves use. */
async function allowOnly(cluster: TestCluster, ...lines: readonly string[]): Promise<void> {
  const path = join(cluster.dataFolder, 'pg_hba.conf');
  await writeFile(path, `${[TEST_ACCESS, ...lines].join('\n')}\n`);
  cluster.server.reload();
  const rules = 'select count(*) from pg_hba_file_rules';
  await waitUntil(
    () => 'pg_hba.conf is read',
    async () => (await cluster.value(rules)) === String(lines.length + 1),
  );
  // The view reads the file anew; what counts is the postmaster's own reading.
  await cluster.sql('select pg_sleep(0.3)');
}

async function startCluster(major: MajorVersion): Promise<TestCluster> {
  const cluster = await testCluster({
    major,
    initdb: { dataChecksums: true, walSegmentMegabytes: 1 },
    roles: false,
  });
  await cluster.sql(`create role ${ROLE} login replication password '${TEST_PASSWORD}'`);
  return cluster;
}

describe.each(versions([18], [13, 15, 18]))(
  'over replication connections only, PostgreSQL %i',
  (major) => {
    test('init, check, backup, wal receive and restore work, and say once what is not known', async () => {
      await using cluster = await startCluster(major);
      await populate(cluster, { scale: 0.1 });
      await allowOnly(cluster, REPLICATION_LINE);
      const connection = cluster.connectionString({ user: ROLE });
      const server = await protect(cluster, { connection, isLocal: false });
      const again = initDocument.parse(await server.json(['init', server.name, '--yes']));
      expect(again).toMatchObject({ slot: { created: false }, missing: [] });

      const before = Date.now();
      const ran = await server.run(['backup', server.name, '--from', 'stream']);
      expect(ran.stderr).toContain('receiving it for the time of the backup');
      expect(ran.stderr.match(/over replication connections only/g)).toHaveLength(1);
      expect(ran.exitCode).toBe(0);
      const [listed] = (await server.list()).backups;
      const id = listed?.id ?? '';
      const shown = showDocument.parse(await server.json(['show', server.name, id]));
      // Facts that were not asked by SQL are as if they had been; those that cannot be known are absent.
      expect(shown).toMatchObject({
        source: 'stream',
        databases: null,
        tablespaces: [
          { name: null, location: expect.stringContaining(WORKLOAD_TABLESPACE) as string },
        ],
        dataChecksums: true,
        settings: {
          wal_level: 'replica',
          wal_segment_size: String(2 ** 20),
          wal_sender_timeout: '60000',
          segment_size: '131072',
          max_connections: '40',
        },
      });
      expect(shown.settings).not.toHaveProperty('config_file');
      // Both times are by the server's clock, which is this host's.
      expect(Date.parse(shown.startedAt)).toBeGreaterThanOrEqual(before);
      expect(Date.parse(shown.finishedAt)).toBeGreaterThan(Date.parse(shown.startedAt));
      expect(Date.parse(shown.finishedAt)).toBeLessThanOrEqual(Date.now());

      await using receiver = await server.receive();
      const auto = await server.run(['backup', server.name, '--type', 'incremental']);
      expect(auto.stderr).toContain('full backup instead of incremental');
      expect(auto.exitCode).toBe(0);
      expect(auto.stderr).toMatch(
        /source stream, because the server takes no SQL \(.*pg_hba\.conf/,
      );
      await cluster.sql(
        'create table later as select n, md5(n::text) from generate_series(1, 5000) n',
        {
          database: 'shop',
        },
      );
      const expected = await contentOf(cluster);
      await server.waitUntilStored(await cluster.value('select pg_current_wal_flush_lsn()'));
      const checked = checkDocument.parse(await server.json(['check', server.name]));
      const { checks = [] } = checked.servers[0] ?? {};
      const detail = (name: string): string =>
        checks.find((one) => one.name === name)?.detail ?? '';
      expect(detail('connection')).toContain('over replication connections only');
      expect(detail('backup rights')).toMatch(new RegExp(`source stream.*\\n.*${ROLE}`));
      expect(detail('WAL path')).toMatch(/up to \S+, was stored after/);
      expect(detail('clock')).toContain('s apart');
      const { servers } = walStatusDocument.parse(
        await server.json(['wal', 'status', server.name]),
      );
      expect(servers[0]).toMatchObject({ error: null, lagBytes: expect.any(Number) as number });
      const seen = { exists: true, active: null, retainedBytes: expect.any(Number) as number };
      expect(servers).toMatchObject([{ slot: major < 15 ? null : seen }]);
      await receiver.stop();

      const oid = String(shown.tablespaces[0]?.oid);
      const restored = await server.restore('restored', {
        words: ['--backup', id, '--action', 'promote'],
        tablespaces: [oid],
      });
      expect(restored.backup).toBe(id);
      await using copy = await server.adopt('restored');
      await copy.server.start();
      await waitForRecovery(copy, 'promote');
      expect(contentDifferences(expected, await contentOf(copy))).toEqual([]);
    });

    test('the other way round, a line for the database alone is enough', async () => {
      await using cluster = await startCluster(major);
      await populate(cluster, { scale: 0.02, tablespace: false });
      await allowOnly(cluster, DATABASE_LINE);
      const connection = cluster.connectionString({ user: ROLE });
      const server = await protect(cluster, { connection, isLocal: false });
      const expected = await contentOf(cluster);
      const ran = await server.run(['backup', server.name, '--from', 'stream']);
      expect(ran.stderr).toContain(
        `no replication line for ${ROLE}, so replication runs over database`,
      );
      expect(ran.stderr).not.toContain('over replication connections only');
      expect(ran.exitCode).toBe(0);
      await server.restore('restored', { words: ['--to-immediate', '--action', 'promote'] });
      await using copy = await server.adopt('restored');
      await copy.server.start();
      await waitForRecovery(copy, 'promote');
      expect(contentDifferences(expected, await contentOf(copy))).toEqual([]);
    });
  },
);

test.each(versions([18], [13, 18]))(
  'a standby of PostgreSQL %i is backed up over replication connections only',
  async (major) => {
    await using primary = await startCluster(major);
    await populate(primary, { scale: 0.05, tablespace: false });
    await allowOnly(primary, REPLICATION_LINE);
    await using standby = await makeStandby(primary, ROLE);
    const connection = standby.connectionString({ user: ROLE });
    const server = await protect(primary, { connection, isLocal: false });
    await waitUntilCaughtUp(standby, primary);
    const expected = await contentOf(primary);
    const ran = await server.run(['backup', server.name]);
    expect(ran).toMatchObject({ exitCode: 0 });
    // The backup's label tells: before version 14 nothing else does for certain.
    expect(ran.stdout).toContain('source stream, from a standby');
    await server.restore('restored', { words: ['--to-immediate', '--action', 'promote'] });
    await using copy = await server.adopt('restored');
    await copy.server.start();
    await waitForRecovery(copy, 'promote');
    expect(contentDifferences(expected, await contentOf(copy))).toEqual([]);
  },
);

describe('with neither line', () => {
  test.each([
    [['backup', 'shop', '--from', 'stream'], /\(in database postgres\).*\(for replication\)/],
    [['wal', 'slot', 'create', 'shop'], /\(for replication\).*\(for replication over database/],
  ])('%j names both attempts and shows both lines', async (words, attempts) => {
    await using cluster = await startCluster(18);
    await allowOnly(cluster, REPLICATION_LINE);
    const connection = cluster.connectionString({ user: ROLE });
    const server = await protect(cluster, { connection, isLocal: false });
    await allowOnly(cluster);
    const { exitCode, stderr } = await server.run(words);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(attempts);
    const lines = stderr.split('\n').filter((line) => /^\s*host(?:ssl)?\s/.test(line));
    expect(lines.map((line) => line.trim().split(/\s+/)).toSorted()).toEqual([
      ['host', 'postgres', ROLE, '127.0.0.1/32', 'scram-sha-256'],
      ['host', 'replication', ROLE, '127.0.0.1/32', 'scram-sha-256'],
    ]);
  });
});
