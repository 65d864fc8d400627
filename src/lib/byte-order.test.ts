import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareBytes } from './byte-order.ts';

test('texts sort as their UTF-8 bytes do, also beyond the basic plane', () => {
  const text = fc.string({
    unit: fc.constantFrom('a', '/', 'é', '\uFFFD', '\u{1F600}', '\u{10000}'),
  });
  fc.assert(
    fc.property(text, text, (first, second) => {
      const expected = Buffer.compare(Buffer.from(first), Buffer.from(second));
      expect(Math.sign(compareBytes(first, second))).toBe(expected);
    }),
  );
});
