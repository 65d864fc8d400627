/**
 * Objects that are written and read whole: header, optional annex, and the payload as zstd blocks
 * (docs/repository-format.md, "Blocks"): u32 stored length, u32 plain length, u32 CRC-32C of the stored
 * bytes, the bytes; stored = plain means not compressed. The checksum finds what decompression would not notice.
 */
import { blake3, BLAKE3_BYTES, crc32c } from '../lib/hashing.js';
import { hasCode } from '../lib/walnut-error.js';
import { compress, decompress } from './compression.js';
import {
  damaged,
  decodeObjectHeader,
  encodeObjectHeader,
  OBJECT_HEADER_BYTES,
} from './object-header.js';
/** Plain bytes per block: bounds the memory of one compression and keeps the ratio of a single frame. */
export const BLOCK_BYTES = 1024 * 1024;
const BLOCK_HEADER_BYTES = 12;
const ANNEX_HEADER_BYTES = BLAKE3_BYTES + 4;
/** The stored form of an object. */
export function sealObject(object) {
  const annex =
    object.annex === undefined ? Buffer.alloc(0) : sealAnnex(object.annex, object.level);
  const header = encodeObjectHeader({
    kind: object.kind,
    codec: 'zstd',
    plainBytes: object.plain.length,
    plainHash: blake3(object.plain),
    annexBytes: annex.length,
  });
  return Buffer.concat([header, annex, ...sealBlocks(object.plain, object.level)]);
}
/** Checks and opens a stored object. Throws `object-damaged` naming `key`. */
export function openObject(stored, kind, key) {
  const header = decodeObjectHeader(stored, key);
  if (header.kind !== kind) throw damaged(key, `it is a ${header.kind}, not a ${kind}`);
  const plain = openBlocks(stored.subarray(header.payloadOffset), header.plainBytes, key);
  if (!blake3(plain).equals(header.plainHash))
    throw damaged(key, 'the hash of its content does not match');
  if (header.annexBytes > 0) openAnnex(stored, header, key);
  return { header, plain };
}
/** The annex of a stored object, from its first `payloadOffset` bytes or more; empty when it has none. */
export function openAnnex(stored, header, key) {
  if (header.annexBytes === 0) return Buffer.alloc(0);
  if (header.annexBytes < ANNEX_HEADER_BYTES || stored.length < header.payloadOffset) {
    throw damaged(key, 'its annex is cut');
  }
  const view = Buffer.from(stored.buffer, stored.byteOffset, stored.length);
  const annex = view.subarray(OBJECT_HEADER_BYTES, OBJECT_HEADER_BYTES + header.annexBytes);
  const plainBytes = annex.readUInt32LE(BLAKE3_BYTES);
  const compressed = annex.subarray(ANNEX_HEADER_BYTES);
  if (!blake3(compressed).equals(annex.subarray(0, BLAKE3_BYTES))) {
    throw damaged(key, 'the hash of its annex does not match');
  }
  return inflate(compressed, plainBytes, key);
}
/**
 * Stores an object unless the same content is there already. Answers `stored` or `present`; content that differs from
 * what is stored under the key fails with `object-exists` and leaves the stored object untouched.
 */
export async function putSealed(store, key, object) {
  try {
    await store.put(key, sealObject(object));
    return 'stored';
  } catch (error) {
    if (!hasCode(error, 'object-exists')) throw error;
    const present = await readHeader(store, key);
    const same =
      present.plainBytes === object.plain.length && blake3(object.plain).equals(present.plainHash);
    if (!same) throw error;
    return 'present';
  }
}
export async function readHeader(store, key) {
  const bytes = Buffer.alloc(OBJECT_HEADER_BYTES);
  const length = await store.read(key, 0, bytes);
  return decodeObjectHeader(bytes.subarray(0, length), key);
}
function sealBlocks(plain, level) {
  const parts = [];
  for (let at = 0; at < plain.length; at += BLOCK_BYTES) {
    const block = plain.subarray(at, Math.min(at + BLOCK_BYTES, plain.length));
    const compressed = compress(block, level);
    const stored = compressed.length < block.length ? compressed : block;
    const lengths = Buffer.alloc(BLOCK_HEADER_BYTES);
    lengths.writeUInt32LE(stored.length, 0);
    lengths.writeUInt32LE(block.length, 4);
    lengths.writeUInt32LE(crc32c(stored), 8);
    parts.push(lengths, Buffer.from(stored.buffer, stored.byteOffset, stored.length));
  }
  return parts;
}
function openBlocks(payload, plainBytes, key) {
  const parts = [];
  const view = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  let at = 0;
  let opened = 0;
  while (at < view.length) {
    if (view.length - at < BLOCK_HEADER_BYTES) throw damaged(key, 'its last block is cut');
    const storedLength = view.readUInt32LE(at);
    const plainLength = view.readUInt32LE(at + 4);
    const end = at + BLOCK_HEADER_BYTES + storedLength;
    if (end > view.length || plainLength > BLOCK_BYTES || opened + plainLength > plainBytes) {
      throw damaged(key, 'a block of it is cut or has an impossible length');
    }
    const stored = view.subarray(at + BLOCK_HEADER_BYTES, end);
    if (crc32c(stored) !== view.readUInt32LE(at + 8)) {
      throw damaged(key, 'the checksum of a block does not match');
    }
    parts.push(storedLength === plainLength ? stored : inflate(stored, plainLength, key));
    opened += plainLength;
    at = end;
  }
  if (opened !== plainBytes) throw damaged(key, `it holds ${opened} of its ${plainBytes} bytes`);
  return Buffer.concat(parts, plainBytes);
}
function sealAnnex(annex, level) {
  const lead = Buffer.alloc(ANNEX_HEADER_BYTES);
  const compressed = compress(annex, level);
  blake3(compressed).copy(lead, 0);
  lead.writeUInt32LE(annex.length, BLAKE3_BYTES);
  return Buffer.concat([lead, compressed]);
}
function inflate(stored, plainBytes, key) {
  let plain;
  try {
    plain = decompress(stored, plainBytes);
  } catch (error) {
    throw damaged(key, 'a part of it does not decompress', error);
  }
  if (plain.length !== plainBytes) throw damaged(key, 'a part of it has the wrong length');
  return plain;
}
