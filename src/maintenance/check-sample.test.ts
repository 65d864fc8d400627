import { describe, expect, test } from 'vitest';
import { drawSeed, randomBelow, seededRandom } from '../../test/support/random.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { backupKeys, serverKeys } from '../repository/layout.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { planSample } from './check-sample.ts';

const ID = '20261122T191500Z-F' as BackupId;
const DAY_MS = 86_400_000;
const seed = drawSeed();

const pack = (number: number): string => backupKeys.pack('shop', ID, number);

async function storeOf(sizes: readonly number[]): Promise<ObjectStore> {
  const store = openMemoryStore();
  for (const [index, size] of sizes.entries()) await store.put(pack(index), Buffer.alloc(size));
  return store;
}

/** A run on a day after the objects were stored; answers what it took. */
async function day(store: ObjectStore, number: number, percent: number | null): Promise<string[]> {
  const now = new Date(Date.now() + number * DAY_MS);
  const sample = await planSample(store, 'shop', { percent, only: null, now });
  await sample.record();
  const taken: string[] = [];
  for await (const { key } of store.list(backupKeys.all('shop'))) {
    if (sample.takes(key)) taken.push(key);
  }
  return taken;
}

describe('a sample', () => {
  test(`of 5 % a day covers all in 20 days, whatever the sizes (seed ${seed})`, async () => {
    const random = seededRandom(seed);
    for (let round = 0; round < 20; round += 1) {
      const sizes = Array.from({ length: 1 + randomBelow(random, 200) }, () =>
        randomBelow(random, 900),
      );
      const store = await storeOf(sizes);
      const total = sizes.reduce((sum, size) => sum + size, 0);
      const seen = new Set<string>();
      for (let number = 1; number <= 20; number += 1) {
        const taken = await day(store, number, 5);
        const bytes = taken.reduce((sum, key) => sum + (sizes[Number(key.slice(-6))] ?? 0), 0);
        expect(bytes).toBeLessThan(total * 0.05 + 900);
        for (const key of taken) seen.add(key);
      }
      const missed = sizes.filter((size, index) => size > 0 && !seen.has(pack(index)));
      expect(missed).toEqual([]);
    }
  });

  test('takes the longest unchecked first', async () => {
    const store = await storeOf([10, 10, 10, 10]);
    expect(await day(store, 1, 50)).toEqual([pack(0), pack(1)]);
    expect(await day(store, 2, 25)).toEqual([pack(2)]);
    expect(await day(store, 3, 50)).toEqual([pack(3), pack(0)].toSorted());
    expect(await day(store, 4, 25)).toEqual([pack(1)]);
  });

  test('takes anew what was stored again since it was checked', async () => {
    const store = await storeOf([10, 10]);
    await day(store, -2, null);
    expect(await day(store, 1, 50)).toEqual([pack(0)]);
    expect(await day(store, 2, 50)).toEqual([pack(1)]);
  });

  test('without a share is everything, and remembered as one run', async () => {
    const store = await storeOf([10, 10, 10]);
    expect(await day(store, 1, null)).toEqual([pack(0), pack(1), pack(2)]);
    const note = JSON.parse((await store.get(serverKeys.checked('shop'), 10_000)).toString()) as {
      checked: unknown[];
    };
    expect(note.checked.length).toBe(1);
  });

  test('begins anew when what is remembered cannot be read', async () => {
    const store = await storeOf([10, 10]);
    await store.replace(serverKeys.checked('shop'), Buffer.from('{'));
    expect(await day(store, 1, 50)).toEqual([pack(0)]);
  });
});
