/** The restore engine on real clusters, fed by the backup engine and pushed WAL; no command line, no receiver. */
import { lstat, mkdir, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pushWalFile } from '../../src/archive/push.ts';
import { runBackup } from '../../src/backup/backup.ts';
import type { BackupProgress } from '../../src/backup/progress.ts';
import { sleep } from '../../src/lib/sleep.ts';
import { readConnectionSettings } from '../../src/postgres/connection/connection-settings.ts';
import { systemSources } from '../../src/postgres/connection/connection-sources.ts';
import { parseLsn } from '../../src/postgres/lsn.ts';
import { toTimelineId } from '../../src/postgres/timeline-id.ts';
import { msToPostgresTime } from '../../src/postgres/wal/postgres-time.ts';
import { createRepository } from '../../src/repository/repository.ts';
import { planRestore, type RestorePlan } from '../../src/restore/plan.ts';
import { SILENT_PROGRESS } from '../../src/restore/progress.ts';
import { restore, type RestoreResult } from '../../src/restore/restore.ts';
import type { RestoreRequest } from '../../src/restore/restore-request.ts';
import { makeOwnedFolder } from '../../src/sandbox/cluster-folder.ts';
import { createFilesystemFolder } from '../../src/storage/filesystem/filesystem-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { openStore } from '../../src/storage/open-store.ts';
import { adoptCluster, testCluster, type TestCluster } from '../support/cluster.ts';
import { contentDifferences, contentOf } from '../support/content.ts';
import { startLoad, type Marker } from '../support/load.ts';
import { populate } from '../support/schema.ts';
import { versions } from '../support/matrix.ts';

const SERVER = 'shop';
const SIGNAL = new AbortController().signal;

/** Copies the archive folder into the repository until stopped. */
class Pusher {
  readonly #store: ObjectStore;
  readonly #folder: string;
  readonly #stopping = new AbortController();
  readonly #pushed = new Set<string>();
  readonly #done: Promise<void>;

  constructor(store: ObjectStore, folder: string) {
    this.#store = store;
    this.#folder = folder;
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  async waitFor(segment: string): Promise<void> {
    while (!this.#pushed.has(segment)) await sleep(20);
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      for (const name of (await readdir(this.#folder)).toSorted()) {
        if (this.#pushed.has(name) || name.endsWith('.tmp')) continue;
        const path = join(this.#folder, name);
        const push = pushWalFile({ store: this.#store, server: SERVER, path, level: 1 });
        // Before the first backup the repository does not know the server.
        const isPushed = await push.then(
          () => true,
          () => false,
        );
        if (isPushed) this.#pushed.add(name);
      }
      await sleep(50);
    }
  }
}

const QUIET: BackupProgress = {
  note: () => {},
  warning: () => {},
  waitingForCheckpoint: () => {},
  started: () => {},
  copied: () => {},
  waitingForWal: () => {},
};

// 13 goes through the same targets in story.pg.test.ts.
describe.each(versions([18], [13, 18]))('restoring a cluster of PostgreSQL %i', (major) => {
  let cluster: TestCluster;
  let store: ObjectStore;
  let pusher: Pusher;
  let fast: string;
  const markers: Marker[] = [];
  const backups: string[] = [];

  beforeAll(async () => {
    cluster = await testCluster({ major, initdb: { walSegmentMegabytes: 1 } });
    const archive = join(cluster.workFolder, 'archive');
    await makeOwnedFolder(archive, cluster.server.user);
    await cluster.sql('alter system set archive_mode = on');
    await cluster.sql(
      `alter system set archive_command = 'cp %p ${archive}/%f.tmp && mv ${archive}/%f.tmp ${archive}/%f'`,
    );
    await cluster.server.restart();
    fast = await cluster.createTablespace('fast');
    await populate(cluster);
    await cluster.sql('create table placed (n int) tablespace fast');
    await cluster.sql('insert into placed select generate_series(1, 5000)');
    const description = {
      kind: 'filesystem' as const,
      path: join(cluster.workFolder, 'repository'),
    };
    await createFilesystemFolder(description);
    store = await openStore(description);
    await createRepository(store, new Date());
    pusher = new Pusher(store, archive);
    const load = startLoad(cluster);
    await load.waitForCommits(50);
    backups.push(await backUp());
    markers.push(await load.mark('first'));
    await load.waitForCommits(100);
    backups.push(await backUp());
    markers.push(await load.mark('second'));
    await load.waitForCommits(100);
    await load.stop();
    await cluster.sql('drop table placed');
    await sealWal();
  }, 180_000);

  afterAll(async () => {
    await pusher.stop();
    await cluster.dispose();
  });

  async function backUp(): Promise<string> {
    const connection = readConnectionSettings(cluster.connectionString(), systemSources());
    const outcome = await runBackup(
      {
        store,
        server: SERVER,
        connection,
        dataDirectory: cluster.dataFolder,
        backupFrom: 'primary',
        type: 'full',
        from: 'local',
        fresh: false,
        paranoid: false,
        jobs: 2,
        level: 1,
        checkpoint: 'fast',
        name: null,
        rateBytesPerSecond: null,
        checkpointTimeoutMs: 60_000,
        walTimeoutMs: 60_000,
        walSupply: { begin: async () => null, isArchiver: true, hint: 'archive_command' },
        walnutVersion: '0.1.0',
      },
      QUIET,
      SIGNAL,
    );
    return outcome.id;
  }

  async function sealWal(): Promise<void> {
    const segment = await cluster.value('select pg_walfile_name(pg_current_wal_lsn())');
    await cluster.sql('select pg_switch_wal()');
    await pusher.waitFor(segment);
  }

  async function plan(name: string, wish: Partial<RestoreRequest> = {}): Promise<RestorePlan> {
    const targetDirectory = join(cluster.workFolder, name, 'data');
    await mkdir(dirname(targetDirectory), { recursive: true, mode: 0o755 });
    const program = { shimPath: '/nonexistent/shim', configPath: '/nonexistent/walnut.toml' };
    return await planRestore(
      { store, now: new Date(), program },
      {
        server: SERVER,
        targetDirectory,
        backup: null,
        target: { kind: 'latest' },
        timeline: null,
        action: null,
        tablespaces: new Map(
          ['fast', 'walnut space'].map((each) => [each, join(cluster.workFolder, name, each)]),
        ),
        links: new Map(),
        walDirectory: null,
        wal: 'copy',
        standby: false,
        archiveMode: 'off',
        settings: new Map(),
        owner: null,
        delta: false,
        rateBytesPerSecond: null,
        jobs: 2,
        ...wish,
      },
    );
  }

  async function restoreTo(
    name: string,
    wish: Partial<RestoreRequest>,
  ): Promise<{ restored: TestCluster; result: RestoreResult }> {
    const planned = await plan(name, wish);
    const result = await restore(planned, { store, progress: SILENT_PROGRESS, signal: SIGNAL });
    const restored = await adoptCluster({ major, dataFolder: planned.locations.dataDirectory });
    await restored.server.start();
    return { restored, result };
  }

  async function waitUntilPrimary(restored: TestCluster): Promise<void> {
    while ((await restored.value('select pg_is_in_recovery()')) === 'true') await sleep(50);
  }

  async function waitUntilPaused(restored: TestCluster): Promise<void> {
    while ((await restored.value('select pg_is_wal_replay_paused()')) === 'false') await sleep(50);
  }

  test('without a target it replays all WAL and becomes a primary', async () => {
    const expected = await contentOf(cluster);
    const { restored, result } = await restoreTo('latest', {});
    await using _ = restored;
    await waitUntilPrimary(restored);
    expect(contentDifferences(expected, await contentOf(restored))).toEqual([]);
    expect(result.plan.backup.id).toBe(backups[1]);
    expect(await restored.value('show archive_mode')).toBe('off');
    expect(await readdir(restored.dataFolder)).not.toContain('walnut-restore-unfinished');
  });

  test.each(['time', 'lsn', 'name', 'xid'] as const)(
    'to a %s it has what was there then',
    async (kind) => {
      for (const [index, marker] of markers.entries()) {
        const target = {
          time: { kind: 'time' as const, timeUs: microseconds(marker.time), inclusive: true },
          lsn: { kind: 'lsn' as const, lsn: parseLsn(marker.lsn), inclusive: true },
          name: { kind: 'name' as const, name: marker.name },
          xid: { kind: 'xid' as const, xid: Number(marker.xid), inclusive: true },
        }[kind];
        const { restored, result } = await restoreTo(`${kind}-${index}`, { target });
        await using _ = restored;
        await waitUntilPaused(restored);
        expect(contentDifferences(marker.content, await contentOf(restored))).toEqual([]);
        expect(result.plan.backup.id).toBe(backups[index]);
        expect(await restored.value('select count(*)::text from placed')).toBe('5000');
      }
    },
  );

  test('the end of a backup, promoted; tablespace and pg_wal lie where they were wanted', async () => {
    const walDirectory = join(cluster.workFolder, 'immediate', 'wal');
    const { restored, result } = await restoreTo('immediate', {
      target: { kind: 'immediate' },
      action: 'promote',
      walDirectory,
    });
    await using _ = restored;
    await waitUntilPrimary(restored);
    const { dataDirectory, tablespaces } = result.plan.locations;
    const tablespace = tablespaces.find(({ name }) => name === 'fast');
    const link = join(dataDirectory, 'pg_tblspc', String(tablespace?.oid));
    expect(await readlink(link)).toBe(join(cluster.workFolder, 'immediate', 'fast'));
    expect(tablespace?.directory).not.toBe(fast);
    expect(await readlink(join(dataDirectory, 'pg_wal'))).toBe(walDirectory);
    expect((await stat(dataDirectory)).mode & 0o777).toBe(0o700);
    await restored.sql('insert into placed values (0)');
    await restored.sql('checkpoint');
  });

  test('latest with pause stops at the last record and waits', async () => {
    const expected = await contentOf(cluster);
    const { restored } = await restoreTo('latest-pause', { action: 'pause' });
    await using _ = restored;
    await waitUntilPaused(restored);
    expect(contentDifferences(expected, await contentOf(restored))).toEqual([]);
  });

  test('a time before the end of the first backup, and one to come, are refused', async () => {
    const early = { kind: 'time' as const, timeUs: msToPostgresTime(0), inclusive: true };
    await expect(plan('early', { target: early })).rejects.toMatchObject({
      code: 'target-unreachable',
      message: expect.stringContaining(backups[0] ?? '?'),
    });
    const late = { ...early, timeUs: msToPostgresTime(Date.now() + 3_600_000) };
    await expect(plan('late', { target: late })).rejects.toThrow('that time is still to come');
  });

  test('an interrupted restore cannot be started, and the next one says what to remove', async () => {
    const planned = await plan('interrupted', { rateBytesPerSecond: 2_000_000 });
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error('interrupted')), 500);
    const context = { store, progress: SILENT_PROGRESS, signal: abort.signal };
    await expect(restore(planned, context)).rejects.toThrow('interrupted');
    const { dataDirectory } = planned.locations;
    await expect(lstat(join(dataDirectory, 'global/pg_control'))).rejects.toThrow('ENOENT');
    await expect(plan('interrupted')).rejects.toMatchObject({
      code: 'target-not-empty',
      hint: expect.stringMatching(/rm -rf .*data .*fast/),
    });
    const { restored, result } = await restoreTo('interrupted', { delta: true });
    await using _ = restored;
    expect(result.plan.delta?.target.kind).toBe('unfinished');
    await waitUntilPrimary(restored);
    expect(contentDifferences(await contentOf(cluster), await contentOf(restored))).toEqual([]);
  });

  test('an interrupted restore is made anew where it was removed', async () => {
    const planned = await plan('removed', { rateBytesPerSecond: 2_000_000 });
    const signal = AbortSignal.timeout(500);
    await expect(restore(planned, { store, progress: SILENT_PROGRESS, signal })).rejects.toThrow(
      'timeout',
    );
    await rm(dirname(planned.locations.dataDirectory), { recursive: true });
    expect((await plan('removed')).backup.id).toBe(backups[1]);
  });

  test('an unknown timeline and an unknown backup are refused by name', async () => {
    await expect(plan('timeline', { timeline: toTimelineId(7) })).rejects.toMatchObject({
      code: 'target-unreachable',
    });
    const backup = '20200101T000000Z-F' as RestoreRequest['backup'];
    await expect(plan('unknown', { backup })).rejects.toMatchObject({ code: 'no-backup' });
  });

  test('the folder of the running server is refused', async () => {
    await expect(plan('x', { targetDirectory: cluster.dataFolder })).rejects.toThrow(
      /a PostgreSQL server runs there/,
    );
    const inside = join(cluster.dataFolder, 'restored');
    await expect(plan('x', { targetDirectory: inside })).rejects.toThrow(/is a data directory/);
    await expect(
      plan('x', { tablespaces: new Map([['walnut space', '/nonexistent/x']]) }),
    ).rejects.toMatchObject({
      message: expect.stringContaining('tablespace fast'),
      hint: expect.stringContaining('--tablespace'),
    });
    expect(await readFile(join(cluster.dataFolder, 'PG_VERSION'), 'utf8')).toBe(`${major}\n`);
  });
});

/** `2026-11-22 18:15:00.123456+00` as µs since 2000. */
function microseconds(text: string): number {
  const [, seconds = '', fraction = ''] = /^(.{19})(?:\.(\d+))?/.exec(text) ?? [];
  return (
    msToPostgresTime(Date.parse(`${seconds.replace(' ', 'T')}Z`)) + Number(fraction.padEnd(6, '0'))
  );
}
