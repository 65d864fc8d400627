/** A server archives through `wal push --ahead` while pushes and the server itself are killed. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { sleep } from '../../src/lib/sleep.ts';
import { isSegmentName } from '../../src/postgres/segment-name.ts';
import { toTimelineId } from '../../src/postgres/timeline-id.ts';
import { walKeys } from '../../src/repository/layout.ts';
import { nameOfIncarnation } from '../../src/repository/repository.ts';
import { adoptCluster, testCluster, type TestCluster } from '../support/cluster.ts';
import { contentDifferences, contentOf } from '../support/content.ts';
import { startLoad } from '../support/load.ts';
import { seededRandom, randomBelow } from '../support/random.ts';
import {
  differencesFromCopies,
  makeCopyFolder,
  makeTestArchive,
  TEST_SERVER,
  type TestArchive,
} from '../support/receiving.ts';
import { isFullMatrix } from '../support/matrix.ts';
import { populate } from '../support/schema.ts';
import { runWalnut, type WalnutResult } from '../support/walnut.ts';

const SETTINGS = { archive_mode: 'on', archive_command: '/bin/false', archive_timeout: '5s' };
const INITDB = { walSegmentMegabytes: 1 };
/** The server is killed in every fourth of them, from the second on. */
const ROUNDS = isFullMatrix() ? 8 : 2;
const LOOKS = 10;
const LOOKS_MAX = 200;
const ARCHIVED_TIMEOUT_MS = 120_000;

let cluster: TestCluster;
let archive: TestArchive;
let directory: string;

beforeAll(async () => {
  cluster = await testCluster({ major: 18, settings: SETTINGS, initdb: INITDB });
  const toml = `wal = "archive"\ndata_directory = "${cluster.dataFolder}"\n`;
  archive = await makeTestArchive(cluster, { toml, user: 'walnut' });
  directory = join(cluster.workFolder, 'spool/ahead');
  await populate(cluster);
}, 180_000);

afterAll(async () => {
  await cluster.dispose();
});

async function archiveWith(command: string): Promise<void> {
  await cluster.sql(`alter system set archive_command = '${command}'`);
  await cluster.sql('select pg_reload_conf()');
}

function pushCommand(): string {
  const program = join(inject('installation'), 'bin/walnut');
  return `${program} --config ${archive.config} wal push ${TEST_SERVER} %p --ahead ${directory}`;
}

async function statusNames(suffix: string): Promise<string[]> {
  const names = await readdir(join(cluster.dataFolder, 'pg_wal/archive_status'));
  return names
    .filter((name) => name.endsWith(suffix))
    .map((name) => name.slice(0, -suffix.length))
    .toSorted();
}

/** Those that did not answer yet. */
async function markers(): Promise<string[]> {
  const names = await readdir(join(directory, TEST_SERVER)).catch(() => []);
  const sizes = await Promise.all(
    names.map(async (name) => (await stat(join(directory, TEST_SERVER, name))).size),
  );
  return names.filter((_, index) => (sizes[index] ?? 0) > 0).toSorted();
}

/** Those of the segments that the repository does not hold. */
async function missingOf(segments: readonly string[]): Promise<string[]> {
  const { store, scope } = archive;
  const missing: string[] = [];
  for (const name of segments.filter((each) => isSegmentName(each))) {
    const timeline = toTimelineId(Number.parseInt(name.slice(0, 8), 16));
    const incarnation = nameOfIncarnation(scope.incarnation);
    const key = walKeys.segment({ server: TEST_SERVER, incarnation, timeline }, name);
    if ((await store.stat(key)) === null) missing.push(name);
  }
  return missing;
}

/** Kills a push of this test's configuration, if one runs. */
async function killPush(): Promise<boolean> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const isPush = words.includes('main.js\0--config\0') && words.includes(archive.config);
    if (!isPush) continue;
    try {
      process.kill(Number(pid), 'SIGKILL');
      return true;
    } catch {
      // It ended meanwhile.
    }
  }
  return false;
}

/** Finishes the open segment and waits until it and all before it are archived. */
async function archiveAll(): Promise<void> {
  const last = await cluster.value('select pg_walfile_name(pg_current_wal_lsn())');
  await cluster.sql('select pg_switch_wal()');
  const deadline = Date.now() + ARCHIVED_TIMEOUT_MS;
  const isWaiting = async (): Promise<boolean> =>
    (await statusNames('.ready')).some((name) => name <= last) ||
    (await cluster.value("select coalesce(last_archived_wal, '') from pg_stat_archiver")) < last;
  while (await isWaiting()) {
    if (Date.now() > deadline) throw new Error('WAL was not archived in time');
    await sleep(100);
  }
}

describe('wal push --ahead', () => {
  test('every segment is stored, and none is acknowledged before, whatever is killed', async () => {
    const random = seededRandom('push ahead');
    const { folder: copies, command: copy } = await makeCopyFolder(cluster);
    await archiveWith(`${copy} && ${pushCommand()}`);
    const backup = await runWalnut(['backup', TEST_SERVER, '--from', 'local'], {
      config: archive.config,
    });
    expect(backup).toMatchObject({ exitCode: 0 });
    const load = startLoad(cluster, { reconnect: true, restMs: 0 });
    let kills = 0;
    let markersSeen = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      // So that much waits at once.
      await archiveWith('/bin/false');
      await sleep(1500);
      await archiveWith(`${copy} && ${pushCommand()}`);
      for (let look = 0; look < LOOKS_MAX; look += 1) {
        // Chance may not have brought a kill until then.
        if (look >= LOOKS && (kills > 0 || round < ROUNDS - 1)) break;
        await sleep(randomBelow(random, 250));
        const isDue = look >= LOOKS || randomBelow(random, 3) === 0;
        if (isDue && (await killPush())) kills += 1;
        markersSeen = Math.max(markersSeen, (await markers()).length);
        const acknowledged = await statusNames('.done');
        expect(await missingOf(acknowledged)).toEqual([]);
      }
      if (round % 4 === 1) {
        await cluster.server.kill();
        await cluster.server.start();
      }
      expect(await missingOf(await statusNames('.done'))).toEqual([]);
    }
    await load.stop();
    const content = await contentOf(cluster);
    await archiveAll();
    expect({ kills, markersSeen }).toEqual({
      kills: expect.toSatisfy((count: number) => count > 0) as number,
      markersSeen: expect.toSatisfy((count: number) => count > 0) as number,
    });
    const { compared, differences } = await differencesFromCopies(archive, copies);
    expect(differences).toEqual([]);
    expect(compared).toBeGreaterThan(20);
    const verified = await runWalnut(['verify', TEST_SERVER], { config: archive.config });
    expect(verified).toMatchObject({ exitCode: 0 });
    await expectRestored(content);
  }, 600_000);

  test('a cluster made anew is refused, though markers for files of the same names lie there', async () => {
    await archiveWith('/bin/false');
    await cluster.sql(
      'create table more as select n, repeat(md5(n::text), 20) t from generate_series(1, 40000) n',
    );
    const waiting = (await statusNames('.ready')).filter((name) => isSegmentName(name));
    expect((await push(cluster, waiting[0] ?? '')).exitCode).toBe(0);
    const marked = await markers();
    expect(marked.length).toBeGreaterThan(5);
    await using other = await testCluster({ major: 18, settings: SETTINGS, initdb: INITDB });
    const name = marked.at(-1) ?? '';
    await other.sql('create table filler (t text)');
    const path = join(other.dataFolder, 'pg_wal/archive_status', `${name}.ready`);
    while ((await stat(path).catch(() => null)) === null) {
      await other.sql("insert into filler select repeat('x', 1000) from generate_series(1, 9000)");
      await other.sql('truncate filler');
    }
    const refused = await push(other, name);
    expect(refused).toMatchObject({ exitCode: 1 });
    expect(refused.stderr).toContain('it belongs to database system');
    // The right one is still answered by its marker.
    expect((await push(cluster, name)).exitCode).toBe(0);
    expect(await markers()).not.toContain(name);
  });

  test('a folder that cannot be written changes nothing but the log', async () => {
    const [name = ''] = (await statusNames('.ready')).filter((each) => isSegmentName(each));
    const pushed = await push(cluster, name, '/proc/none');
    expect(pushed).toMatchObject({ exitCode: 0, stdout: '' });
    expect(pushed.stderr).toContain('use /proc/none/shop for markers');
    expect(await missingOf([name])).toEqual([]);
  });
});

async function push(from: TestCluster, name: string, folder = directory): Promise<WalnutResult> {
  const words = ['wal', 'push', TEST_SERVER, `pg_wal/${name}`, '--ahead', folder];
  return await runWalnut(['--config', archive.config, ...words], { folder: from.dataFolder });
}

async function expectRestored(content: Awaited<ReturnType<typeof contentOf>>): Promise<void> {
  const target = join(cluster.workFolder, 'restored/data');
  const words = ['restore', TEST_SERVER, '--target', target];
  const space = `walnut space=${join(cluster.workFolder, 'restored/space')}`;
  const restored = await runWalnut([...words, '--tablespace', space], { config: archive.config });
  expect(restored).toMatchObject({ exitCode: 0 });
  await using copy = await adoptCluster({
    major: 18,
    dataFolder: target,
    overrides: { archive_mode: 'off' },
  });
  await copy.server.start();
  while ((await copy.value('select pg_is_in_recovery()')) === 'true') await sleep(50);
  const after = await contentOf(copy);
  expect(contentDifferences(content, after)).toEqual([]);
}
