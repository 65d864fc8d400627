import { chmod, cp, mkdir, mkdtemp, readdir, rm, stat, symlink, unlink } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  adoptCluster,
  testBinaries,
  testCluster,
  type TestCluster,
} from '../../test/support/cluster.ts';
import { versions } from '../../test/support/matrix.ts';
import { runs } from '../../test/support/runs.ts';
import { must } from '../lib/assert.ts';
import { SUPPORTED_MAJORS } from '../postgres/version.ts';
import { findPostgresqlBinaries } from './postgresql-binaries.ts';
import { makeScratchFolder } from './scratch-folder.ts';
import { stageBinaries } from './staged-binaries.ts';
import { createServer } from './temporary-server.ts';
import { isRoot, unprivilegedUser } from './unprivileged-user.ts';

describe.each(versions([13, 18], SUPPORTED_MAJORS))('a temporary PostgreSQL %i', (major) => {
  test('starts, stops, crashes, recovers and restarts with its rows', async () => {
    await using cluster = await testCluster({ major, initdb: { walSegmentMegabytes: 1 } });
    const { server } = cluster;
    await cluster.sql(
      'create table kept (id int); insert into kept select generate_series(1, 1000)',
    );
    expect(await cluster.value('show wal_segment_size')).toBe('1MB');
    await server.kill();
    expect(server.isRunning).toBe(false);
    await expect(cluster.sql('select 1')).rejects.toThrow(/ENOENT|ECONNREFUSED/);
    await server.start();
    expect(await server.readLog()).toContain('automatic recovery in progress');
    expect(await cluster.value('select count(*) from kept')).toBe('1000');
    await server.restart();
    expect(await cluster.value('select count(*) from kept')).toBe('1000');
    expect(await server.logTail()).toContain('database system is ready to accept connections');
    await server.stop();
    expect(await server.waitForExit()).toEqual({ exitCode: 0, signal: null });
  });

  test('becomes a primary when a standby copy of it is promoted', async () => {
    await using cluster = await testCluster({ major, settings: { wal_level: 'replica' } });
    await cluster.sql('create table kept as select 7 as id');
    await cluster.server.stop();
    const copy = join(cluster.workFolder, 'copy');
    await cp(cluster.dataFolder, copy, { recursive: true, verbatimSymlinks: true });
    await chmod(copy, 0o700);
    await cp(join(copy, 'PG_VERSION'), join(copy, 'standby.signal'));
    await using standby = await adoptCluster({ major, dataFolder: copy });
    await standby.server.start();
    expect(await standby.value('select pg_is_in_recovery()')).toBe('true');
    await standby.server.promote();
    expect(await standby.value('select pg_is_in_recovery()')).toBe('false');
    expect(await standby.value('select id from kept')).toBe('7');
  });
});

describe('a temporary server', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await testCluster({
      major: 18,
      initdb: { dataChecksums: false },
      hbaLines: ['host postgres refused 127.0.0.1/32 reject'],
    });
    await cluster.sql("create role refused login password 'x'");
  });
  afterAll(async () => {
    await cluster.dispose();
  });

  test('has the settings, checksums and access lines it was made with', async () => {
    expect(await cluster.value('show data_checksums')).toBe('off');
    expect(await cluster.value('show fsync')).toBe('off');
    expect(readdirSync(join(cluster.dataFolder, '..')).toSorted()).toEqual([
      'data',
      'server.log',
      'socket',
      'work',
    ]);
    await expect(cluster.sql('select 1', { user: 'refused' })).rejects.toThrow(
      'rejects connection',
    );
    expect(await cluster.value('select current_user', { user: 'walnut' })).toBe('walnut');
  });

  test('asks for a password over TCP, and its socket is for its own user', async () => {
    const url = new URL(cluster.connectionString());
    expect(url.password).not.toBe('');
    url.password = 'wrong';
    const client = new Client({ connectionString: url.href });
    await expect(client.connect()).rejects.toThrow('password authentication failed');
    const { mode, uid } = await stat(cluster.server.socketFolder);
    expect([mode & 0o777, uid]).toEqual([0o700, cluster.server.user.uid]);
  });

  test.each(['fast', 'immediate', 'smart'] as const)('stops in mode %s', async (mode) => {
    await cluster.server.stop(mode);
    expect(cluster.server.isRunning).toBe(false);
    const expected = mode === 'immediate' ? 'immediate' : mode;
    expect(await cluster.server.readLog()).toContain(`received ${expected} shutdown request`);
    await cluster.server.start();
    expect(await cluster.value('select 1')).toBe('1');
  });

  test('says how long it was waited for when a session holds up its smart stop', async () => {
    const client = await cluster.connect();
    await expect(cluster.server.stop('smart', { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('did not end within 300 ms'),
    });
    await client.end();
    await cluster.server.waitForExit();
    await cluster.server.start();
  });

  test('leaves no process behind when it is killed, which would keep the next start out', async () => {
    const clients = await Promise.all(
      Array.from({ length: 8 }, async () => await cluster.connect()),
    );
    for (const client of clients) client.on('error', () => {});
    const rows = await cluster.sql<{ pid: number }>('select pid from pg_stat_activity');
    const pids = [must(cluster.server.pid, 'it runs'), ...rows.map(({ pid }) => pid)];
    expect(pids.filter(runs).length).toBeGreaterThan(clients.length);
    await cluster.server.kill();
    expect(pids.filter(runs)).toEqual([]);
    await cluster.server.start();
    expect(await cluster.value('select 1')).toBe('1');
  });

  test('tells why it did not start, with the exit code and the log', async () => {
    await cluster.server.stop();
    await using broken = await adoptCluster({
      major: 18,
      dataFolder: cluster.dataFolder,
      overrides: { shared_buffers: '1PB' },
    });
    await expect(broken.server.start()).rejects.toMatchObject({
      code: 'postgresql',
      message: expect.stringContaining('shared_buffers'),
      details: { exitCode: 1, signal: null },
    });
    await cluster.server.start();
  });
});

describe('a server in an odd place', () => {
  test('a taken port fails by name when it was asked for, and a free one is another', async () => {
    const user = await unprivilegedUser();
    const scratch = await makeScratchFolder(user);
    const taken = createTcpServer();
    await new Promise<void>((done) => taken.listen(0, '127.0.0.1', () => done()));
    const { port } = taken.address() as AddressInfo;
    const binaries = await testBinaries(18);
    const server = await createServer({ binaries, user, folder: scratch.path, port });
    await expect(server.start()).rejects.toThrow('Address already in use');
    taken.close();
    await server.start();
    expect(server.port).toBe(port);
    await server.dispose();
    await scratch.remove();
  });

  test('a folder with a long name gets its socket in a short one', async () => {
    const user = await unprivilegedUser();
    const scratch = await makeScratchFolder(user);
    const folder = join(scratch.path, 'l'.repeat(120));
    await mkdir(folder);
    const server = await createServer({ binaries: await testBinaries(18), user, folder });
    await server.start();
    expect(server.socketFolder.length).toBeLessThan(40);
    const client = new Client({ connectionString: server.connectionString() });
    await client.connect();
    await client.end();
    await server.dispose();
    await expect(stat(server.socketFolder)).rejects.toThrow('ENOENT');
    await scratch.remove();
  });

  test.skipIf(!isRoot())(
    'programs in a private folder without their links run all the same',
    async () => {
      const user = await unprivilegedUser();
      const scratch = await makeScratchFolder(user);
      const home = await mkdtemp('/tmp/walnut-private-');
      const { relocatableRoot = '' } = await findPostgresqlBinaries(18, { sources: ['package'] });
      await cp(join(relocatableRoot, '..'), home, { recursive: true, verbatimSymlinks: true });
      for (const entry of await readdir(join(home, 'native/lib'), { withFileTypes: true })) {
        if (entry.isSymbolicLink()) await unlink(join(home, 'native/lib', entry.name));
      }
      const found = await findPostgresqlBinaries(18, { folder: join(home, 'native') });
      expect(found.missingLinks.length).toBeGreaterThan(5);
      const binaries = await stageBinaries(found, { user, cacheFolder: scratch.path });
      const server = await createServer({ binaries, user, folder: scratch.path });
      await server.start();
      expect(server.isRunning).toBe(true);
      await server.dispose();
      await rm(home, { recursive: true });
      await scratch.remove();
    },
  );

  test('what the server runs sees the environment it was given, and none of ours', async () => {
    await using cluster = await testCluster({ major: 18 });
    await cluster.server.stop();
    process.env['PGHOST'] = 'nowhere.example';
    await using same = await adoptCluster({
      major: 18,
      dataFolder: cluster.dataFolder,
      env: { WALNUT_PROBE: 'seen' },
    });
    await same.server.start();
    delete process.env['PGHOST'];
    await same.sql(`create table seen (line text); copy seen from program 'env'`);
    const lines = await same.sql<{ line: string }>('select line from seen');
    expect(lines).toContainEqual({ line: 'WALNUT_PROBE=seen' });
    expect(lines.filter(({ line }) => line.startsWith('PGHOST'))).toEqual([]);
  });

  test('a restored cluster is taken over with its tablespace, whoever owns the files', async () => {
    await using cluster = await testCluster({ major: 13 });
    const space = await cluster.createTablespace('space');
    await cluster.sql('create table far (id int) tablespace space; insert into far values (5)');
    await cluster.server.stop();
    const target = await makeScratchFolder(cluster.server.user);
    const [data, moved] = [join(target.path, 'data'), join(target.path, 'space')];
    await cp(cluster.dataFolder, data, { recursive: true, verbatimSymlinks: true });
    await cp(space, moved, { recursive: true });
    await chmod(data, 0o700);
    const [oid = ''] = await readdir(join(data, 'pg_tblspc'));
    await unlink(join(data, 'pg_tblspc', oid));
    await symlink(moved, join(data, 'pg_tblspc', oid));
    await using copy = await adoptCluster({ major: 13, dataFolder: data });
    await copy.server.start();
    expect(await copy.value('select id from far')).toBe('5');
    await copy.sql('insert into far values (6)');
    await copy.server.stop();
    await target.remove();
  });
});
