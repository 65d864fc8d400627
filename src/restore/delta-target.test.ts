/** Which folders a delta restore takes, and the locks that keep servers and other restores out of them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readClusterFixture } from '../../test/fixtures/cluster/read-fixture.ts';
import { exampleManifest } from '../../test/support/stored-backup.ts';
import { parseControlFile } from '../postgres/cluster/control-file.ts';
import { inspectDeltaTarget, uncleanWarning, type DeltaTarget } from './delta-target.ts';
import { planLocations } from './restore-layout.ts';
import { requireUnused } from './server-processes.ts';
import { lockTarget } from './target-lock.ts';
import { readMarker, writeMarker } from './unfinished-marker.ts';

const CONTROL = readClusterFixture(18, 'pg_control');
const STOPPED = readClusterFixture(18, 'pg_control.stopped');
const SYSTEM = String(parseControlFile(CONTROL).systemIdentifier);
const WANTED = { systemIdentifier: SYSTEM, majorVersion: 18 };

let folder: string;
let data: string;

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'walnut-target-')));
  data = join(folder, 'data');
  await mkdir(join(data, 'global'), { recursive: true });
  await mkdir(join(data, 'pg_tblspc'));
  await writeFile(join(data, 'PG_VERSION'), '18\n');
  await writeFile(join(data, 'global/pg_control'), STOPPED);
});

afterEach(() => rm(folder, { recursive: true, force: true }));

async function inspect(wanted = WANTED): Promise<DeltaTarget> {
  return await inspectDeltaTarget(data, wanted);
}

async function mark(systemIdentifier: string, directory = join(folder, 'fast')): Promise<void> {
  const tablespaces = [{ oid: 16_400, name: 'fast', directory }];
  const locations = { dataDirectory: data, tablespaces, walDirectory: null };
  await writeMarker(locations, { what: 'a backup', systemIdentifier });
}

describe('the target of a delta restore', () => {
  test('may be missing or empty', async () => {
    await rm(data, { recursive: true });
    expect(await inspect()).toMatchObject({ kind: 'empty' });
    await mkdir(data);
    expect(await inspect()).toMatchObject({ kind: 'empty' });
  });

  test('may be the stopped cluster, with its links', async () => {
    await symlink(join(folder, 'fast'), join(data, 'pg_tblspc/16400'));
    await symlink('../wal', join(data, 'pg_wal'));
    const target = await inspect();
    expect(target).toMatchObject({ kind: 'cluster', walDirectory: join(folder, 'wal') });
    expect([...target.tablespaces]).toEqual([[16_400, join(folder, 'fast')]]);
    expect(uncleanWarning(target)).toBeNull();
  });

  test('that only crashed is taken, with the hint that a start may be all it needs', async () => {
    await writeFile(join(data, 'global/pg_control'), CONTROL);
    expect(uncleanWarning(await inspect())).toMatch(/"in production".*crash recovery/);
  });

  test('may be an unfinished restore of the same cluster, without or with half a pg_control', async () => {
    await mark(SYSTEM);
    await rm(join(data, 'PG_VERSION'));
    for (const content of [null, '', STOPPED.subarray(0, 100)]) {
      await rm(join(data, 'global/pg_control'), { force: true });
      if (content !== null) await writeFile(join(data, 'global/pg_control'), content);
      const target = await inspect();
      expect(target).toMatchObject({ kind: 'unfinished', control: null });
      expect([...target.folders]).toEqual([join(folder, 'fast')]);
    }
  });

  test.each([
    [
      'a home',
      async () => await rm(join(data, 'PG_VERSION')),
      'neither empty nor a data directory',
    ],
    ['a cluster without pg_control', async () => {}, 'it has no global/pg_control'],
    [
      'a cut marker',
      async () => await writeFile(join(data, 'walnut-restore-unfinished'), 'Wal'),
      'it has no global',
    ],
  ])('%s is refused', async (_, act, message) => {
    await rm(join(data, 'global/pg_control'));
    await act();
    await expect(inspect()).rejects.toMatchObject({
      code: 'target-not-empty',
      message: expect.stringContaining(message),
    });
  });

  test('with a broken pg_control is refused: nobody can tell which cluster it is', async () => {
    const broken = Buffer.from(STOPPED);
    broken.writeUInt8(broken.readUInt8(60) ^ 1, 60);
    await writeFile(join(data, 'global/pg_control'), broken);
    await expect(inspect()).rejects.toThrow('nobody can tell which cluster it is');
  });

  test("whose pg_control lies behind a link is refused: it may be another cluster's", async () => {
    await rename(join(data, 'global'), join(folder, 'global'));
    await symlink(join(folder, 'global'), join(data, 'global'));
    await expect(inspect()).rejects.toThrow('lies behind a symbolic link');
  });

  test.each([
    ['another system', { ...WANTED, systemIdentifier: '1' }],
    ['another version', { ...WANTED, majorVersion: 17 }],
  ])('of %s is refused, also when a restore of it was not finished', async (_, wanted) => {
    await expect(inspect(wanted)).rejects.toMatchObject({ code: 'foreign-system' });
    await mark(wanted.systemIdentifier);
    await expect(inspect(wanted)).rejects.toMatchObject({ code: 'foreign-system' });
    await mark('77');
    await rm(join(data, 'global/pg_control'));
    await expect(inspect(wanted)).rejects.toMatchObject({ code: 'foreign-system' });
  });

  test('keeps its tablespaces where its links lead; any other folder has to be empty', async () => {
    const own = join(folder, 'own');
    const foreign = join(folder, 'foreign');
    for (const path of [own, foreign])
      await mkdir(join(path, 'PG_18_202506291'), { recursive: true });
    await symlink(own, join(data, 'pg_tblspc/16400'));
    const manifest = exampleManifest({
      tablespaces: [{ oid: 16_400, name: 'fast', location: foreign }],
    });
    const request = {
      targetDirectory: data,
      tablespaces: new Map<string, string>(),
      walDirectory: null,
    };
    const present = await inspect();
    const { tablespaces } = await planLocations(request, manifest, present);
    expect(tablespaces[0]?.directory).toBe(own);
    const elsewhere = { ...request, tablespaces: new Map([['fast', foreign]]) };
    await expect(planLocations(elsewhere, manifest, present)).rejects.toMatchObject({
      code: 'target-not-empty',
    });
    await rm(join(data, 'pg_tblspc/16400'));
    await expect(planLocations(request, manifest, await inspect())).rejects.toThrow(
      /foreign.* is not empty/,
    );
    // As an interrupted restore to there leaves it.
    await mark(SYSTEM, foreign);
    expect(
      (await planLocations(request, manifest, await inspect())).tablespaces[0]?.directory,
    ).toBe(foreign);
  });

  test('is refused while a program called postgres works in it or in its tablespace, lock file or not', async () => {
    const elsewhere = join(folder, 'other');
    await mkdir(join(elsewhere, 'pg_tblspc'), { recursive: true });
    await mkdir(join(folder, 'fast'));
    await symlink(join(folder, 'fast'), join(elsewhere, 'pg_tblspc/16400'));
    await symlink('/bin/sleep', join(folder, 'postgres'));
    const server = spawn(join(folder, 'postgres'), ['60'], { cwd: elsewhere });
    await once(server, 'spawn');
    try {
      for (const path of [elsewhere, join(folder, 'fast')]) {
        await expect(requireUnused([data, path])).rejects.toMatchObject({
          code: 'target-not-empty',
          details: { processId: server.pid, path },
        });
      }
      await expect(requireUnused([data, join(folder, 'nothing')])).resolves.toBeUndefined();
    } finally {
      server.kill('SIGKILL');
      await once(server, 'exit');
    }
    await expect(requireUnused([elsewhere])).resolves.toBeUndefined();
  });
});

describe('the lock of a target', () => {
  test('keeps a second restore out, and is gone when it is released', async () => {
    const lock = await lockTarget(data);
    await expect(lockTarget(data)).rejects.toMatchObject({ code: 'locked' });
    await expect(inspect()).rejects.toMatchObject({
      code: 'locked',
      details: { processId: process.pid },
    });
    // A single-user server's number is negative: pg_ctl does not signal it.
    expect(await readFile(join(data, 'postmaster.pid'), 'utf8')).toMatch(`-${process.pid}\n`);
    await lock.release();
    expect(await inspect()).toMatchObject({ kind: 'cluster' });
  });

  test('takes the place of one whose process is dead', async () => {
    const dead = spawn('true');
    await once(dead, 'exit');
    await writeFile(join(data, 'postmaster.pid'), `${dead.pid}\n/data\n`);
    const lock = await lockTarget(data);
    await lock.release();
    await expect(readFile(join(data, 'postmaster.pid'))).rejects.toThrow('ENOENT');
  });
});

describe('the mark of an unfinished restore', () => {
  test('is replaced whole and says whose it is', async () => {
    await mark('1');
    await mark('2', '/somewhere/else');
    expect(await readMarker(data)).toEqual({ systemIdentifier: '2', folders: ['/somewhere/else'] });
  });
});
