import fc from 'fast-check';
import { expect, test } from 'vitest';
import { combineCrc32c, withoutPrefixCrc32c } from './crc-combine.ts';
import { crc32c } from './hashing.ts';

test('checksums of two neighbours make that of both, and the other way round', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }),
      (first, second) => {
        const [before, after] = [crc32c(first), crc32c(second)];
        const whole = crc32c(Buffer.concat([first, second]));
        expect(combineCrc32c(before, after, second.length)).toBe(whole);
        expect(withoutPrefixCrc32c(whole, before, second.length)).toBe(after);
      },
    ),
  );
});

test('the second may have a gigabyte', () => {
  const part = Buffer.alloc(1 << 20, 'walnut');
  let [crc, length] = [crc32c(part), part.length];
  for (; length < 1 << 30; length *= 2) crc = combineCrc32c(crc, crc, length);
  let expected = 0;
  for (let turn = 0; turn < 1024; turn += 1) expected = crc32c(part, expected);
  expect(crc).toBe(expected);
});
