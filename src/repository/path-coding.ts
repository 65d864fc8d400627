import type { ByteReader } from '../lib/byte-reader.ts';
import type { ByteWriter } from '../lib/byte-writer.ts';

/** Writes paths (UTF-8) as the length shared with the path before, then the rest: varint, varint, bytes. */
export class PathWriter {
  #previous: Buffer = Buffer.alloc(0);
  #path = '';

  write(into: ByteWriter, path: string): void {
    if (path === this.#path) {
      into.varint(this.#previous.length).varint(0);
      return;
    }
    this.#path = path;
    const bytes = Buffer.from(path, 'utf8');
    let shared = 0;
    while (
      shared < bytes.length &&
      shared < this.#previous.length &&
      bytes[shared] === this.#previous[shared]
    ) {
      shared += 1;
    }
    into
      .varint(shared)
      .varint(bytes.length - shared)
      .put(bytes.subarray(shared));
    this.#previous = bytes;
  }
}

/** Reverses {@link PathWriter}; throws `RangeError` for a prefix longer than the path before. */
export class PathReader {
  #previous: Buffer = Buffer.alloc(0);
  #path = '';

  read(reader: ByteReader): string {
    const shared = reader.varint();
    if (shared > this.#previous.length) throw new RangeError('path prefix is too long');
    const length = reader.varint();
    if (length === 0 && shared === this.#previous.length) return this.#path;
    this.#previous = Buffer.concat([this.#previous.subarray(0, shared), reader.take(length)]);
    this.#path = this.#previous.toString('utf8');
    return this.#path;
  }
}
