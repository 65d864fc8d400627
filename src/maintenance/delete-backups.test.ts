import { beforeEach, describe, expect, test } from 'vitest';
import { drawSeed, seededRandom } from '../../test/support/random.ts';
import {
  readContents,
  SHARING_SERVER as SERVER,
  storeSharingBackups,
  type Contents,
} from '../../test/support/sharing-backups.ts';
import { writeKeepMark } from '../catalog/keep-mark.ts';
import { withReader } from '../catalog/readers.ts';
import { readReachableObjects } from '../catalog/reachable-objects.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { backupKeys } from '../repository/layout.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { deleteBackups, type DeleteOutcome } from './delete-backups.ts';

const signal = new AbortController().signal;
const seed = drawSeed();
/** Without WAL no backup counts as sound here, so that each is as good as the last one. */
const FORCE = { includesKept: false, includesLast: false };

let store: ObjectStore;
let contents: Map<BackupId, Contents>;
let ids: BackupId[];

beforeEach(async () => {
  store = openMemoryStore();
  contents = await storeSharingBackups(store, seededRandom(seed), 4);
  ids = [...contents.keys()];
});

async function remove(
  backups: readonly BackupId[],
  options: Partial<typeof FORCE> & { readonly dryRun?: boolean } = {},
): Promise<DeleteOutcome> {
  const what = { store, server: SERVER, backups, now: new Date(), dryRun: false };
  const progress = { planned: () => {}, deleted: () => {} };
  return deleteBackups({ ...what, ...FORCE, ...options }, progress, signal);
}

function idAt(index: number): BackupId {
  const id = ids[index];
  if (id === undefined) throw new Error(`there is a backup ${index}`);
  return id;
}

describe(`deleting backups (seed ${seed})`, () => {
  test('hurts no other backup, and leaves nothing that none of them needs', async () => {
    await remove([idAt(0), idAt(2)]);
    expect(await readContents(store, idAt(0))).toBeNull();
    for (const index of [1, 3]) {
      const found = await readContents(store, idAt(index));
      for (const [path, content] of contents.get(idAt(index)) ?? []) {
        expect([path, found?.get(path)?.equals(content)]).toEqual([path, true]);
      }
    }
    const { packs, chunks } = await readReachableObjects(store, SERVER);
    for await (const { key } of store.list(backupKeys.all(SERVER))) {
      if (!/\/(?:pack|map)-/.test(key)) continue;
      expect([key, packs.has(key) || chunks.has(key)]).toEqual([key, true]);
    }
  });

  test('frees exactly what its plan says', async () => {
    const size = async (): Promise<number> => {
      let bytes = 0;
      for await (const { sizeBytes } of store.list('')) bytes += sizeBytes;
      return bytes;
    };
    const before = await size();
    const planned = await remove([idAt(1)], { dryRun: true });
    expect(await size()).toBe(before);
    const { freedBytes } = await remove([idAt(1)]);
    expect(freedBytes).toBe(planned.freedBytes);
    expect(before - (await size())).toBe(freedBytes);
  });

  test('refuses what is kept, what is being read, what is the last, and what is not there', async () => {
    await writeKeepMark(store, { server: SERVER, id: idAt(0) }, { until: null });
    await expect(remove([idAt(0)])).rejects.toThrow('it is to be kept');
    await remove([idAt(0)], { includesKept: true });
    const reading = { server: SERVER, backups: [idAt(1)], command: 'restore' };
    await withReader(store, reading, async () => {
      await expect(remove([idAt(1)])).rejects.toMatchObject({ code: 'locked' });
    });
    await expect(remove([idAt(1), idAt(2), idAt(3)])).rejects.toThrow('no undamaged backup');
    await expect(remove([idAt(0)])).rejects.toMatchObject({ code: 'no-backup' });
    await remove([idAt(1), idAt(2), idAt(3)], { includesLast: true });
    for await (const { key } of store.list(backupKeys.all(SERVER))) expect(key).toBe('nothing');
  });

  test('rids a repository of a backup whose manifest cannot be read', async () => {
    await store.replace(backupKeys.manifest(SERVER, idAt(1), 1), Buffer.from('cut'));
    const { contentStays } = await remove([idAt(0)]);
    expect(contentStays).toContain(idAt(1));
    await remove([idAt(1)]);
    const { unreadable } = await readReachableObjects(store, SERVER);
    expect(unreadable).toEqual([]);
    expect((await readContents(store, idAt(3)))?.size).toBe(contents.get(idAt(3))?.size);
  });
});
