/**
 * A frame: pages and small files, compressed and hashed together; the unit of reading back.
 *
 * Plain content: all pages (8192 bytes each), then all byte runs. Stored form, little-endian:
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 4 | magic `WFR1` |
 * | 4 | 4 | stored length of the content |
 * | 8 | 4 | plain length |
 * | 12 | 4 | number of pages |
 * | 16 | 32 | BLAKE3 of the plain content |
 * | 48 | 1 | codec: 0 none, 1 zstd |
 * | 49 | 3 | zero |
 * | 52 | 4 | number of the frame in its pack, from 0 |
 * | 56 | 4 | CRC-32C of the stored content: finds a flipped bit that decompression would not notice |
 * | 60 | 4 | CRC-32C of bytes 0 to 59 |
 * | 64 | | content |
 */
import { blake3, crc32c } from '../lib/hashing.ts';
import { compressToScratch, decompress, decompressInto } from './compression.ts';
import { damaged } from './object-header.ts';

export const PAGE_BYTES = 8192;
/** Pages per full frame: 256 kB plain, where zstd is fastest and still loses no ratio (docs/decisions). */
export const FRAME_PAGES = 32;
export const FRAME_BYTES: number = FRAME_PAGES * PAGE_BYTES;
export const FRAME_HEADER_BYTES = 64;
/** No frame may claim more plain bytes: guards readers against a damaged length. */
export const FRAME_BYTES_MAX: number = 4 * 1024 * 1024;

const MAGIC = 0x31_52_46_57;

export type FrameHeader = {
  readonly storedBytes: number;
  readonly plainBytes: number;
  readonly pageCount: number;
  readonly hash: Uint8Array;
  readonly codec: 'none' | 'zstd';
  readonly number: number;
  /** CRC-32C of the stored content. */
  readonly storedCrc: number;
};

export type EncodedFrame = {
  readonly header: FrameHeader;
  readonly headerBytes: Buffer;
  /** A view on reused memory or on the plain bytes: copy it before this thread encodes the next frame. */
  readonly content: Uint8Array;
};

export type NewFrame = {
  readonly plain: Uint8Array;
  readonly pageCount: number;
  readonly number: number;
  readonly level: number;
};

/** Compresses and hashes; stores the plain bytes where compressing does not help. */
export function encodeFrame(frame: NewFrame): EncodedFrame {
  const compressed = compressToScratch(frame.plain, frame.level);
  const helps = compressed.length < frame.plain.length;
  const content = helps ? compressed : frame.plain;
  const header: FrameHeader = {
    storedBytes: content.length,
    plainBytes: frame.plain.length,
    pageCount: frame.pageCount,
    hash: blake3(frame.plain),
    codec: helps ? 'zstd' : 'none',
    number: frame.number,
    storedCrc: crc32c(content),
  };
  return { header, headerBytes: encodeFrameHeader(header), content };
}

/** A stored frame under another number: only its header changes. The caller has checked the frame. */
export function renumberFrame(stored: Uint8Array, number: number): EncodedFrame {
  const header = { ...decodeFrameHeader(stored, 'a frame'), number };
  const content = stored.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + header.storedBytes);
  return { header, headerBytes: encodeFrameHeader(header), content };
}

function encodeFrameHeader(header: FrameHeader): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(header.storedBytes, 4);
  bytes.writeUInt32LE(header.plainBytes, 8);
  bytes.writeUInt32LE(header.pageCount, 12);
  bytes.set(header.hash, 16);
  bytes.writeUInt8(header.codec === 'zstd' ? 1 : 0, 48);
  bytes.writeUInt32LE(header.number, 52);
  bytes.writeUInt32LE(header.storedCrc, 56);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 60)), 60);
  return bytes;
}

/** Parses the 64 bytes before a frame's content; `key` names the pack in errors. */
function decodeFrameHeader(bytes: Uint8Array, key: string): FrameHeader {
  if (bytes.length < FRAME_HEADER_BYTES) throw damaged(key, 'a frame header is cut');
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES);
  if (view.readUInt32LE(0) !== MAGIC || view.readUInt32LE(60) !== crc32c(view.subarray(0, 60))) {
    throw damaged(key, 'a frame header does not match its checksum');
  }
  return {
    storedBytes: view.readUInt32LE(4),
    plainBytes: view.readUInt32LE(8),
    pageCount: view.readUInt32LE(12),
    hash: Uint8Array.from(view.subarray(16, 48)),
    codec: view.readUInt8(48) === 1 ? 'zstd' : 'none',
    number: view.readUInt32LE(52),
    storedCrc: view.readUInt32LE(56),
  };
}

/** What the pack's index says of a frame; a frame that differs is a swapped or damaged one. */
export type ExpectedFrame = {
  readonly hash: Uint8Array;
  readonly number: number;
  /**
   * Where the plain content shall stand, from the beginning on; it holds at least as many bytes as the index says. Memory
   * fresh from the kernel for every frame costs more than decompressing into it.
   */
  readonly into?: Uint8Array | undefined;
};

/** Opens a stored frame (header and content) and checks header, length and hash. */
export function openFrame(stored: Uint8Array, expected: ExpectedFrame, key: string): Uint8Array {
  const header = decodeFrameHeader(stored, key);
  const content = stored.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + header.storedBytes);
  if (header.number !== expected.number || content.length !== header.storedBytes) {
    throw damaged(key, `frame ${expected.number} is cut or stands in the wrong place`);
  }
  if (crc32c(content) !== header.storedCrc) {
    throw damaged(key, `the checksum of frame ${header.number} does not match`);
  }
  const plain = inflateFrame(content, header, { key, into: expected.into });
  const hash = blake3(plain);
  if (!hash.equals(header.hash) || !hash.equals(expected.hash)) {
    throw damaged(key, `the hash of frame ${header.number} does not match`);
  }
  return plain;
}

function inflateFrame(
  content: Uint8Array,
  header: FrameHeader,
  { key, into }: { readonly key: string; readonly into: Uint8Array | undefined },
): Uint8Array {
  const { plainBytes, codec } = header;
  const isPossible = plainBytes <= Math.min(FRAME_BYTES_MAX, into?.length ?? FRAME_BYTES_MAX);
  if (!isPossible) throw damaged(key, 'a frame claims an impossible length');
  if (codec === 'none' && content.length !== plainBytes) {
    throw damaged(key, `frame ${header.number} has another length than it says`);
  }
  const place = into?.subarray(0, plainBytes);
  try {
    if (place === undefined) return codec === 'none' ? content : decompress(content, plainBytes);
    if (codec === 'zstd') return decompressInto(place, content);
    place.set(content);
    return place;
  } catch (error) {
    throw damaged(key, `frame ${header.number} does not decompress`, error);
  }
}
