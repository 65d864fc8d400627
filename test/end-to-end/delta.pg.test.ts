/** `walnut restore --delta`: a server's own directory is brought back in place, and only what differs is written. */
import {
  appendFile,
  chmod,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  restoreDocument,
  restorePlanDocument,
  type RestoreDocument,
  type RestorePlanDocument,
} from '../../src/api/restore-contract.ts';
import { giveToUser } from '../../src/sandbox/scratch-folder.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { contentDifferences, contentOf } from '../support/content.ts';
import { startLoad, type Marker } from '../support/load.ts';
import { versions } from '../support/matrix.ts';
import {
  protect,
  waitForRecovery,
  waitUntil,
  type ProtectedServer,
} from '../support/protected-server.ts';
import { populate } from '../support/schema.ts';

const PAGE_BYTES = 8192;

describe.each(versions([18], [13, 14, 15, 16, 17, 18]))(
  'a delta restore of PostgreSQL %i',
  (major) => {
    let cluster: TestCluster;
    let server: ProtectedServer;
    let clusterBytes: number;
    const markers: Marker[] = [];

    beforeAll(async () => {
      cluster = await testCluster({ major });
      await populate(cluster, { scale: 0.2 });
      server = await protect(cluster);
      await using receiver = await server.receive();
      const load = startLoad(cluster, { seed: `delta ${major}` });
      await load.waitForCommits(30);
      ({ clusterBytes } = await server.backup(['--from', 'local']));
      for (const name of ['first', 'second']) {
        await load.waitForCommits(40);
        markers.push(await load.mark(name));
      }
      await load.waitForCommits(40);
      await load.stop();
      await changeMuch();
      await server.waitUntilStored(await cluster.value('select pg_current_wal_flush_lsn()'));
      await receiver.stop();
    }, 180_000);

    afterAll(async () => {
      await cluster.dispose();
    });

    /** What no backup has: new relations, a new database, rewritten and dropped ones. */
    async function changeMuch(): Promise<void> {
      await cluster.sql(
        'create table later as select n, repeat($1, 500) from generate_series(1, 5000) n',
        {
          parameters: ['x'],
        },
      );
      await cluster.sql('create database later_database');
      await cluster.sql('vacuum full pg_class');
      await cluster.sql('checkpoint');
    }

    function deltaWords(...words: string[]): string[] {
      return ['restore', 'shop', '--target', cluster.dataFolder, '--delta', ...words];
    }

    async function delta(...words: string[]): Promise<RestoreDocument> {
      return restoreDocument.parse(await server.json(deltaWords(...words)));
    }

    async function planDelta(...words: string[]): Promise<RestorePlanDocument> {
      return restorePlanDocument.parse(await server.json(deltaWords('--dry-run', ...words)));
    }

    async function startAt(marker: Marker, action: 'pause' | 'promote'): Promise<void> {
      await cluster.server.start();
      await waitForRecovery(cluster, action);
      expect(contentDifferences(marker.content, await contentOf(cluster))).toEqual([]);
    }

    /** What restores moved aside. */
    async function savedWal(folder = join(cluster.dataFolder, 'pg_wal')): Promise<string[]> {
      const names = await readdir(folder);
      const saved = names.filter((name) => name.startsWith('walnut-unstored-'));
      return (await Promise.all(saved.map((name) => readdir(join(folder, name))))).flat();
    }

    async function expectNoStart(): Promise<void> {
      await expect(cluster.server.start()).rejects.toThrow(
        /could not find the database system|already exists/,
      );
    }

    /** Main forks of several pages that the backup has as well. */
    async function relations(): Promise<string[]> {
      const rows = await cluster.sql<{ path: string }>(
        `select pg_relation_filepath(oid) as path from pg_class
        where relkind = 'r' and relnamespace = 'pg_catalog'::regnamespace and relname <> 'pg_class'
          and not relisshared
        order by pg_relation_size(oid) desc limit 5`,
        { database: 'postgres' },
      );
      return rows.map(({ path }) => join(cluster.dataFolder, path));
    }

    /** Damage of every kind to a stopped cluster; answers what a restore has to delete. */
    async function damage(paths: readonly string[]): Promise<string[]> {
      const [flipped = '', cut = '', grown = '', gone = '', zeroed = ''] = paths;
      await flipByte(flipped, 2 * PAGE_BYTES + 4000);
      await truncate(cut, PAGE_BYTES + 100);
      await appendFile(grown, Buffer.alloc(3 * PAGE_BYTES, 1));
      await rm(gone);
      await overwrite(zeroed, PAGE_BYTES, Buffer.alloc(PAGE_BYTES));
      await chmod(flipped, 0o666);
      const folder = dirname(flipped);
      const added = [join(folder, '99999999'), join(cluster.dataFolder, 'base/99999999')];
      await writeFile(join(folder, '99999999'), Buffer.alloc(PAGE_BYTES, 1));
      await mkdir(join(cluster.dataFolder, 'base/99999999'));
      for (const name of [
        'pg_replslot/stale',
        'pg_stat_tmp/x.stat',
        'base/99999999/1259',
        'standby.signal',
      ]) {
        const path = join(cluster.dataFolder, name);
        await writeFile(path, 'x');
        added.push(path);
      }
      await giveToUser(cluster.dataFolder, cluster.server.user);
      return added;
    }

    /** Of the files of the database that nobody writes to: what changes when a file is touched. */
    async function traces(): Promise<string[]> {
      const oid = templateOid;
      const folder = join(cluster.dataFolder, 'base', oid);
      const names = (await readdir(folder)).toSorted();
      return await Promise.all(
        names.map(async (name) => {
          const { ino, mtimeNs, size } = await lstat(join(folder, name), { bigint: true });
          return `${name} ${ino} ${mtimeNs} ${size}`;
        }),
      );
    }

    let templateOid = '';

    test('into the directory of the running server is refused', async () => {
      templateOid = await cluster.value(
        "select oid::text from pg_database where datname = 'template0'",
      );
      const result = await server.run([...deltaWords(), '--json']);
      expect(result.exitCode).toBe(1);
      expect(result.json()).toMatchObject({
        error: {
          code: 'target-not-empty',
          message: expect.stringContaining('a PostgreSQL server runs there'),
        },
      });
      // The lock file alone does not tell.
      const lock = join(cluster.dataFolder, 'postmaster.pid');
      await rename(lock, `${lock}.aside`);
      const without = await server.run([...deltaWords(), '--json']);
      await rename(`${lock}.aside`, lock);
      expect(without.json()).toMatchObject({
        error: { message: expect.stringContaining('a running PostgreSQL server uses it') },
      });
      expect(await cluster.value('select 1::text')).toBe('1');
    });

    test('of a server that was stopped writes what differs, and again nothing', async () => {
      const [first] = markers;
      if (first === undefined) throw new Error('no marker');
      const paths = await relations();
      await cluster.server.stop();
      const added = await damage(paths);
      const untouched = await traces();
      const target = ['--to-time', first.time, '--action', 'promote'];

      const plan = await planDelta(...target);
      expect(plan.delta).toMatchObject({ found: 'cluster' });
      expect(plan.delta?.deletes).toEqual(expect.arrayContaining(added));
      expect(
        plan.delta?.deletes.filter((path) => path.includes('/pg_wal/')).length,
      ).toBeGreaterThan(0);
      expect(plan.warnings.join()).not.toContain('not shut down cleanly');
      expect(await lstat(added[0] ?? '')).toBeDefined();

      const result = await delta(...target);
      expect(result.keptBytes).toBeGreaterThan(clusterBytes / 3);
      expect(result.restoredBytes).toBeGreaterThan(0);
      expect(result.restoredBytes).toBeLessThan(clusterBytes / 2);
      expect(result.deletedFiles).toBe(plan.delta?.deletedFiles);
      for (const path of added) await expect(lstat(path)).rejects.toThrow('ENOENT');
      const wal = await readdir(join(cluster.dataFolder, 'pg_wal'));
      expect(wal.filter((name) => /^[0-9A-F]{24}/.test(name))).toEqual([]);
      expect((await lstat(paths[0] ?? '')).mode & 0o777).toBe(0o600);
      expect(await traces()).toEqual(untouched);

      const again = await delta(...target);
      expect(again.restoredBytes).toBeLessThan(4 * PAGE_BYTES);
      expect(again.readBytes).toBeLessThan(clusterBytes / 20);
      expect(again.keptBytes + again.restoredBytes).toBe(result.keptBytes + result.restoredBytes);
      await startAt(first, 'promote');
      expect(await savedWal()).toEqual(expect.arrayContaining([expect.stringMatching(/^0{7}1/)]));
    });

    test('of a server that was killed survives kill -9, and leaves nothing that starts', async () => {
      const [, second] = markers;
      if (second === undefined) throw new Error('no marker');
      const load = startLoad(cluster, { seed: 'later' });
      await load.waitForCommits(50);
      const paths = await relations();
      await cluster.server.kill();
      await load.stop();
      await damage(paths);
      const target = ['--to-name', second.name, '--action', 'pause', '--wal', 'copy'];
      const walDirectory = join(cluster.workFolder, 'wal');
      let plan: RestorePlanDocument | null = null;
      // The processes of the dead server take a moment to notice.
      await waitUntil(
        () => 'the target is free',
        async () => {
          const words = deltaWords(
            '--dry-run',
            '--json',
            '--wal-directory',
            walDirectory,
            ...target,
          );
          const result = await server.run(words);
          if (result.exitCode === 0) plan = restorePlanDocument.parse(result.json());
          return plan !== null;
        },
      );
      expect(plan).toMatchObject({
        warnings: expect.arrayContaining([expect.stringContaining('crash recovery')]),
      });

      const killed = await server.start(
        deltaWords('--wal-directory', walDirectory, '--rate', '200kB/s', ...target),
      );
      const control = join(cluster.dataFolder, 'global/pg_control');
      await waitUntil(
        () => 'pg_control is gone',
        async () => (await lstat(control).catch(() => null)) === null,
        { pollMs: 20 },
      );
      const beside = await server.run([...deltaWords(...target), '--json']);
      expect(beside.json()).toMatchObject({ error: { code: 'locked' } });
      await expectNoStart();
      await killed.stop('SIGKILL');
      await expectNoStart();
      await expect(lstat(control)).rejects.toThrow('ENOENT');
      const normal = await server.run([
        'restore',
        'shop',
        '--target',
        cluster.dataFolder,
        '--json',
      ]);
      expect(normal.json()).toMatchObject({
        error: { code: 'target-not-empty', hint: expect.stringContaining('--delta') },
      });

      expect((await planDelta('--wal-directory', walDirectory, ...target)).delta).toMatchObject({
        found: 'unfinished',
      });
      const repeated = await delta('--wal-directory', walDirectory, ...target);
      expect(repeated.keptBytes).toBeGreaterThan(repeated.restoredBytes);
      expect((await readdir(walDirectory)).length).toBeGreaterThan(1);
      // The life that ended was never archived: its WAL exists nowhere else.
      expect(await savedWal(walDirectory)).toEqual(
        expect.arrayContaining(['00000002.history', expect.stringMatching(/^0{7}2[0-9A-F]{16}$/)]),
      );
      // Without the option pg_wal stays where it is now.
      await delta(...target);
      expect(await readdir(cluster.dataFolder)).not.toContain('walnut-restore-unfinished');
      await startAt(second, 'pause');
    });
  },
);

async function flipByte(path: string, offset: number): Promise<void> {
  const handle = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, offset);
  byte.writeUInt8(byte.readUInt8(0) ^ 1);
  await handle.write(byte, 0, 1, offset);
  await handle.close();
}

async function overwrite(path: string, offset: number, content: Buffer): Promise<void> {
  const handle = await open(path, 'r+');
  await handle.write(content, 0, content.length, offset);
  await handle.close();
}
