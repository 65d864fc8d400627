import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc32c } from '../../lib/hashing.ts';
import { WalBytes } from './wal-bytes.ts';

test('short and long ranges have the checksum that the native library finds', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 700 }), fc.nat(700), (bytes, cut) => {
      const source = new WalBytes(bytes);
      const middle = Math.min(cut, bytes.length);
      const parts = source.crc(source.crc(0, 0, middle), middle, bytes.length);
      expect(parts).toBe(crc32c(bytes));
    }),
  );
});

test('the check value of CRC-32C', () => {
  expect(new WalBytes(Buffer.from('123456789')).crc(0, 0, 9)).toBe(0xe306_9283);
});
