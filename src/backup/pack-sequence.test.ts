import { expect, test } from 'vitest';
import { backupIdOf, newBackupStamp } from '../repository/backup-id.ts';
import type { PackContent } from '../repository/pack-writer.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { unreliable } from '../storage/unreliable.ts';
import { PackSequence } from './pack-sequence.ts';

const FRAME_BYTES = 4 * 1024 * 1024;
/** One more than a pack of 128 MB takes of frames that do not compress. */
const FRAMES_FOR_TWO_PACKS = 33;

function sequenceOn(store: ObjectStore): PackSequence {
  let number = 0;
  return new PackSequence({
    store,
    server: 'shop',
    id: backupIdOf(newBackupStamp(new Date('2026-11-22T19:15:00Z'), []), 'full'),
    level: 1,
    nextNumber: () => (number += 1),
  });
}

function noise(): PackContent {
  const plain = new Uint8Array(FRAME_BYTES);
  for (let at = 0; at < plain.length; at += 65_536) {
    crypto.getRandomValues(plain.subarray(at, at + 65_536));
  }
  const runs = [{ kind: 'bytes' as const, path: 'file', from: 0, length: plain.length }];
  return { plain, pageCount: 0, runs, pageHashes: new Uint8Array(0) };
}

test('names every pack once it is committed, in order', async () => {
  const store = openMemoryStore();
  const packs = sequenceOn(store);
  const content = noise();
  for (let frame = 0; frame < FRAMES_FOR_TWO_PACKS; frame += 1) await packs.add(content);
  const finished = await packs.finish();
  expect(finished.map(({ key }) => key.slice(-11))).toEqual(['pack-000001', 'pack-000002']);
  for (const { key, storedBytes } of finished) {
    expect((await store.stat(key))?.sizeBytes).toBe(storedBytes);
  }
});

test('a pack that cannot be made durable behind the back of the next one fails the whole', async () => {
  const error = new Error('EIO');
  const store = unreliable(openMemoryStore(), [{ operation: 'commit', call: 1, error }]);
  const packs = sequenceOn(store);
  const content = noise();
  for (let frame = 0; frame < FRAMES_FOR_TWO_PACKS; frame += 1) await packs.add(content);
  await expect(packs.finish()).rejects.toThrow('EIO');
});
