/** `check` on real servers: what is missing is named with its fix, and the fix makes it pass. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { TEST_PASSWORD, testCluster, type TestCluster } from '../../test/support/cluster.ts';
import { versions } from '../../test/support/matrix.ts';
import { makeTestArchive, startReceiver, type TestArchive } from '../../test/support/receiving.ts';
import { runWalnut } from '../../test/support/walnut.ts';
import { checkDocument } from '../api/contract.ts';
import { readConnectionSettings } from '../postgres/connection/connection-settings.ts';
import { systemSources } from '../postgres/connection/connection-sources.ts';
import { openStore } from '../storage/open-store.ts';
import { checkServer } from './check.ts';
import type { CheckRequest } from './check-types.ts';
import type { Finding } from './finding.ts';

const clusters: TestCluster[] = [];
const MAJORS = [13, 18] as const;

afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.dispose();
});

async function startCluster(options: Parameters<typeof testCluster>[0]): Promise<TestCluster> {
  const cluster = await testCluster({ initdb: { walSegmentMegabytes: 1 }, ...options });
  clusters.push(cluster);
  return cluster;
}

async function check(
  archive: TestArchive,
  connection: string,
  options: Partial<CheckRequest> = {},
): Promise<Finding[]> {
  const request: CheckRequest = {
    server: 'shop',
    dataDirectory: null,
    backupFrom: 'primary',
    wal: 'stream',
    slot: 'walnut_shop',
    spoolDirectory: archive.spoolFolder,
    archiveCommand: 'walnut wal push shop %p',
    readConnection: async () => readConnectionSettings(connection, systemSources()),
    openRepository: async () => openStore(archive.store.description),
    inactiveKeys: [],
    proofTimeoutMs: 20_000,
    now: () => new Date(),
    ...options,
  };
  return checkServer(request, new AbortController().signal);
}

function failures(findings: readonly Finding[]): string[] {
  return findings.filter(({ passed }) => !passed).map(({ name }) => name);
}

function found(findings: readonly Finding[], name: string): Finding {
  const finding = findings.find((one) => one.name === name);
  if (finding === undefined) throw new Error(`no finding ${name}`);
  return finding;
}

async function makeRole(cluster: TestCluster, name: string): Promise<string> {
  await cluster.sql(`create role "${name}" login password '${TEST_PASSWORD}'`);
  return cluster.connectionString({ user: name });
}

describe.each(versions([18], MAJORS))('check on PostgreSQL %i', (major) => {
  test('passes with the role that the guide makes, and proves the WAL path', async () => {
    const cluster = await startCluster({ major });
    const archive = await makeTestArchive(cluster);
    const idle = await check(archive, cluster.connectionString({ user: 'walnut' }));
    expect(failures(idle)).toEqual([]);
    expect(found(idle, 'WAL path').detail).toContain('walnut wal receive shop');
    const running = startReceiver(cluster, archive);
    await running.receiver.streaming;
    const findings = await check(archive, cluster.connectionString({ user: 'walnut' }));
    await running.stop();
    expect(failures(findings)).toEqual([]);
    expect(found(findings, 'WAL path').detail).toMatch(/switched segment \w+ was stored/);
    expect(found(findings, 'replication slot').detail).toContain('walnut_shop is in use');
    expect(found(findings, 'WAL continuity').detail).toBe('no WAL is missing');
    expect(JSON.stringify([...idle, ...findings])).not.toContain(TEST_PASSWORD);
  });

  test('names missing rights, and passes when the printed statements were run', async () => {
    const cluster = await startCluster({ major });
    const archive = await makeTestArchive(cluster);
    const connection = await makeRole(cluster, 'weak role');
    const findings = await check(archive, connection);
    expect(failures(findings)).toEqual(['backup rights', 'replication role']);
    for (const { fix } of findings.filter(({ passed }) => !passed)) await cluster.sql(fix ?? '');
    expect(failures(await check(archive, connection))).toEqual([]);
  });

  test('lets a role that may only replicate be, and says what it would take to do more', async () => {
    const cluster = await startCluster({ major });
    const archive = await makeTestArchive(cluster);
    const findings = await check(archive, cluster.connectionString({ user: 'replicator' }));
    expect(failures(findings)).toEqual([]);
    expect(found(findings, 'backup rights').detail).toMatch(/source stream.*GRANT EXECUTE ON/);
  });

  test('shows the pg_hba.conf line of a role that may not connect', async () => {
    const cluster = await startCluster({ major });
    const archive = await makeTestArchive(cluster);
    const path = join(cluster.dataFolder, 'pg_hba.conf');
    const others = await readFile(path, 'utf8');
    await writeFile(path, 'local all postgres trust\n');
    cluster.server.reload();
    await cluster.sql('select pg_sleep(0.2)');
    const connection = cluster.connectionString({ user: 'walnut' });
    const findings = await check(archive, connection);
    expect(failures(findings)).toEqual(['connection']);
    const { fix, fixKind } = found(findings, 'connection');
    expect(fixKind).toBe('pg_hba.conf');
    const line = fix?.split('\n').find((text) => text.startsWith('host'));
    expect(line).toMatch(/^host +postgres +walnut +127\.0\.0\.1\/32 +scram-sha-256$/);
    await writeFile(path, `local all postgres trust\n${line}\n`);
    cluster.server.reload();
    await cluster.sql('select pg_sleep(0.2)');
    // Replication works over the database then, and the check says that it does.
    const repaired = await check(archive, connection);
    expect(failures(repaired)).toEqual([]);
    expect(found(repaired, 'replication connection').detail).toContain('no replication line');
    await writeFile(path, others);
  });

  test('names a wrong password without showing it', async () => {
    const cluster = await startCluster({ major });
    const archive = await makeTestArchive(cluster);
    const connection = cluster.connectionString({ user: 'walnut', password: 'not-the-password' });
    const findings = await check(archive, connection);
    expect(failures(findings)).toEqual(['connection']);
    expect(found(findings, 'connection').fix).toContain('ALTER ROLE walnut PASSWORD');
    expect(JSON.stringify(findings)).not.toContain('not-the-password');
  });

  test('recognises another cluster under the name, and in the data directory', async () => {
    const cluster = await startCluster({ major });
    const archive = await makeTestArchive(cluster);
    const other = await startCluster({ major });
    const findings = await check(archive, other.connectionString({ user: 'walnut' }), {
      dataDirectory: cluster.dataFolder,
    });
    expect(failures(findings)).toEqual(['data directory', 'system identifier']);
    expect(found(findings, 'system identifier').fix).toContain(
      'walnut init shop --new-incarnation',
    );
    const local = await check(archive, cluster.connectionString({ user: 'walnut' }), {
      dataDirectory: cluster.dataFolder,
    });
    expect(failures(local)).toEqual([]);
  });

  test('names settings that are wrong, and passes when they were changed as printed', async () => {
    const cluster = await startCluster({
      major,
      settings: { wal_level: 'minimal', max_wal_senders: 0, full_page_writes: 'off' },
    });
    const archive = await makeTestArchive(cluster);
    const connection = cluster.connectionString({ user: 'walnut' });
    const findings = await check(archive, connection);
    expect(failures(findings)).toEqual(
      expect.arrayContaining(['wal_level', 'full_page_writes', 'max_wal_senders']),
    );
    for (const { fix, fixKind } of findings) {
      if (fix === null || fixKind !== 'setting') continue;
      for (const statement of fix.split(';').slice(0, -1)) await cluster.sql(statement);
    }
    await cluster.server.restart();
    expect(failures(await check(archive, connection))).toEqual([]);
  });

  test('proves archive_command from the command line, once it is set as printed', async () => {
    const cluster = await startCluster({ major, settings: { archive_mode: 'on' } });
    const { config } = await makeTestArchive(cluster, {
      user: 'walnut',
      toml: 'wal = "archive"\n',
    });
    const before = await runWalnut(['check', '--json'], { config });
    const { servers, passed } = checkDocument.parse(before.json());
    expect(before.exitCode).toBe(3);
    expect(passed).toBe(false);
    const failed = servers[0]?.checks.filter((one) => !one.passed) ?? [];
    expect(failed.map(({ name }) => name)).toContain('archive_command');
    const fix = failed.find(({ name }) => name === 'archive_command')?.fix ?? '';
    for (const statement of fix.split(';').slice(0, -1)) await cluster.sql(statement);
    await cluster.sql('select pg_sleep(0.2)');
    const after = await runWalnut(['check', 'shop'], { config });
    expect(after.stdout + after.stderr).toMatch(/ok {4}WAL path +switched segment \w+ was stored/);
    expect(after.exitCode).toBe(0);
  });
});
