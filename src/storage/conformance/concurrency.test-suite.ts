import { expect, test } from 'vitest';
import type { LeaseOwner } from '../object-store.ts';
import { bytes, keysBelow, outcome, OWNER, type StoreOf } from './support.test-suite.ts';

export function testRaces(store: StoreOf): void {
  test.each(['a new folder', 'a known folder'])(
    'of many writers of one key in %s exactly one wins, whole',
    async (where) => {
      if (where === 'a known folder') await store().put('race/other', bytes(''));
      const texts = Array.from({ length: 12 }, (_, index) => String(index).repeat(5000));
      const outcomes = await Promise.all(
        texts.map(async (text) => outcome(store().put('race/key', bytes(text)))),
      );
      const expected = [...Array<string>(11).fill('object-exists'), 'fulfilled'].toSorted();
      expect(outcomes.toSorted()).toEqual(expected);
      const winner = texts[outcomes.indexOf('fulfilled')];
      expect((await store().get('race/key', 100_000)).toString()).toBe(winner);
    },
  );

  test('objects can be stored while the last other one of their folder is deleted', async () => {
    for (let round = 0; round < 20; round += 1) {
      await store().put(`a/b/${round}`, bytes('x'));
      await Promise.all([
        store().delete(`a/b/${round}`),
        store().put(`a/b/c/${round}`, bytes('y')),
      ]);
      expect(await keysBelow(store(), 'a/')).toEqual([`a/b/c/${round}`]);
      await store().delete(`a/b/c/${round}`);
    }
  });
}

export function testLeases(store: StoreOf): void {
  const SECOND: LeaseOwner = { ...OWNER, command: 'walnut expire shop', processId: 4712 };

  test('a second comer is told who holds the lease', async () => {
    const lease = await store().acquireLease('shop/lease/backup', OWNER);
    expect(await lease.isHeld()).toBe(true);
    const second = store().acquireLease('shop/lease/backup', SECOND);
    await expect(second).rejects.toMatchObject({
      code: 'locked',
      message: expect.stringContaining('walnut backup shop'),
      details: { owner: OWNER },
    });
    expect(await lease.isHeld()).toBe(true);
    await lease.release();
  });

  test('a failed attempt does not loosen the lease for the next one', async () => {
    const lease = await store().acquireLease('shop/lease/backup', OWNER);
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      expect(await outcome(store().acquireLease('shop/lease/backup', SECOND))).toBe('locked');
    }
    await lease.release();
  });

  test('a released lease is free, and its key holds nothing', async () => {
    for (const owner of [OWNER, SECOND]) {
      const lease = await store().acquireLease('shop/lease/backup', owner);
      await lease.release();
      expect(await lease.isHeld()).toBe(false);
      await lease.release();
    }
    expect(await keysBelow(store(), '')).toEqual([]);
  });

  test('a late second release does not free what another took meanwhile', async () => {
    const first = await store().acquireLease('lease', OWNER);
    await first.release();
    const second = await store().acquireLease('lease', SECOND);
    await first.release();
    expect(await second.isHeld()).toBe(true);
    expect(await outcome(store().acquireLease('lease', OWNER))).toBe('locked');
    await second.release();
  });

  test('of many takers at once exactly one wins', async () => {
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, async () => store().acquireLease('lease', OWNER)),
    );
    const winners = results.filter((result) => result.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    for (const { value } of winners) await value.release();
  });

  test('leases of different names do not touch each other', async () => {
    const backup = await store().acquireLease('shop/lease/backup', OWNER);
    const receive = await store().acquireLease('shop/lease/receive', SECOND);
    await backup.release();
    expect(await receive.isHeld()).toBe(true);
    await receive.release();
  });
}
