import { expect, test } from 'vitest';
import { bytes, keysBelow, outcome, OWNER, type StoreOf } from './support.test-suite.ts';

export function testListing(store: StoreOf): void {
  const KEYS = ['Z', 'a-b', 'a.b', 'a/1', 'a/b/c/d/e/f/g', 'a/b0', 'a0', 'b/x', 'b/y.part-0-9'];

  test('keys come in byte order, although folders sort with their slash', async () => {
    for (const key of KEYS.toReversed()) await store().put(key, bytes(key));
    expect(await keysBelow(store(), '')).toEqual(KEYS);
    expect(KEYS.toSorted()).toEqual(KEYS);
  });

  test.each([
    ['a/', ['a/1', 'a/b/c/d/e/f/g', 'a/b0']],
    ['a/b/c/d/e/f/', ['a/b/c/d/e/f/g']],
    ['b/', ['b/x', 'b/y.part-0-9']],
    ['none/', []],
    ['b/x/', []],
  ])('below %s lie %j', async (prefix, expected) => {
    for (const key of KEYS) await store().put(key, bytes(key));
    expect(await keysBelow(store(), prefix)).toEqual(expected);
  });

  test('a large folder is listed whole and in order, with folders in between', async () => {
    const keys = Array.from({ length: 300 }, (_, index) => {
      const name = `many/${String(index).padStart(4, '0')}`;
      return index % 100 === 63 ? `${name}/below` : name;
    });
    await Promise.all(keys.map(async (key) => store().put(key, bytes(key))));
    expect(await keysBelow(store(), 'many/')).toEqual(keys);
  });

  test('a listing tells sizes', async () => {
    await store().put('a/1', bytes('12345'));
    for await (const info of store().list('a/')) {
      expect(info).toMatchObject({ key: 'a/1', sizeBytes: 5, modifiedAt: expect.any(Date) });
    }
    expect.assertions(1);
  });

  test('a folder shows its own names only', async () => {
    for (const key of KEYS) await store().put(key, bytes(key));
    expect(await store().listFolder('')).toEqual(['Z', 'a-b', 'a.b', 'a/', 'a0', 'b/']);
    expect(await store().listFolder('a/')).toEqual(['1', 'b/', 'b0']);
    expect(await store().listFolder('none/')).toEqual([]);
  });

  test('a listing ends well when objects are deleted meanwhile', async () => {
    for (const key of KEYS) await store().put(key, bytes(key));
    const seen: string[] = [];
    for await (const { key } of store().list('')) {
      seen.push(key);
      if (key === 'a-b') for (const doomed of KEYS.slice(4, 7)) await store().delete(doomed);
    }
    expect(seen).toEqual(expect.arrayContaining(['Z', 'a-b', 'a.b', 'a/1', 'b/x', 'b/y.part-0-9']));
  });
}

export function testDeleting(store: StoreOf): void {
  test('a deleted object is gone, its neighbours are not, and its key is free', async () => {
    await store().put('a/1', bytes('1'));
    await store().put('a/2', bytes('2'));
    await store().delete('a/1');
    expect(await store().stat('a/1')).toBeNull();
    expect(await keysBelow(store(), '')).toEqual(['a/2']);
    await store().put('a/1', bytes('new'));
    expect(await store().get('a/1', 9)).toEqual(bytes('new'));
  });

  test('deleting what is gone or never was is no error', async () => {
    await store().put('a/1', bytes('1'));
    await store().delete('a/1');
    for (const key of ['a/1', 'never', 'never/at/all']) {
      expect(await outcome(store().delete(key))).toBe('fulfilled');
    }
  });

  test('delete takes one object, never a folder', async () => {
    await store().put('a/b/1', bytes('1'));
    await outcome(store().delete('a/b'));
    expect(await keysBelow(store(), '')).toEqual(['a/b/1']);
  });
}

export function testKeys(store: StoreOf): void {
  const HOSTILE = [
    '',
    '.',
    '..',
    '../x',
    'a/../../x',
    'a/./b',
    '/etc/passwd',
    'a//b',
    'a/',
    'a\0b',
    'a\\b',
    'a b',
    'ä',
    '.hidden',
    'a/.b.lock',
    '-option',
    'tmp/x',
    'tmp',
    'a\n',
    'x'.repeat(256),
    'x/'.repeat(600) + 'x',
  ];

  test.each(HOSTILE)('the key %.40s is refused by every operation', async (key) => {
    const operations = [
      async () => store().beginWrite(key),
      async () => store().put(key, bytes('x')),
      async () => store().replace(key, bytes('x')),
      async () => store().read(key, 0, Buffer.alloc(1)),
      async () => store().get(key, 1),
      async () => store().stat(key),
      async () => store().delete(key),
      async () => store().acquireLease(key, OWNER),
    ];
    for (const operation of operations) expect(await outcome(operation())).toBe('storage');
    expect(await keysBelow(store(), '')).toEqual([]);
  });

  test.each(['a', '/', '../', 'a/../', '/etc/', 'a//', '.git/', 'tmp/', 'a\0/'])(
    'the prefix %j is refused by every listing',
    async (prefix) => {
      expect(await outcome((async () => keysBelow(store(), prefix))())).toBe('storage');
      expect(await outcome(store().listFolder(prefix))).toBe('storage');
    },
  );

  test.each(['x'.repeat(255), 'A.b_c-9', 'x/'.repeat(500) + 'x', '0', 'tmp0/tmp'])(
    'the key %.40s can be stored',
    async (key) => {
      await store().put(key, bytes('x'));
      expect(await keysBelow(store(), '')).toEqual([key]);
    },
  );
}
