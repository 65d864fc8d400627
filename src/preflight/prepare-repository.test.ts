import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { prepareRepository } from './prepare-repository.ts';

async function folderWith(...names: readonly string[]): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'walnut-prepare-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  for (const name of names) await writeFile(join(path, name), '');
  return path;
}

async function prepare(path: string): Promise<boolean> {
  const { store, created } = await prepareRepository({ kind: 'filesystem', path });
  await store.close();
  return created;
}

describe('a new repository', () => {
  test('may lie in the home of a service account, which holds hidden files', async () => {
    const path = await folderWith('.pgpass');
    await mkdir(join(path, '.cache'));
    expect(await prepare(path)).toBe(true);
    expect(await prepare(path)).toBe(false);
  });

  test('is not made among other things', async () => {
    const path = await folderWith('.pgpass', 'report.odt');
    await expect(prepare(path)).rejects.toMatchObject({ code: 'config' });
  });
});
