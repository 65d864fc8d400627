/**
 * The payload of a sealed object: blocks of up to 1 MB, each compressed by itself (docs/repository-format.md, "Blocks"):
 * u32 stored length, u32 plain length, u32 CRC-32C of the stored bytes, the bytes; stored = plain means not compressed.
 * The checksum finds what decompression would not notice.
 */
import { crc32c } from '../lib/hashing.ts';
import { compressedBytesMax, compressInto, decompressInto } from './compression.ts';
import { damaged } from './object-header.ts';

/** Plain bytes per block: bounds the memory of one compression and keeps the ratio of a single frame. */
export const BLOCK_BYTES: number = 1024 * 1024;
const BLOCK_HEADER_BYTES = 12;

/** One stored block. */
export type Block = {
  readonly stored: Buffer;
  readonly plainBytes: number;
  /** Stored bytes with the lengths and the checksum before them. */
  readonly spanBytes: number;
};

/** Room for the blocks of so many plain bytes, none of which can be compressed, and for the trying with the last. */
export function blockBytesMax(plainBytes: number): number {
  const blocks = BLOCK_HEADER_BYTES * Math.ceil(plainBytes / BLOCK_BYTES);
  return plainBytes + blocks + compressedBytesMax(BLOCK_BYTES) - BLOCK_BYTES;
}

/** Writes the blocks of `plain` to `into` from `begin` on, one a step; answers where they end. */
export function* writeBlocks(
  plain: Uint8Array,
  into: { readonly stored: Buffer; readonly begin: number; readonly level: number },
): Generator<undefined, number> {
  const { stored, level } = into;
  let end = into.begin;
  for (let at = 0; at < plain.length; at += BLOCK_BYTES) {
    const block = plain.subarray(at, Math.min(at + BLOCK_BYTES, plain.length));
    // Compressed where it belongs; `stored` has room for it, as it has for the block itself.
    const place = stored.subarray(end + BLOCK_HEADER_BYTES);
    let length = compressInto(place, block, level);
    if (length >= block.length) {
      place.set(block);
      length = block.length;
    }
    stored.writeUInt32LE(length, end);
    stored.writeUInt32LE(block.length, end + 4);
    stored.writeUInt32LE(crc32c(place.subarray(0, length)), end + 8);
    end += BLOCK_HEADER_BYTES + length;
    yield;
  }
  return end;
}

/** The checked block at the beginning of `bytes`, or null when it is not all there. Throws `object-damaged`. */
export function cutBlock(bytes: Buffer, key: string): Block | null {
  if (bytes.length < BLOCK_HEADER_BYTES) return null;
  const storedBytes = bytes.readUInt32LE(0);
  const plainBytes = bytes.readUInt32LE(4);
  if (storedBytes > plainBytes || plainBytes > BLOCK_BYTES || storedBytes === 0) {
    throw damaged(key, 'a block of it has an impossible length');
  }
  const spanBytes = BLOCK_HEADER_BYTES + storedBytes;
  if (bytes.length < spanBytes) return null;
  const stored = bytes.subarray(BLOCK_HEADER_BYTES, spanBytes);
  if (crc32c(stored) !== bytes.readUInt32LE(8)) {
    throw damaged(key, 'the checksum of a block does not match');
  }
  return { stored, plainBytes, spanBytes };
}

/** Opens a block into the first bytes of `place`, and answers them. */
export function openBlock({ stored, plainBytes }: Block, place: Buffer, key: string): Buffer {
  const plain = place.subarray(0, plainBytes);
  try {
    if (stored.length === plainBytes) plain.set(stored);
    else decompressInto(plain, stored);
  } catch (error) {
    throw damaged(key, 'a block of it does not decompress', error);
  }
  return plain;
}

/**
 * Opens all blocks, which hold `plainBytes` in all. Each is opened where it belongs: to join them would touch twice the
 * memory.
 */
export function openBlocks(payload: Buffer, plainBytes: number, key: string): Buffer {
  const blocks: Block[] = [];
  let held = 0;
  for (let at = 0; at < payload.length;) {
    const block = cutBlock(payload.subarray(at), key);
    if (block === null) throw damaged(key, 'its last block is cut');
    blocks.push(block);
    held += block.plainBytes;
    at += block.spanBytes;
  }
  if (held !== plainBytes) throw damaged(key, `it holds ${held} of its ${plainBytes} bytes`);
  const plain = Buffer.allocUnsafeSlow(plainBytes);
  let opened = 0;
  for (const block of blocks) {
    openBlock(block, plain.subarray(opened), key);
    opened += block.plainBytes;
  }
  return plain;
}
