import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { annexEnd, openAnnex, openObject, openSecondAnnex, sealObject } from './sealed-object.ts';
import { decodeObjectHeader } from './object-header.ts';

const KEY = 'walnut.json';
const seal = (plain: Uint8Array, annex?: Uint8Array): Buffer =>
  sealObject({ kind: 'wal-segment', plain, level: 1, ...(annex === undefined ? {} : { annex }) });

describe('a sealed object', () => {
  test.each([0, 1, 1024 * 1024, 1024 * 1024 + 1, 3 * 1024 * 1024 + 17])(
    'gives back %i bytes as they were',
    (length) => {
      const plain = Buffer.alloc(length, 'walnut ');
      expect(openObject(seal(plain), 'wal-segment', KEY).plain.equals(plain)).toBe(true);
    },
  );

  test('incompressible content is stored as it is and given back', () => {
    const plain = Buffer.from(Uint8Array.from({ length: 5000 }, (_, at) => (at * 7919 * at) >> 3));
    expect(openObject(seal(plain), 'wal-segment', KEY).plain.equals(plain)).toBe(true);
  });

  test('any flipped bit in header, annex or blocks is found by who reads it', () => {
    const good = seal(Buffer.from('some WAL'), Buffer.from('some facts'));
    const unnoticed = Array.from({ length: good.length * 8 }, (_, bit) => bit).filter((bit) => {
      const bad = Buffer.from(good);
      bad.writeUInt8(bad.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      try {
        openAnnex(bad, openObject(bad, 'wal-segment', KEY).header, KEY);
        return true;
      } catch {
        return false;
      }
    });
    expect(unnoticed).toEqual([]);
  });

  // WAL that is whole must reach recovery, whatever happened to what was noted about it.
  test('gives back its content although its annex is damaged', () => {
    const plain = Buffer.from('some WAL');
    const bad = seal(plain, Buffer.from('some facts'));
    bad.writeUInt8(bad.readUInt8(100) ^ 1, 100);
    const { plain: found, header } = openObject(bad, 'wal-segment', KEY);
    expect(found.equals(plain)).toBe(true);
    expect(() => openAnnex(bad, header, KEY)).toThrow('annex');
  });

  test('a cut at any byte is found', () => {
    const good = seal(Buffer.from('some WAL'), Buffer.from('some facts'));
    for (let length = 0; length < good.length; length += 1) {
      expect(() => openObject(good.subarray(0, length), 'wal-segment', KEY)).toThrow(KEY);
    }
  });

  test('an object of another kind is refused by name', () => {
    expect(() => openObject(seal(Buffer.alloc(3)), 'manifest', KEY)).toThrow('not a manifest');
  });

  test('a newer format version is refused, not guessed at', () => {
    expect(() => decodeObjectHeader(withVersion(seal(Buffer.alloc(3)), 2), KEY)).toThrow(
      'checksum',
    );
  });

  test('arbitrary bytes are never taken for an object', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(() => openObject(bytes, 'manifest', KEY)).toThrow(KEY);
      }),
    );
  });
});

describe('an annex of two parts', () => {
  const plain = Buffer.from('some WAL');
  const annex = Buffer.from('some facts');
  const secondAnnex = Buffer.alloc(3000, 'some changes');
  const good = sealObject({ kind: 'wal-segment', plain, annex, secondAnnex, level: 1 });
  const header = decodeObjectHeader(good, KEY);

  test('gives back each, the first without the second', () => {
    expect(openObject(good, 'wal-segment', KEY).plain.equals(plain)).toBe(true);
    const end = annexEnd(good, header, KEY);
    expect(openAnnex(good.subarray(0, end), header, KEY).equals(annex)).toBe(true);
    expect(
      openSecondAnnex(good.subarray(0, header.payloadOffset), header, KEY).equals(secondAnnex),
    ).toBe(true);
  });

  test('has no second part where none was stored', () => {
    for (const one of [seal(plain), seal(plain, annex)]) {
      const found = decodeObjectHeader(one, KEY);
      expect(openSecondAnnex(one, found, KEY).length).toBe(0);
      expect(annexEnd(one, found, KEY)).toBe(found.payloadOffset);
    }
  });

  test('any flipped bit or cut is found by who reads the part', () => {
    for (let at = 96; at < header.payloadOffset; at += 1) {
      for (const bit of [0, 5, 7]) {
        const bad = Buffer.from(good);
        bad.writeUInt8(bad.readUInt8(at) ^ (1 << bit), at);
        const read = (): void => {
          const [first, second] = [openAnnex(bad, header, KEY), openSecondAnnex(bad, header, KEY)];
          if (first.equals(annex) && second.equals(secondAnnex)) throw new Error('unnoticed');
          throw new Error('other bytes');
        };
        expect(read).toThrow(KEY);
      }
      expect(() => openSecondAnnex(good.subarray(0, at), header, KEY)).toThrow(KEY);
    }
  });
});

function withVersion(bytes: Buffer, version: number): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt16LE(version, 8);
  return changed;
}
