import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fixtureSegment, expectedWal } from '../../test/fixtures/wal/load.ts';
import { makeFixtureArchive, type FixtureArchive } from '../../test/support/stored-wal.ts';
import {
  createFilesystemFolder,
  openFilesystemStore,
} from '../storage/filesystem/filesystem-store.ts';
import { PushThread } from './push-thread.ts';

const MAJOR = 18;
const [FIRST = '', SECOND = ''] = expectedWal(MAJOR).segments;

let folder: string;
let archive: FixtureArchive;
let thread: PushThread;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'walnut-thread-'));
  const description = { kind: 'filesystem', path: join(folder, 'repository') } as const;
  await createFilesystemFolder(description);
  archive = await makeFixtureArchive(MAJOR, await openFilesystemStore(description));
  thread = new PushThread({ ...archive.scope, store: archive.store, level: 1 });
  for (const name of [FIRST, SECOND])
    writeFileSync(join(folder, name), fixtureSegment(MAJOR, name));
});
afterEach(async () => {
  await thread.close();
  rmSync(folder, { recursive: true });
});

test('several files are stored at once, and each is answered for itself', async () => {
  const outcomes = await Promise.allSettled(
    [FIRST, 'none/00000001000000000000000F', SECOND].map((name) => thread.push(join(folder, name))),
  );
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(await archive.push(FIRST, fixtureSegment(MAJOR, FIRST))).toMatchObject({
    outcome: 'existed',
  });
});

test('a thread that ends fails what it was told, and all that it is told then', async () => {
  const pushed = thread.push(join(folder, FIRST));
  await Promise.all([expect(pushed).rejects.toThrow('ended'), thread.close()]);
  await expect(thread.push(join(folder, SECOND))).rejects.toThrow('ended');
});

test('a repository that cannot be opened fails each push with its code', async () => {
  const store = { description: { kind: 'filesystem', path: join(folder, 'none') } } as const;
  const other = new PushThread({
    ...archive.scope,
    store: { ...archive.store, ...store },
    level: 1,
  });
  const pushed = other.push(join(folder, FIRST));
  await expect(pushed).rejects.toMatchObject({ code: 'repository-missing' });
  await other.close();
});
