import { beforeEach, describe, expect, test } from 'vitest';
import type { ObjectStore } from '../storage/object-store.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import { exampleManifest } from '../../test/support/stored-backup.ts';
import type { BackupId } from './backup-id.ts';
import { backupKeys, serverKeys } from './layout.ts';
import { loadManifest, storeManifest } from './manifest.ts';
import {
  addIncarnation,
  createRepository,
  listBackupIds,
  listServers,
  presentIncarnation,
  readDescriptor,
  readServerRecord,
} from './repository.ts';

const INCARNATION = {
  systemIdentifier: '18446744073709551615',
  majorVersion: 17,
  walSegmentBytes: 16 * 1024 * 1024,
  firstSeenAt: '2026-11-22T19:15:00.000Z',
};
const UPGRADED = { ...INCARNATION, majorVersion: 18 };
const ID = '20261122T191500Z-F' as BackupId;
const OTHER = '20261122T201500Z-F' as BackupId;

let store: ObjectStore;

beforeEach(() => {
  store = openMemoryStore();
});

async function damage(key: string): Promise<void> {
  const bytes = await store.get(key, 1e6);
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  await store.delete(key);
  await store.put(key, bytes);
}

describe('a repository', () => {
  test('is created once; the second comer gets the first one’s descriptor', async () => {
    const first = await createRepository(store, new Date());
    expect(await createRepository(store, new Date())).toEqual(first);
    expect(await readDescriptor(store)).toEqual(first);
  });

  test('lists the servers it knows and none of its own folders', async () => {
    await createRepository(store, new Date());
    await addIncarnation(store, 'shop', INCARNATION);
    await addIncarnation(store, 'accounts', INCARNATION);
    await store.put('keys/1', Buffer.from('reserved'));
    expect(await listServers(store)).toEqual(['accounts', 'shop']);
  });

  test('refuses a server name that cannot be a key', async () => {
    await expect(addIncarnation(store, 'Shop/..', INCARNATION)).rejects.toThrow(
      'not a possible name',
    );
  });
});

describe('the record of a server', () => {
  test('keeps every incarnation; the last one added is the present one', async () => {
    await addIncarnation(store, 'shop', INCARNATION);
    const record = await addIncarnation(store, 'shop', UPGRADED);
    expect(record.incarnations).toEqual([INCARNATION, UPGRADED]);
    expect(presentIncarnation(record)).toEqual(UPGRADED);
  });

  test('falls back to the revision before when the newest is damaged, and never writes over it', async () => {
    await addIncarnation(store, 'shop', INCARNATION);
    await addIncarnation(store, 'shop', UPGRADED);
    await damage(serverKeys.record('shop', 2));
    expect(await readServerRecord(store, 'shop')).toMatchObject({ revision: 1 });
    expect(await addIncarnation(store, 'shop', UPGRADED)).toMatchObject({ revision: 3 });
  });

  test('is an error when no revision is sound, and null when there is none', async () => {
    expect(await readServerRecord(store, 'shop')).toBeNull();
    await addIncarnation(store, 'shop', INCARNATION);
    await damage(serverKeys.record('shop', 1));
    await expect(readServerRecord(store, 'shop')).rejects.toThrow('server-0001');
  });
});

describe('a manifest', () => {
  test('comes back as it was; the highest valid revision counts', async () => {
    const manifest = exampleManifest({ id: ID, server: 'shop' });
    await storeManifest(store, manifest, 1);
    await storeManifest(store, { ...manifest, name: 'compacted' }, 2);
    expect((await loadManifest(store, 'shop', ID))?.manifest.name).toBe('compacted');
    await damage(backupKeys.manifest('shop', ID, 2));
    expect(await loadManifest(store, 'shop', ID)).toMatchObject({ revision: 1, manifest });
  });

  test('of an attempt is null: without one there is no backup', async () => {
    await store.put(backupKeys.pack('shop', ID, 1), Buffer.from('a dead attempt'));
    expect(await loadManifest(store, 'shop', ID)).toBeNull();
    expect(await listBackupIds(store, 'shop')).toEqual([ID]);
  });

  test('under the key of another backup is refused: it was swapped', async () => {
    await storeManifest(store, exampleManifest({ id: ID, server: 'shop' }), 1);
    const bytes = await store.get(backupKeys.manifest('shop', ID, 1), 1e6);
    await store.put(backupKeys.manifest('shop', OTHER, 1), bytes);
    await expect(loadManifest(store, 'shop', OTHER)).rejects.toThrow(`manifest of backup ${ID}`);
  });

  test('with a field of another form is refused by name', async () => {
    const wrong = { ...exampleManifest({ id: ID, server: 'shop' }), startLsn: 'nowhere' };
    await expect(storeManifest(store, wrong, 1)).rejects.toThrow('startLsn');
  });
});
