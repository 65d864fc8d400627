import { crc32c } from '../../lib/hashing.ts';
import { recordChecksumOf, type RecordChecksum } from './wal-buffers.ts';
import { RECORD_CRC_OFFSET } from './record-header.ts';
import { RECORD_HEADER_BYTES } from './wal-constants.ts';

/*
 * CRC-32C of short ranges in JavaScript, of long ones natively: a native call costs as much as about 256 bytes of
 * slicing-by-16 (measured with bench/wal-walk.ts). Most records are shorter than that.
 */
const NATIVE_BYTES_MIN = 256;
/** Up to so many bytes WebAssembly is faster than a native call, for bytes that lie in its memory. */
const WASM_BYTES_MAX = 640;
const POLYNOMIAL = 0x82f6_3b78;

/** Sixteen tables of 256 entries, end to end: entry [k][b] is the checksum of byte b followed by k zero bytes. */
const TABLES: Int32Array = makeTables();

function makeTables(): Int32Array {
  const tables = new Int32Array(16 * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1)
      crc = (crc & 1) !== 0 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[byte] = crc;
  }
  for (let index = 256; index < tables.length; index += 1) {
    const before = tables[index - 256] ?? 0;
    tables[index] = (before >>> 8) ^ (tables[before & 0xff] ?? 0);
  }
  return tables;
}

/** Bytes of WAL with both ways to look at them that the walker needs. */
export class WalBytes {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #checksum: RecordChecksum | null;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#checksum = recordChecksumOf(bytes.buffer);
  }

  /** Whether the record of `total` bytes that lies whole at `at` has the checksum that it says. */
  isIntact(at: number, total: number): boolean {
    if (this.#checksum !== null && total <= WASM_BYTES_MAX) {
      return this.#checksum(this.view.byteOffset + at, total) !== 0;
    }
    const body = this.crc(0, at + RECORD_HEADER_BYTES, at + total);
    return (
      this.crc(body, at, at + RECORD_CRC_OFFSET) ===
      this.view.getUint32(at + RECORD_CRC_OFFSET, true)
    );
  }

  /** Continues the checksum `crc` (0 at the beginning) over the bytes from `begin` to `end`; unsigned. */
  crc(crc: number, begin: number, end: number): number {
    return end - begin >= NATIVE_BYTES_MIN
      ? crc32c(this.bytes.subarray(begin, end), crc)
      : this.#shortCrc(crc, begin, end);
  }

  #shortCrc(initial: number, begin: number, end: number): number {
    const { bytes, view } = this;
    let crc = ~initial;
    let at = begin;
    for (; at + 16 <= end; at += 16) {
      const a = crc ^ view.getInt32(at, true);
      const b = view.getInt32(at + 4, true);
      const c = view.getInt32(at + 8, true);
      const d = view.getInt32(at + 12, true);
      crc =
        entry(3840 + (a & 0xff)) ^
        entry(3584 + ((a >>> 8) & 0xff)) ^
        entry(3328 + ((a >>> 16) & 0xff)) ^
        entry(3072 + (a >>> 24)) ^
        entry(2816 + (b & 0xff)) ^
        entry(2560 + ((b >>> 8) & 0xff)) ^
        entry(2304 + ((b >>> 16) & 0xff)) ^
        entry(2048 + (b >>> 24)) ^
        entry(1792 + (c & 0xff)) ^
        entry(1536 + ((c >>> 8) & 0xff)) ^
        entry(1280 + ((c >>> 16) & 0xff)) ^
        entry(1024 + (c >>> 24)) ^
        entry(768 + (d & 0xff)) ^
        entry(512 + ((d >>> 8) & 0xff)) ^
        entry(256 + ((d >>> 16) & 0xff)) ^
        entry(d >>> 24);
    }
    for (; at + 8 <= end; at += 8) {
      const low = crc ^ view.getInt32(at, true);
      const high = view.getInt32(at + 4, true);
      crc =
        entry(1792 + (low & 0xff)) ^
        entry(1536 + ((low >>> 8) & 0xff)) ^
        entry(1280 + ((low >>> 16) & 0xff)) ^
        entry(1024 + (low >>> 24)) ^
        entry(768 + (high & 0xff)) ^
        entry(512 + ((high >>> 8) & 0xff)) ^
        entry(256 + ((high >>> 16) & 0xff)) ^
        entry(high >>> 24);
    }
    for (; at < end; at += 1) crc = (crc >>> 8) ^ entry((crc ^ (bytes[at] as number)) & 0xff);
    return ~crc >>> 0;
  }
}

function entry(index: number): number {
  return TABLES[index] as number;
}
