import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PackedTexts } from './packed-texts.ts';

test('packed texts come back in their order, whatever is in them', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme' })), (texts) => {
      const packed = new PackedTexts(texts);
      expect([...packed]).toEqual(texts);
      // As often as one likes.
      expect([...packed]).toEqual(texts);
    }),
  );
});
