import { blake3 as nativeBlake3, Blake3Hasher } from '@napi-rs/blake-hash';
import { crc32c as nativeCrc32c } from '@node-rs/crc32';

export const BLAKE3_BYTES = 32;

/** CRC-32C (Castagnoli), as PostgreSQL computes it for WAL records and pg_control; `initial` continues a checksum. */
export function crc32c(bytes: Uint8Array, initial?: number): number {
  return nativeCrc32c(bytes, initial) >>> 0;
}

/** BLAKE3-256 of `bytes`. */
export function blake3(bytes: Uint8Array): Buffer {
  return nativeBlake3(bytes);
}

/** BLAKE3-256 of bytes that arrive in parts. */
export class Blake3 {
  readonly #hasher = new Blake3Hasher();

  update(bytes: Uint8Array): this {
    this.#hasher.update(bytes);
    return this;
  }

  digest(): Buffer {
    return this.#hasher.digestBuffer();
  }
}
