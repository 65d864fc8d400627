import { describe, expect, test } from 'vitest';
import { describeObjectStore } from './conformance/conformance.test-suite.ts';
import { openMemoryStore } from './memory/memory-store.ts';
import { unreliable } from './unreliable.ts';

const X = Buffer.from('x');

describeObjectStore('an unreliable store without faults', {
  isShared: false,
  open: async () => {
    const store = unreliable(openMemoryStore(), []);
    return { store, remove: async () => store.close() };
  },
});

describe('an unreliable store', () => {
  test('fails the named call only, before anything happened', async () => {
    const store = unreliable(openMemoryStore(), [{ operation: 'put', call: 2 }]);
    await store.put('a', X);
    await expect(store.put('b', X)).rejects.toMatchObject({ code: 'storage' });
    expect(await store.stat('b')).toBeNull();
    await store.put('b', X);
  });

  test('can lose the answer of a call that was carried out', async () => {
    const faults = [{ operation: 'commit', call: 1, moment: 'after' }] as const;
    const store = unreliable(openMemoryStore(), faults);
    const writer = await store.beginWrite('a');
    await writer.writePart(X);
    await expect(writer.commit()).rejects.toMatchObject({ code: 'storage' });
    expect(await store.get('a', 1)).toEqual(X);
  });

  test('counts parts over all writers', async () => {
    const error = new Error('cable pulled');
    const store = unreliable(openMemoryStore(), [{ operation: 'writePart', call: 3, error }]);
    const writers = [await store.beginWrite('a'), await store.beginWrite('b')] as const;
    await writers[0].writePart(X);
    await writers[1].writePart(X);
    await expect(writers[0].writePart(X)).rejects.toThrow('cable pulled');
    await writers[1].commit();
    expect(await store.listFolder('')).toEqual(['b']);
  });
});
