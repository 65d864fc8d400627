import { createHash } from 'node:crypto';
import { chown, symlink, unlink, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  grantedFunctions,
  testCluster,
  TEST_PASSWORD,
  type TestCluster,
} from '../../../test/support/cluster.ts';
import { formatLsn } from '../lsn.ts';
import {
  createRestorePoint,
  relationName,
  startBackup,
  stopBackup,
  switchWal,
} from './backup-functions.ts';
import { readConnectionSettings } from './connection-settings.ts';
import { listServerFiles, listServerFolder, readServerFile } from './file-listing.ts';
import { readServerRanges, type ServerFileRange } from './file-reads.ts';
import { functionsNeeded, missingGrants } from './grants.ts';
import { openSession } from './open-session.ts';
import { readServerFacts } from './server-facts.ts';
import type { Session } from './session.ts';

const SOURCES = {
  environment: {},
  homeFolder: '/nonexistent',
  userName: 'nobody',
  readFile: () => null,
  exists: () => false,
};

describe.each([13, 15, 18] as const)('a server of version %i over SQL', (major) => {
  let cluster: TestCluster;
  let session: Session;
  let tablespaceFolder: string;

  beforeAll(async () => {
    cluster = await testCluster({ major, initdb: { walSegmentMegabytes: 1 } });
    await cluster.sql(`create role plain login password '${TEST_PASSWORD}'`);
    tablespaceFolder = await cluster.createTablespace('Space');
    await cluster.sql('create table far tablespace "Space" as select generate_series(1, 5000) i');
    await cluster.sql('create table near as select generate_series(1, 5000) i');
    await cluster.sql('checkpoint');
    session = await open('walnut');
  });

  afterAll(async () => {
    await session.close();
    await cluster.dispose();
  });

  async function open(user: string): Promise<Session> {
    const settings = readConnectionSettings(cluster.connectionString({ user }), SOURCES);
    return await openSession(settings, { applicationName: 'walnut test' });
  }

  test('tells its facts to a role with pg_monitor', async () => {
    const facts = await readServerFacts(session);
    expect(facts).toMatchObject({
      systemIdentifier: BigInt(
        await cluster.value('select system_identifier::text from pg_control_system()'),
      ),
      timeline: 1,
      isInRecovery: false,
      dataDirectory: cluster.dataFolder,
      dataDirectoryMode: 0o700,
      blockBytes: 8192,
      walSegmentBytes: 1024 * 1024,
      walLevel: 'replica',
      archiveMode: 'off',
      fullPageWrites: true,
      summarizesWal: false,
      maxWalSenders: 10,
      unixSocketFolders: [cluster.server.socketFolder],
      tablespaces: [
        { name: 'Space', location: tablespaceFolder, oid: expect.any(Number) as number },
      ],
      role: { name: 'walnut', isSuperuser: false, mayReplicate: true, readsAllSettings: true },
    });
    expect(facts.databases?.map(({ name }) => name)).toEqual([
      'template1',
      'template0',
      'postgres',
    ]);
    expect(facts.settings).toMatchObject({
      max_connections: '40',
      hba_file: join(cluster.dataFolder, 'pg_hba.conf'),
    });
  });

  test('hides places from a plain role, which learns each grant it lacks', async () => {
    const plain = await open('plain');
    const facts = await readServerFacts(plain);
    expect(facts.dataDirectory).toBeNull();
    expect(facts.settings['config_file']).toBeUndefined();
    expect(facts.role).toMatchObject({ mayReplicate: false, readsAllSettings: false });

    const needs = ['connection', 'switch-wal', 'restore-point', 'monitor'] as const;
    const statements: string[] = [];
    for (const need of needs) statements.push(...(await missingGrants(plain, need)));
    expect(statements).toHaveLength(grantedFunctions(major).length + 1);
    expect(statements[0]).toBe(
      `GRANT EXECUTE ON FUNCTION pg_catalog.${functionsNeeded('local', major)[0]} TO plain;`,
    );
    await expect(listServerFolder(plain, '')).rejects.toMatchObject({ code: 'permission' });

    await cluster.sql(statements.join('\n'));
    for (const need of needs) expect(await missingGrants(plain, need)).toEqual([]);
    await expect(listServerFolder(plain, '')).resolves.not.toHaveLength(0);
    await plain.close();
  });

  test('goes into backup mode and out again, with its label byte for byte', async () => {
    const start = await startBackup(session, 'walnut täst', true);
    const stopped = await stopBackup(session);
    expect(stopped.lsn).toBeGreaterThan(start);
    expect(stopped.backupLabel.toString()).toContain('LABEL: walnut täst\n');
    expect(stopped.tablespaceMap.toString()).toContain(` ${tablespaceFolder}\n`);
    const location = `START WAL LOCATION: ${formatLsn(start)} (file `;
    expect(stopped.backupLabel.toString().startsWith(location)).toBe(true);
    await expect(stopBackup(session)).rejects.toMatchObject({ details: { sqlState: '55000' } });
  });

  test('makes restore points and switches WAL', async () => {
    const point = await createRestorePoint(session, 'before');
    const end = await switchWal(session);
    expect(end).toBeGreaterThanOrEqual(point);
  });

  test('names the relation of a file', async () => {
    const node = Number(await cluster.value(`select pg_relation_filenode('near')::text`));
    expect(await relationName(session, 0, node)).toBe('public.near');
    expect(await relationName(session, 0, 4_000_000)).toBeNull();
  });

  test('lists all its files, tablespaces included', async () => {
    const files = new Map<string, { isFolder: boolean; sizeBytes: number }>();
    for await (const file of listServerFiles(session)) files.set(file.path, file);
    expect(files.get('global/pg_control')).toMatchObject({ isFolder: false, sizeBytes: 8192 });
    expect(files.get('pg_twophase')).toMatchObject({ isFolder: true });
    const far = await cluster.value(`select pg_relation_filepath('far')`);
    const farBytes = readFileSync(join(cluster.dataFolder, far));
    expect(files.get(far)).toMatchObject({ sizeBytes: farBytes.length });
    expect(await listServerFolder(session, 'pg_twophase')).toEqual([]);
    expect(await listServerFolder(session, 'nowhere')).toBeNull();
    expect(await listServerFolder(session, 'nowhere/at/all')).toBeNull();
  });

  test('refuses a folder that contains itself', async () => {
    const link = join(cluster.dataFolder, 'pg_twophase', 'loop');
    await symlink('..', link);
    const walk = async (): Promise<void> => {
      for await (const file of listServerFiles(session)) expect(file.path).not.toBe('');
    };
    try {
      await expect(walk()).rejects.toThrow(/nested too deep|too many levels/i);
    } finally {
      await unlink(link);
    }
  });

  test('reads small files whole, and only small ones', async () => {
    expect((await readServerFile(session, 'PG_VERSION', 16))?.toString()).toBe(`${major}\n`);
    expect(await readServerFile(session, 'nowhere', 16)).toBeNull();
    await expect(readServerFile(session, 'global/pg_control', 100)).rejects.toThrow(/larger than/);
    await expect(readServerFile(session, '/etc/passwd', 100)).rejects.toMatchObject({
      code: 'permission',
    });
  });

  /** Length and hash: a failing comparison of whole files would print them. */
  const digest = (bytes: Buffer | null): string =>
    bytes === null ? 'null' : `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`;

  async function readAll(ranges: readonly ServerFileRange[]): Promise<(Buffer | null)[]> {
    const buffers = ranges.map(({ length }) => Buffer.alloc(length));
    const result: (Buffer | null)[] = [];
    await readServerRanges(session, ranges, {
      bufferFor: (index) => buffers[index] ?? Buffer.alloc(0),
      received: async (index, byteCount) => {
        expect(index).toBe(result.length);
        result.push(byteCount === null ? null : (buffers[index]?.subarray(0, byteCount) ?? null));
        await Promise.resolve();
      },
    });
    return result;
  }

  test('reads ranges exactly, also short, missing, empty and odd ones', async () => {
    const near = await cluster.value(`select pg_relation_filepath('near')`);
    const far = await cluster.value(`select pg_relation_filepath('far')`);
    const odd = `pg_twophase/o"dd, {x}\\ ü`;
    const oddPath = join(cluster.dataFolder, odd);
    await writeFile(oddPath, 'odd');
    if (process.getuid?.() === 0) {
      await chown(oddPath, cluster.server.user.uid, cluster.server.user.gid);
    }
    const nearBytes = readFileSync(join(cluster.dataFolder, near));
    const farBytes = readFileSync(join(cluster.dataFolder, far));
    const size = nearBytes.length;
    const ranges = [
      { path: near, offset: 0, length: size },
      { path: near, offset: 8192, length: 8192 },
      { path: 'nowhere', offset: 0, length: 10 },
      { path: near, offset: size - 100, length: 8192 },
      { path: near, offset: size + 5, length: 10 },
      { path: far, offset: 8192, length: 16_384 },
      { path: odd, offset: 1, length: 100 },
    ];
    const expected = [
      nearBytes,
      nearBytes.subarray(8192, 16_384),
      null,
      nearBytes.subarray(-100),
      Buffer.alloc(0),
      farBytes.subarray(8192, 24_576),
      Buffer.from('dd'),
    ];
    const found = await readAll(ranges);
    expect(found.map(digest)).toEqual(expected.map(digest));
    expect(await readAll([])).toEqual([]);
  });

  test('takes thousands of pages in one call', async () => {
    const near = await cluster.value(`select pg_relation_filepath('near')`);
    const ranges = Array.from({ length: 5000 }, (_, index) => ({
      path: near,
      offset: (index % 23) * 8192,
      length: 8192,
    }));
    const nearBytes = readFileSync(join(cluster.dataFolder, near));
    const pages = await readAll(ranges);
    const wrong = pages.findIndex(
      (page, index) =>
        page?.equals(nearBytes.subarray((index % 23) * 8192, (index % 23) * 8192 + 8192)) !== true,
    );
    expect(wrong).toBe(-1);
  });

  test('a refused read leaves the session usable, a failing taker ends it', async () => {
    await expect(readAll([{ path: '/etc/passwd', offset: 0, length: 5 }])).rejects.toMatchObject({
      code: 'permission',
    });
    expect(await session.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);

    const other = await open('walnut');
    const near = await cluster.value(`select pg_relation_filepath('near')`);
    const range = { path: near, offset: 0, length: 8192 };
    const reading = readServerRanges(
      other,
      Array.from({ length: 5000 }, () => range),
      {
        bufferFor: () => Buffer.alloc(8192),
        received: () => {
          throw new Error('disk full');
        },
      },
    );
    await expect(reading).rejects.toThrow('disk full');
    await expect(other.query('SELECT 1')).rejects.toThrow(/closed/);
  });
});
