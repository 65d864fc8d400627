/** Reads little-endian fields from bytes in order; reading past the end throws `RangeError`. */
export class ByteReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  offset: number;

  constructor(bytes: Uint8Array, offset = 0) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.offset = offset;
  }

  get remaining(): number {
    return this.bytes.length - this.offset;
  }

  u8(): number {
    const value = this.#view.getUint8(this.offset);
    this.offset += 1;
    return value;
  }

  u16(): number {
    const value = this.#view.getUint16(this.offset, true);
    this.offset += 2;
    return value;
  }

  u32(): number {
    const value = this.#view.getUint32(this.offset, true);
    this.offset += 4;
    return value;
  }

  u64(): bigint {
    const value = this.#view.getBigUint64(this.offset, true);
    this.offset += 8;
    return value;
  }

  /** Unsigned LEB128 up to 2^53 - 1. */
  varint(): number {
    // Whole numbers all the way: what was multiplied is kept as a floating-point number, with memory of its own.
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.u8();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return this.#largeVarint(value);
  }

  /** A view on the next `length` bytes, not a copy. */
  take(length: number): Uint8Array {
    const from = this.offset;
    this.skip(length);
    return this.bytes.subarray(from, from + length);
  }

  skip(length: number): void {
    if (length < 0 || length > this.remaining) {
      throw new RangeError(
        `${length} bytes wanted at offset ${this.offset}, ${this.remaining} left`,
      );
    }
    this.offset += length;
  }

  /** The rest of a varint whose first four bytes gave `value`. */
  #largeVarint(lowest: number): number {
    let value = lowest;
    let scale = 2 ** 28;
    for (let length = 4; length < 8; length += 1) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) throw new RangeError('varint exceeds 2^53 - 1');
        return value;
      }
      scale *= 128;
    }
    throw new RangeError('varint is longer than 8 bytes');
  }
}
