import { describe, expect, test } from 'vitest';
import { serverKeys } from '../repository/layout.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import { readKnownDamage, recordKnownDamage, type KnownFaults } from './known-damage.ts';

const PACK = 'shop/backup/20261122T191500Z-F/pack-000001';
const OTHER = 'shop/backup/20261122T191500Z-F/pack-000002';

describe('known damage', () => {
  test('is remembered until a check reads the object without fault', async () => {
    const store = openMemoryStore();
    expect(await readKnownDamage(store, 'shop')).toEqual(new Map());
    await recordKnownDamage(store, 'shop', {
      damaged: new Map<string, KnownFaults>([
        [PACK, new Set([3, 5])],
        [OTHER, 'all'],
      ]),
      wasReadWhole: () => false,
    });
    const known = await readKnownDamage(store, 'shop');
    expect(known.get(PACK)).toEqual(new Set([3, 5]));
    expect(known.get(OTHER)).toBe('all');
    await recordKnownDamage(store, 'shop', {
      damaged: new Map(),
      wasReadWhole: (key) => key === OTHER,
    });
    expect([...(await readKnownDamage(store, 'shop')).keys()]).toEqual([PACK]);
  });

  test('of an object is replaced by a check that read all of it, and added to by any other', async () => {
    const store = openMemoryStore();
    const record = async (frame: number, readsAll: boolean): Promise<void> =>
      recordKnownDamage(store, 'shop', {
        damaged: new Map([[PACK, new Set([frame])]]),
        wasReadWhole: () => readsAll,
      });
    await record(1, true);
    await record(2, false);
    expect((await readKnownDamage(store, 'shop')).get(PACK)).toEqual(new Set([1, 2]));
    await record(7, true);
    expect((await readKnownDamage(store, 'shop')).get(PACK)).toEqual(new Set([7]));
  });

  test('of which the note cannot be read is unknown: the next verify finds it again', async () => {
    const store = openMemoryStore();
    await store.replace(serverKeys.knownDamage('shop'), Buffer.from('{"version":1,'));
    expect(await readKnownDamage(store, 'shop')).toEqual(new Map());
  });
});
