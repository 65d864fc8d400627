import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { bytes, keysBelow, outcome, type StoreOf } from './support.test-suite.ts';

export function testObjects(store: StoreOf): void {
  test('an object is given back as it was stored, with its size and time', async () => {
    const content = randomBytes(100_001);
    const before = Date.now();
    await store().put('shop/wal/1/000000010000000000000001', content);
    expect(await store().get('shop/wal/1/000000010000000000000001', 1 << 20)).toEqual(content);
    const info = await store().stat('shop/wal/1/000000010000000000000001');
    expect(info).toMatchObject({ sizeBytes: 100_001, key: 'shop/wal/1/000000010000000000000001' });
    expect(Math.abs((info?.modifiedAt.getTime() ?? 0) - before)).toBeLessThan(60_000);
  });

  test('an empty object exists', async () => {
    await store().put('empty', bytes(''));
    expect(await store().get('empty', 0)).toHaveLength(0);
    expect(await store().stat('empty')).toMatchObject({ sizeBytes: 0 });
  });

  test('put never overwrites, not even with the same content', async () => {
    await store().put('a/b', bytes('first'));
    expect(await outcome(store().put('a/b', bytes('other')))).toBe('object-exists');
    expect(await outcome(store().put('a/b', bytes('first')))).toBe('object-exists');
    expect(await store().get('a/b', 100)).toEqual(bytes('first'));
  });

  test('the caller may reuse its buffer once put has resolved', async () => {
    const buffer = bytes('before');
    await store().put('a', buffer);
    buffer.fill(0);
    expect(await store().get('a', 100)).toEqual(bytes('before'));
  });

  test('replace creates, then replaces by something longer or shorter', async () => {
    for (const text of ['middle', 'a longer text', 's']) {
      await store().replace('shop/verified/x', bytes(text));
      expect(await store().get('shop/verified/x', 100)).toEqual(bytes(text));
    }
    expect(await keysBelow(store(), '')).toEqual(['shop/verified/x']);
  });

  test('the free space is a number of bytes, or null', async () => {
    const free = await store().freeBytes();
    expect(free === null || (Number.isSafeInteger(free) && free >= 0)).toBe(true);
  });
}

export function testWriters(store: StoreOf): void {
  test('parts are joined in order, and nothing is seen before the commit', async () => {
    const parts = [randomBytes(3_000_000), bytes(''), randomBytes(1), randomBytes(70_000)];
    const writer = await store().beginWrite('pack/1');
    for (const part of parts) {
      await writer.writePart(part);
      expect(await store().stat('pack/1')).toBeNull();
      expect(await keysBelow(store(), '')).toEqual([]);
    }
    await writer.commit();
    expect((await store().get('pack/1', 1 << 22)).equals(Buffer.concat(parts))).toBe(true);
  });

  test('a part that is a view into a larger buffer is written as exactly that view', async () => {
    const whole = Buffer.from('0123456789');
    const writer = await store().beginWrite('view');
    await writer.writePart(new Uint8Array(whole.buffer, whole.byteOffset + 2, 3));
    await writer.commit();
    expect(await store().get('view', 100)).toEqual(bytes('234'));
  });

  test('a commit without parts stores an empty object', async () => {
    await (await store().beginWrite('nothing')).commit();
    expect(await store().stat('nothing')).toMatchObject({ sizeBytes: 0 });
  });

  test('an aborted write leaves nothing, and the key free', async () => {
    const writer = await store().beginWrite('pack/1');
    await writer.writePart(bytes('rubbish'));
    await writer.abort();
    await writer.abort();
    expect(await store().stat('pack/1')).toBeNull();
    expect(await keysBelow(store(), '')).toEqual([]);
    await store().put('pack/1', bytes('good'));
    expect(await store().get('pack/1', 100)).toEqual(bytes('good'));
  });

  test('a key that was taken meanwhile fails the commit and keeps what is stored', async () => {
    const writer = await store().beginWrite('pack/1');
    await writer.writePart(bytes('late'));
    await store().put('pack/1', bytes('early'));
    expect(await outcome(writer.commit())).toBe('object-exists');
    await writer.abort();
    expect(await store().get('pack/1', 100)).toEqual(bytes('early'));
  });

  test('an aborted or committed writer accepts nothing more', async () => {
    const aborted = await store().beginWrite('a');
    await aborted.abort();
    await expect(aborted.writePart(bytes('x'))).rejects.toThrow('writer of');
    await expect(aborted.commit()).rejects.toThrow('writer of');
    const committed = await store().beginWrite('b');
    await committed.commit();
    await expect(committed.commit()).rejects.toThrow('writer of');
    await committed.abort();
    expect(await keysBelow(store(), '')).toEqual(['b']);
  });
}

export function testReading(store: StoreOf): void {
  test.each([
    [0, 4, '0123'],
    [3, 4, '3456'],
    [8, 4, '89'],
    [10, 4, ''],
    [99, 4, ''],
    [5, 0, ''],
  ])('the range from %i of %i bytes is %j', async (offset, length, expected) => {
    await store().put('digits', bytes('0123456789'));
    const into = Buffer.alloc(length, '-');
    const count = await store().read('digits', offset, into);
    expect(into.subarray(0, count).toString()).toBe(expected);
    expect(into.subarray(count).toString()).toBe('-'.repeat(length - count));
  });

  test('a range is read into exactly the given view', async () => {
    await store().put('digits', bytes('0123456789'));
    const whole = Buffer.alloc(8, '-');
    await store().read('digits', 4, whole.subarray(2, 5));
    expect(whole.toString()).toBe('--456---');
  });

  test('what is not there is object-missing to read and get, and null to stat', async () => {
    await store().put('folder/object', bytes('x'));
    for (const key of ['none', 'none/at/all', 'folder', 'folder/object/below']) {
      expect(await outcome(store().read(key, 0, Buffer.alloc(4)))).toBe('object-missing');
      expect(await outcome(store().get(key, 4))).toBe('object-missing');
      expect(await store().stat(key)).toBeNull();
    }
  });

  test('get refuses an object above the limit', async () => {
    await store().put('five', bytes('12345'));
    expect(await outcome(store().get('five', 4))).toBe('object-damaged');
    expect(await store().get('five', 5)).toHaveLength(5);
  });
}
