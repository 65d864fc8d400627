/** Backups that do not end well: nothing of them is listed, the server is as before, and the next one clears away. */
import { existsSync } from 'node:fs';
import { readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MajorVersion } from '../../src/postgres/version.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { protect, waitUntil, type ProtectedServer } from '../support/protected-server.ts';
import { populate } from '../support/schema.ts';
import { drawnCases } from '../support/matrix.ts';
import { mountSmallDisk } from '../support/small-disk.ts';
import type { WalnutProcess } from '../support/walnut.ts';

/** The cluster has some 30 MB: long enough to be interrupted for certain. */
const SLOWLY = ['--rate', '2MB/s'];
const SOURCES = ['local', 'connection', 'stream'] as const;
type Source = (typeof SOURCES)[number];
const MB = 1024 * 1024;
const LONG_AGO = new Date('2020-01-01');

/** Each interruption from another source on the oldest version, and from two by draw, or all, on the newest. */
const ROWS: readonly { major: MajorVersion; sources: readonly (readonly Source[])[] }[] = [
  { major: 13, sources: [['local'], ['connection'], ['stream']] },
  {
    major: 18,
    sources: ['signal', 'kill', 'crash'].map((how) =>
      drawnCases(`interrupted by ${how}`, 2, SOURCES),
    ),
  },
];

describe.each(ROWS)('a backup of PostgreSQL $major', ({ major, sources }) => {
  const [onSignal = [], onKill = [], onCrash = []] = sources;
  let cluster: TestCluster;
  let server: ProtectedServer;

  beforeAll(async () => {
    cluster = await testCluster({ major });
    await populate(cluster, { scale: 0.1, tablespace: false });
    server = await protect(cluster);
  }, 180_000);

  afterAll(async () => {
    await cluster.dispose();
  });

  /** Starts a backup and waits until it has stored some of it. */
  async function begin(source: string): Promise<WalnutProcess> {
    const before = await attempts();
    const backup = await server.start(['backup', 'shop', '--from', source, '--json', ...SLOWLY]);
    await waitUntil(
      () => `a pack of the backup: ${backup.stdout}${backup.stderr}`,
      async () => {
        const id = (await attempts()).find((each) => !before.includes(each));
        if (id === undefined) return !backup.isRunning;
        const attempt = join(server.repository, 'shop/backup', id, 'attempt');
        return existsSync(attempt) && (await unfinishedPacks()).length > 0;
      },
      { pollMs: 50 },
    );
    expect(backup.stdout).toBe('');
    expect(backup.isRunning).toBe(true);
    return backup;
  }

  /** A pack has its name only when it is whole; until then it is written here. */
  async function unfinishedPacks(): Promise<string[]> {
    const folder = join(server.repository, 'tmp');
    return (await readdir(folder)).map((name) => join(folder, name));
  }

  async function attempts(): Promise<string[]> {
    return await readdir(join(server.repository, 'shop/backup')).catch(() => []);
  }

  /** Nothing of Walnut's is left on the server: with its session ends a backup's mode. */
  async function expectServerLeftAlone(): Promise<void> {
    const query = "select count(*) from pg_stat_activity where usename = 'walnut'";
    await waitUntil(
      () => 'no session of Walnut is left',
      async () => (await cluster.value(query)) === '0',
      { timeoutMs: 30_000 },
    );
    // Only exclusive backups, which 15 gave up, show in this function.
    const exclusive = major < 15 ? 'pg_is_in_backup()' : 'false';
    expect(await cluster.value(`select ${exclusive}`)).toBe('false');
    expect(existsSync(join(cluster.dataFolder, 'backup_label'))).toBe(false);
    const { backups } = await server.list();
    expect(backups).toEqual([]);
  }

  /** The next backup says what it found, and leaves of it only what it took over; it is the only one then. */
  async function expectCleanedUp(source: string): Promise<void> {
    // A younger file might belong to a process of another host.
    for (const path of await unfinishedPacks()) await utimes(path, LONG_AGO, LONG_AGO);
    const dead = await attempts();
    const result = await server.run(['backup', 'shop', '--from', source, '--json']);
    expect(result).toMatchObject({ exitCode: 0 });
    for (const id of dead)
      expect(result.stderr).toMatch(new RegExp(`interrupted.*${id}|${id}.*interrupted`));
    const { id } = result.json() as { id: string };
    expect(await unfinishedPacks()).toEqual([]);
    expect((await server.list()).backups.map((backup) => backup.id)).toEqual([id]);
    const takenOver = (await attempts()).filter((each) => each !== id);
    for (const each of takenOver) {
      const left = await readdir(join(server.repository, 'shop/backup', each));
      expect(left.filter((name) => !name.startsWith('pack-'))).toEqual([]);
    }
    expect(await server.run(['verify', 'shop'])).toMatchObject({ exitCode: 0 });
  }

  // Each test begins in a new repository.
  test.each(onSignal)('by Ctrl-C, from: %s', async (source) => {
    await renew(`interrupted-${source}`);
    await using backup = await begin(source);
    const result = await backup.stop('SIGINT');
    expect(result).toMatchObject({ exitCode: 130 });
    expect(result.json()).toMatchObject({ error: { code: 'interrupted' } });
    await expectServerLeftAlone();
    await expectCleanedUp(source);
  });

  test.each(onKill)('by kill -9, from: %s', async (source) => {
    await renew(`killed-${source}`);
    await using backup = await begin(source);
    expect(await backup.stop('SIGKILL')).toMatchObject({ signal: 'SIGKILL' });
    await expectServerLeftAlone();
    await expectCleanedUp(source);
  });

  test.each(onCrash)('whose server is killed, from: %s', async (source) => {
    await renew(`crashed-${source}`);
    await using backup = await begin(source);
    await cluster.server.kill();
    const result = await backup.waitForExit();
    expect(result).toMatchObject({ exitCode: 1 });
    expect(result.json()).toMatchObject({
      error: { code: expect.stringMatching(/^(connection|postgresql)$/) },
    });
    await cluster.server.start();
    await expectServerLeftAlone();
    await expectCleanedUp(source);
  });

  test('that another one runs beside is refused, naming that one', async () => {
    await renew('two');
    await using first = await begin('local');
    const second = await server.run(['backup', 'shop', '--json']);
    expect(second.exitCode).toBe(1);
    expect(second.json()).toMatchObject({
      error: { code: 'locked', message: expect.stringContaining(String(first.pid)) },
    });
    expect((await server.list()).backups).toEqual([]);
    expect(first.isRunning).toBe(true);
    await first.stop('SIGINT');
    await expectCleanedUp('local');
  });

  test('into a full repository says so, lists nothing, and works when there is room', async (context) => {
    const place = { sizeBytes: 3 * MB, user: cluster.server.user };
    const disk = await mountSmallDisk(join(cluster.workFolder, 'small'), place);
    if (typeof disk === 'string') {
      context.skip(disk);
      return;
    }
    await using _ = disk;
    await renew('small/repository');
    const result = await server.run(['backup', 'shop', '--from', 'local', '--json']);
    expect(result.exitCode).toBe(1);
    expect(result.json()).toMatchObject({ error: { code: 'disk-full' } });
    await expectServerLeftAlone();
    await disk.resize(200 * MB);
    await expectCleanedUp('local');
  });

  async function renew(repository: string): Promise<void> {
    server = await protect(cluster, { repository: join(cluster.workFolder, repository) });
  }
});
