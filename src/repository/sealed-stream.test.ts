import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { OBJECT_HEADER_BYTES } from './object-header.ts';
import { sealObject } from './sealed-object.ts';
import { streamSealedObject } from './sealed-stream.ts';

const MB = 1024 * 1024;
/** Longer than one read, of blocks that compress and blocks that do not, so that blocks lie across the reads. */
const PLAIN: Buffer = Buffer.concat([
  Buffer.alloc(3 * MB, 'walnut '),
  randomBytes(9 * MB),
  Buffer.alloc(MB + 17, 7),
]);
/** Longer than one read by itself. */
const LONG: Buffer = randomBytes(5 * MB);
const SHORT: Buffer = Buffer.from('facts');

let store: ObjectStore;
beforeAll(() => {
  store = openMemoryStore();
});

async function stream(content: Uint8Array): Promise<{ plain: Buffer; annexes: Buffer[] }> {
  const key = `objects/${randomBytes(8).toString('hex')}`;
  await store.put(key, content);
  const parts: Buffer[] = [];
  const { annex, secondAnnex } = await streamSealedObject(store, {
    key,
    kind: 'wal-segment',
    onPlain: (part) => parts.push(Buffer.from(part)),
  });
  return { plain: Buffer.concat(parts), annexes: [annex, secondAnnex] };
}

function seal(plain: Buffer, annex?: Buffer, secondAnnex?: Buffer): Buffer {
  const annexes = annex === undefined ? {} : { annex, ...(secondAnnex && { secondAnnex }) };
  return sealObject({ kind: 'wal-segment', plain, level: 1, ...annexes });
}

describe('an object that is read in parts', () => {
  test.each([
    ['no annex', undefined, undefined],
    ['a short annex', SHORT, undefined],
    ['annexes that are longer than one read', LONG, LONG.subarray(1)],
  ])('comes whole and in order, with %s', async (_, annex, secondAnnex) => {
    const { plain, annexes } = await stream(seal(PLAIN, annex, secondAnnex));
    expect(plain.equals(PLAIN)).toBe(true);
    expect(annexes[0]?.equals(annex ?? Buffer.alloc(0))).toBe(true);
    expect(annexes[1]?.equals(secondAnnex ?? Buffer.alloc(0))).toBe(true);
  });

  test('may be empty', async () => {
    expect((await stream(seal(Buffer.alloc(0)))).plain).toHaveLength(0);
  });

  const good = seal(PLAIN, SHORT, LONG.subarray(0, 1000));

  test.each([
    ['in the header', OBJECT_HEADER_BYTES - 30],
    ['in the annex', OBJECT_HEADER_BYTES + 40],
    ['in the first block', OBJECT_HEADER_BYTES + 1500],
    ['where two reads meet', 4 * MB],
    ['near its end', good.length - 3],
  ])('is refused by name when a bit is wrong %s', async (_, at) => {
    const damaged = Buffer.from(good);
    damaged[at] = (damaged[at] ?? 0) ^ 0x10;
    await expect(stream(damaged)).rejects.toMatchObject({
      code: 'object-damaged',
      details: { key: expect.stringMatching(/^objects\//) },
    });
  });

  test('is refused when it is sound and holds what another object should', async () => {
    const [own, other] = [1, 2].map((fill) => seal(Buffer.alloc(3 * MB, fill)));
    if (own === undefined || other === undefined) throw new Error('two objects');
    const swapped = [own.subarray(0, OBJECT_HEADER_BYTES), other.subarray(OBJECT_HEADER_BYTES)];
    await expect(stream(Buffer.concat(swapped))).rejects.toThrow('the hash of its content');
  });

  test.each([50, OBJECT_HEADER_BYTES, 2000, 4 * MB, 8 * MB + 1, good.length - 1])(
    'is refused when it is cut after %i bytes',
    async (length) => {
      await expect(stream(good.subarray(0, length))).rejects.toMatchObject({
        code: 'object-damaged',
      });
    },
  );

  test('is refused when something follows', async () => {
    const longer = Buffer.concat([good, seal(Buffer.alloc(100, 1)).subarray(OBJECT_HEADER_BYTES)]);
    await expect(stream(longer)).rejects.toMatchObject({ code: 'object-damaged' });
    await expect(stream(Buffer.concat([good, Buffer.alloc(5)]))).rejects.toMatchObject({
      code: 'object-damaged',
    });
  });
});
