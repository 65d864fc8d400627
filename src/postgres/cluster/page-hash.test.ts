import { constants, zstdCompressSync } from 'node:zlib';

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { xxh64 } from './page-hash.ts';

describe('XXH64', () => {
  // The vectors of https://github.com/cespare/xxhash, which took them from the reference implementation.
  test.each([
    ['', 0xef46db3751d8e999n],
    ['a', 0xd24ec4f1a98c6e5bn],
    ['as', 0x1c330fb2d66be179n],
    ['asd', 0x631c37ce72a97393n],
    ['asdf', 0x415872f599cea71en],
    ['Call me Ishmael. Some years ago--never mind how long precisely-', 0x02a2e85470d6fd96n],
  ])('of %j is the published one', (text, hash) => {
    expect(xxh64(Buffer.from(text))).toBe(hash);
  });

  test('of any bytes ends like the content checksum of zstd, which is its lower half', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 10_000 }), (bytes) => {
        const params = { [constants.ZSTD_c_checksumFlag]: 1 };
        const checksum = zstdCompressSync(bytes, { params }).subarray(-4).readUInt32LE();
        expect(Number(xxh64(bytes) & 0xffff_ffffn)).toBe(checksum);
      }),
    );
  });
});
