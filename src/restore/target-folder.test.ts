import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { exampleManifest } from '../../test/support/stored-backup.ts';
import { planRoom } from './plan-content.ts';
import { prepareFolders } from './prepare-folders.ts';
import { planLocations } from './restore-layout.ts';
import { requireFreeFolder } from './target-folder.ts';
import { UNFINISHED_MARKER, writeMarker } from './unfinished-marker.ts';

let folder: string;

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'walnut-target-')));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

describe('a target folder', () => {
  const check = async (): Promise<void> =>
    await requireFreeFolder(join(folder, 'data'), 'target folder');

  test('may be missing, empty, or hold nothing but lost+found', async () => {
    await expect(check()).resolves.toBeUndefined();
    await mkdir(join(folder, 'data/lost+found'), { recursive: true });
    await expect(check()).resolves.toBeUndefined();
  });

  test('with content is refused, naming some of it', async () => {
    await mkdir(join(folder, 'data/base'), { recursive: true });
    await expect(check()).rejects.toMatchObject({
      code: 'target-not-empty',
      message: expect.stringContaining('the target folder is not empty (base)'),
    });
  });

  test('that is a file is refused', async () => {
    await writeFile(join(folder, 'data'), '');
    await expect(check()).rejects.toMatchObject({ code: 'target-not-empty' });
  });

  test('of a running server is refused as such; a lock file of a dead one is only content', async () => {
    const lockFile = join(folder, 'data/postmaster.pid');
    await mkdir(join(folder, 'data'));
    const server = spawn('sleep', ['60'], { cwd: join(folder, 'data') });
    await once(server, 'spawn');
    await writeFile(lockFile, `${server.pid}\n/data\n`);
    await expect(check()).rejects.toThrow('a PostgreSQL server runs there');
    server.kill('SIGKILL');
    await once(server, 'exit');
    // After a restart of the host another program may have the number.
    await writeFile(lockFile, `${process.pid}\n/data\n`);
    await expect(check()).rejects.toThrow('is not empty (postmaster.pid)');
    const dead = spawn('true');
    await once(dead, 'exit');
    await writeFile(lockFile, `${dead.pid}\n/data\n`);
    await expect(check()).rejects.toThrow('is not empty (postmaster.pid)');
  });

  test('inside a data directory or a tablespace is refused', async () => {
    await writeFile(join(folder, 'PG_VERSION'), '18\n');
    await expect(check()).rejects.toThrow(`lies inside ${folder}, which is a data directory`);
    await rm(join(folder, 'PG_VERSION'));
    await mkdir(join(folder, 'PG_18_202506291'));
    await expect(check()).rejects.toThrow('which is a tablespace');
  });

  test('of an unfinished restore is refused with everything that has to be removed', async () => {
    const dataDirectory = join(folder, 'data');
    const directory = join(folder, "with space and 'quote'");
    const tablespaces = [{ oid: 1, name: 'x', directory }];
    const locations = { dataDirectory, tablespaces, walDirectory: null };
    await prepareFolders(locations);
    await writeMarker(locations, { what: 'a backup', systemIdentifier: '7' });
    await expect(check()).rejects.toMatchObject({
      code: 'target-not-empty',
      details: { folders: [dataDirectory, directory] },
      hint: expect.stringContaining(String.raw`'\''quote'\'''`),
    });
    expect(await readFile(join(dataDirectory, UNFINISHED_MARKER), 'utf8')).toContain('a backup');
  });
});

describe('the layout of a restore', () => {
  const manifest = exampleManifest({
    tablespaces: [
      { oid: 16_400, name: 'fast', location: '/nonexistent/fast' },
      { oid: 16_500, name: 'inside', location: 'pg_tblspc/16500' },
    ],
  });
  const request = (parts: object) => ({
    targetDirectory: join(folder, 'data'),
    tablespaces: new Map<string, string>(),
    walDirectory: null,
    ...parts,
  });

  test('tablespaces go where they were, or where a name or oid maps them; in-place ones stay inside', async () => {
    const asWas = await planLocations(request({}), manifest);
    expect(asWas.tablespaces).toEqual([
      { oid: 16_400, name: 'fast', directory: '/nonexistent/fast' },
    ]);
    for (const key of ['fast', '16400']) {
      const tablespaces = new Map([[key, join(folder, 'fast')]]);
      const mapped = await planLocations(request({ tablespaces }), manifest);
      expect(mapped.tablespaces[0]?.directory).toBe(join(folder, 'fast'));
    }
  });

  test('a tablespace that the backup does not have is refused by name', async () => {
    const tablespaces = new Map([['slow', '/x']]);
    await expect(planLocations(request({ tablespaces }), manifest)).rejects.toMatchObject({
      code: 'usage',
      hint: 'It has fast.',
    });
  });

  test('a tablespace at its live location is refused with the option that moves it', async () => {
    const location = join(folder, 'live');
    await mkdir(join(location, 'PG_18_202506291'), { recursive: true });
    const live = exampleManifest({ tablespaces: [{ oid: 16_400, name: 'fast', location }] });
    await expect(planLocations(request({}), live)).rejects.toMatchObject({
      code: 'target-not-empty',
      hint: expect.stringContaining('--tablespace'),
    });
    const below = new Map([['fast', join(location, 'below')]]);
    await expect(planLocations(request({ tablespaces: below }), live)).rejects.toThrow(
      'which is a tablespace',
    );
  });

  test.each([
    ['a tablespace inside the target', { tablespaces: new Map([['fast', 'data/fast']]) }],
    ['a tablespace that is the target', { tablespaces: new Map([['fast', 'data']]) }],
    ['pg_wal inside the target', { walDirectory: 'data/pg_wal' }],
    ['pg_wal around the target', { walDirectory: '' }],
    ['a tablespace inside the target by a link', { tablespaces: new Map([['fast', 'link/fast']]) }],
  ])('%s is refused', async (_, parts) => {
    await mkdir(join(folder, 'data'));
    await symlink(join(folder, 'data'), join(folder, 'link'));
    const { tablespaces = new Map<string, string>(), walDirectory } = parts as {
      tablespaces?: ReadonlyMap<string, string>;
      walDirectory?: string;
    };
    const wish = request({
      tablespaces: new Map([...tablespaces].map(([name, path]) => [name, join(folder, path)])),
      walDirectory: walDirectory === undefined ? null : join(folder, walDirectory),
    });
    await expect(planLocations(wish, manifest)).rejects.toMatchObject({ code: 'usage' });
  });

  test('too little space is refused with both figures, counted per file system', async () => {
    const half = 2 ** 52;
    const needed = new Map([
      [join(folder, 'data'), half],
      [join(folder, 'other'), half],
    ]);
    await expect(planRoom(needed)).rejects.toMatchObject({
      code: 'disk-full',
      details: { neededBytes: 2 * half },
    });
    expect(await planRoom(new Map([[folder, 1]]))).toMatchObject([{ neededBytes: 1 }]);
  });
});
