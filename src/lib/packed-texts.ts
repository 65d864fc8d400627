/**
 * Texts that are gone through once, in their order. A million strings are a million things for the garbage collector to
 * visit and to make room for; here they are the bytes of one buffer, and each is a string only while it is looked at.
 */
export class PackedTexts implements Iterable<string> {
  readonly #bytes: Buffer;
  readonly #ends: Uint32Array;

  constructor(texts: readonly string[]) {
    let length = 0;
    for (const text of texts) length += Buffer.byteLength(text);
    this.#bytes = Buffer.allocUnsafeSlow(length);
    this.#ends = new Uint32Array(texts.length);
    let end = 0;
    for (const [index, text] of texts.entries()) {
      end += this.#bytes.write(text, end);
      this.#ends[index] = end;
    }
  }

  *[Symbol.iterator](): Generator<string, void> {
    let start = 0;
    for (const end of this.#ends) {
      yield this.#bytes.toString('utf8', start, end);
      start = end;
    }
  }
}
