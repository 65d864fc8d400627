import { describe, expect, test } from 'vitest';
import { thisProcess } from '../lib/this-process.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { serverKeys } from '../repository/layout.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { announceDeletion, liveReaders, withReader } from './readers.ts';

const ONE = '20261122T191500Z-F' as BackupId;
const OTHER = '20261123T191500Z-F' as BackupId;
const READING = { server: 'shop', backups: [ONE], command: 'restore' };
const HOUR_MS = 3_600_000;

/** A process id that no process has. */
const DEAD = 2 ** 22 + 1;

async function announce(store: ObjectStore, backups: readonly BackupId[]): Promise<string> {
  const lease = await store.acquireLease(serverKeys.backupLease('shop'), thisProcess('expire'));
  try {
    const announcement = { server: 'shop', backups, command: 'expire', lease };
    return await announceDeletion(store, announcement, async () => 'deleted');
  } finally {
    await lease.release();
  }
}

async function register(store: ObjectStore, owner: object): Promise<void> {
  const note = { version: 1, owner: { ...thisProcess('restore'), ...owner }, backups: [ONE] };
  await store.replace(serverKeys.reader('shop', 'one'), Buffer.from(JSON.stringify(note)));
}

describe('a reader', () => {
  test('keeps what it reads from being deleted, and nothing else', async () => {
    const store = openMemoryStore();
    await withReader(store, READING, async () => {
      await expect(announce(store, [ONE, OTHER])).rejects.toThrow(
        /restore .* reads 20261122T191500Z-F/,
      );
      expect(await announce(store, [OTHER])).toBe('deleted');
    });
    expect(await announce(store, [ONE])).toBe('deleted');
  });

  test('is known for as long as it reads, and for what it reads by then', async () => {
    const store = openMemoryStore();
    const reading = { ...READING, backups: [ONE, OTHER] };
    await withReader(store, reading, async ({ narrow }) => {
      await narrow([OTHER]);
      const readers = await liveReaders(store, 'shop', new Date());
      expect(readers.map(({ backups }) => backups)).toEqual([[OTHER]]);
    });
    expect(await liveReaders(store, 'shop', new Date())).toEqual([]);
  });

  test('ends with its work, also when that fails', async () => {
    const store = openMemoryStore();
    const failing = withReader(store, READING, async () => Promise.reject(new Error('lost')));
    await expect(failing).rejects.toThrow('lost');
    expect(await liveReaders(store, 'shop', new Date())).toEqual([]);
  });

  test('that is dead counts no more at once on this host, and after a while on another', async () => {
    const store = openMemoryStore();
    await register(store, { processId: DEAD });
    expect(await liveReaders(store, 'shop', new Date())).toEqual([]);
    await register(store, { processId: DEAD, host: 'elsewhere' });
    expect((await liveReaders(store, 'shop', new Date())).length).toBe(1);
    expect(await liveReaders(store, 'shop', new Date(Date.now() + HOUR_MS))).toEqual([]);
  });

  test('that comes while its backup is being deleted waits for the end of that', async () => {
    const store = openMemoryStore();
    const note = { version: 1, owner: thisProcess('expire'), backups: [ONE] };
    await store.replace(serverKeys.deletion('shop'), Buffer.from(JSON.stringify(note)));
    let isDone = false;
    const reading = withReader(store, READING, async () => isDone);
    setTimeout(() => {
      isDone = true;
      void store.delete(serverKeys.deletion('shop'));
    }, 50);
    expect(await reading).toBe(true);
  });

  test('does not wait for a deleter that was killed', async () => {
    const store = openMemoryStore();
    const owner = { ...thisProcess('expire'), processId: DEAD };
    const note = { version: 1, owner, backups: [ONE] };
    await store.replace(serverKeys.deletion('shop'), Buffer.from(JSON.stringify(note)));
    expect(await withReader(store, READING, async () => 'read')).toBe('read');
  });
});
