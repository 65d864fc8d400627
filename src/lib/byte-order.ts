/** From here on UTF-16 units sort otherwise than the bytes of UTF-8: surrogates stand for the highest code points. */
const SURROGATES = /[\uD800-\uFFFF]/;

/** Compares two texts by the bytes of their UTF-8, without making them where JavaScript's own order is the same. */
export function compareBytes(first: string, second: string): number {
  if (SURROGATES.test(first) && SURROGATES.test(second)) {
    return Buffer.compare(Buffer.from(first, 'utf8'), Buffer.from(second, 'utf8'));
  }
  if (first === second) return 0;
  return first < second ? -1 : 1;
}
