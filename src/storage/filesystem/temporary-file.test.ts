import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { FilesystemDescription, ObjectStore } from '../object-store.ts';
import { openFilesystemStore } from './filesystem-store.ts';
import { removeStaleTemporaries } from './temporary-file.ts';

const HOUR_MS = 3_600_000;

let description: FilesystemDescription;
let store: ObjectStore;

beforeEach(async () => {
  const path = await mkdtemp(join(tmpdir(), 'walnut-temporaries-'));
  description = { kind: 'filesystem', path };
  store = await openFilesystemStore(description);
  onTestFinished(async () => rm(path, { recursive: true }));
});

const temporaries = async (): Promise<string[]> => readdir(join(description.path, 'tmp'));

/** Begins a write here and renames its file as if another process had begun it. */
async function leftBy(processId: number, host?: string): Promise<string> {
  await store.beginWrite('pack/1');
  const [mine = ''] = (await temporaries()).filter((name) => name.includes(`-${process.pid}-`));
  const random = mine.slice(mine.lastIndexOf('-'));
  const host_ = host ?? mine.slice(0, mine.lastIndexOf(`-${process.pid}-`));
  const name = `${host_}-${processId}${random}`;
  await rename(join(description.path, 'tmp', mine), join(description.path, 'tmp', name));
  return name;
}

async function makeOld(name: string): Promise<void> {
  const time = new Date(Date.now() - 2 * HOUR_MS);
  await utimes(join(description.path, 'tmp', name), time, time);
}

function deadProcess(): number {
  return spawnSync(process.execPath, ['--version']).pid;
}

describe('stale temporary files', () => {
  test('an old file of a dead process is removed and named', async () => {
    const name = await leftBy(deadProcess());
    await makeOld(name);
    expect(await removeStaleTemporaries(description, HOUR_MS)).toEqual([name]);
    expect(await temporaries()).toEqual([]);
  });

  test('a young file of a dead process stays', async () => {
    const name = await leftBy(deadProcess());
    expect(await removeStaleTemporaries(description, HOUR_MS)).toEqual([]);
    expect(await removeStaleTemporaries(description, 0)).toEqual([name]);
  });

  test.each([process.pid, 1])('an old file of the living process %i stays', async (processId) => {
    await makeOld(await leftBy(processId));
    expect(await removeStaleTemporaries(description, HOUR_MS)).toEqual([]);
    expect(await temporaries()).toHaveLength(1);
  });

  test('an old file of another host stays, even of one whose name begins alike', async () => {
    await makeOld(await leftBy(deadProcess(), `${hostname()}-2`));
    expect(await removeStaleTemporaries(description, HOUR_MS)).toEqual([]);
  });

  test.each(['notes.txt', `${hostname()}-0-0123456789abcdef`, `${hostname()}-1`])(
    'the foreign file %s stays',
    async (name) => {
      await (await store.beginWrite('pack/1')).abort();
      await writeFile(join(description.path, 'tmp', name), 'x');
      await makeOld(name);
      expect(await removeStaleTemporaries(description, HOUR_MS)).toEqual([]);
      expect(await temporaries()).toEqual([name]);
    },
  );

  test('a repository that never wrote has none', async () => {
    expect(await removeStaleTemporaries(description, 0)).toEqual([]);
  });

  test('a writer whose file was taken away fails to commit, and stores nothing', async () => {
    const writer = await store.beginWrite('pack/1');
    await writer.writePart(Buffer.from('x'));
    for (const name of await temporaries()) await rm(join(description.path, 'tmp', name));
    await expect(writer.commit()).rejects.toMatchObject({ code: 'storage' });
    expect(await store.stat('pack/1')).toBeNull();
  });
});
