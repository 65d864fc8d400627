import { beforeEach, describe, expect, test } from 'vitest';
import { exampleManifest } from '../../test/support/stored-backup.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { backupKeys } from '../repository/layout.ts';
import { storeManifest } from '../repository/manifest.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { isUnreachable, readReachableObjects } from './reachable-objects.ts';

const FULL = '20261122T191500Z-F' as BackupId;
const INCREMENTAL = '20261123T191500Z-I' as BackupId;
const DEAD = '20261122T201500Z-I' as BackupId;

const pack = (id: BackupId, number: number): string => backupKeys.pack('shop', id, number);
const map = (id: BackupId, digit: string): string => backupKeys.map('shop', id, digit.repeat(32));

let store: ObjectStore;

beforeEach(() => {
  store = openMemoryStore();
});

type Needs = { readonly packs: readonly string[]; readonly chunks?: readonly string[] };

async function commit(id: BackupId, { packs, chunks = [] }: Needs, revision = 1): Promise<void> {
  const manifest = exampleManifest({
    id,
    packs: packs.map((key) => ({ key, storedBytes: 1, plainBytes: 2, livePlainBytes: 1 })),
    chunks: chunks.map((key) => {
      const range = { firstPath: 'a', lastPath: 'b', files: 2 };
      return { key, hash: '', ...range, storedBytes: 1 };
    }),
  });
  await storeManifest(store, manifest, revision);
}

describe('what the backups of a server reach', () => {
  test('lies in the folders of other backups too, also of those without a manifest', async () => {
    await commit(INCREMENTAL, {
      packs: [pack(INCREMENTAL, 1), pack(FULL, 1), pack(DEAD, 2)],
      chunks: [map(FULL, 'a')],
    });
    const reachable = await readReachableObjects(store, 'shop');
    expect([...reachable.packs]).toEqual([pack(INCREMENTAL, 1), pack(FULL, 1), pack(DEAD, 2)]);
    expect([...reachable.chunks]).toEqual([map(FULL, 'a')]);
    expect(isUnreachable(reachable, pack(DEAD, 2))).toBe(false);
    expect(isUnreachable(reachable, map(FULL, 'a'))).toBe(false);
    expect(isUnreachable(reachable, pack(DEAD, 1))).toBe(true);
    expect(isUnreachable(reachable, map(FULL, 'b'))).toBe(true);
  });

  test('is what the highest valid revision names', async () => {
    await commit(FULL, { packs: [pack(FULL, 1)] });
    await commit(FULL, { packs: [pack(FULL, 2)] }, 2);
    await store.put(backupKeys.manifest('shop', FULL, 3), Buffer.from('cut'));
    const reachable = await readReachableObjects(store, 'shop');
    expect([...reachable.packs]).toEqual([pack(FULL, 2)]);
    expect(reachable.unreadable).toEqual([]);
  });

  test('is not known while one backup has no readable manifest: nothing is rubbish then', async () => {
    await commit(FULL, { packs: [pack(FULL, 1)] });
    await store.put(backupKeys.manifest('shop', INCREMENTAL, 1), Buffer.from('no manifest'));
    const reachable = await readReachableObjects(store, 'shop');
    expect(reachable.unreadable.map(({ id }) => id)).toEqual([INCREMENTAL]);
    expect(isUnreachable(reachable, pack(DEAD, 1))).toBe(false);
  });
});
