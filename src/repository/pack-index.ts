/**
 * The index at the end of a pack: which frames it holds and which pages of which files are in them, so that a pack can be
 * verified, redone and repacked without a manifest (docs/repository-format.md, "Pack").
 *
 * Plain form: varint version (1), varint frame count, then per frame: varint stored length (content without its header),
 * varint plain length, varint page count, u8 codec, 32 bytes BLAKE3, varint run count, the runs, and 8 bytes XXH64 (seed
 * 0, little-endian) per page. A run is: u8 kind (0 pages, 1 bytes), varint length of the prefix shared with the path
 * before, varint suffix length, suffix, varint first block | byte offset in the file, varint pages | bytes.
 * Frames stand end to end from offset 96, so offsets follow from the lengths.
 */
import { BLAKE3_BYTES, blake3, crc32c } from '../lib/hashing.ts';
import { ByteReader } from '../lib/byte-reader.ts';
import { ByteWriter } from '../lib/byte-writer.ts';
import { compress, decompress } from './compression.ts';
import { FRAME_HEADER_BYTES, type FrameHeader } from './frame.ts';
import { damaged, OBJECT_HEADER_BYTES } from './object-header.ts';
import { PathReader, PathWriter } from './path-coding.ts';

export const PACK_FOOTER_BYTES = 64;
const FOOTER_MAGIC: Buffer = Buffer.from('WPKEND1\n', 'latin1');
const INDEX_VERSION = 1;
const INDEX_BYTES_MAX: number = 256 * 1024 * 1024;

/** A stretch of one file inside a frame. */
export type FrameRun = {
  readonly kind: 'pages' | 'bytes';
  readonly path: string;
  /** First block for pages, byte offset in the file for bytes. */
  readonly from: number;
  /** Pages, or bytes. */
  readonly length: number;
};

export type IndexedFrame = Omit<FrameHeader, 'storedCrc'> & {
  /** Byte offset of the frame's header in the pack. */
  readonly offset: number;
  readonly runs: readonly FrameRun[];
  /** XXH64 per page, 8 bytes each. */
  readonly pageHashes: Uint8Array;
};

/** Collects frames while a pack is written. */
export class PackIndexBuilder {
  readonly #entries = new ByteWriter(64 * 1024);
  readonly #paths = new PathWriter();
  frameCount = 0;

  add(header: FrameHeader, runs: readonly FrameRun[], pageHashes: Uint8Array): void {
    const entry = this.#entries;
    entry.varint(header.storedBytes).varint(header.plainBytes).varint(header.pageCount);
    entry
      .u8(header.codec === 'zstd' ? 1 : 0)
      .put(header.hash)
      .varint(runs.length);
    for (const run of runs) {
      entry.u8(run.kind === 'pages' ? 0 : 1);
      this.#paths.write(entry, run.path);
      entry.varint(run.from).varint(run.length);
    }
    entry.put(pageHashes);
    this.frameCount += 1;
  }

  /** Index and footer, to be appended at `indexOffset`. */
  finish(indexOffset: number): Buffer {
    const lead = new ByteWriter(16).varint(INDEX_VERSION).varint(this.frameCount);
    const plain = Buffer.concat([lead.view(), this.#entries.view()]);
    const stored = compress(plain, 1);
    const footer = Buffer.alloc(PACK_FOOTER_BYTES);
    FOOTER_MAGIC.copy(footer, 0);
    footer.writeBigUInt64LE(BigInt(indexOffset), 8);
    footer.writeUInt32LE(stored.length, 16);
    footer.writeUInt32LE(plain.length, 20);
    blake3(stored).copy(footer, 24);
    footer.writeUInt32LE(this.frameCount, 56);
    footer.writeUInt32LE(crc32c(footer.subarray(0, 60)), 60);
    return Buffer.concat([stored, footer]);
  }
}

export type PackFooter = {
  readonly indexOffset: number;
  readonly storedBytes: number;
  readonly plainBytes: number;
  /** BLAKE3 of the stored index. */
  readonly hash: Uint8Array;
  readonly frameCount: number;
};

/** Parses the last 64 bytes of a pack. Throws `object-damaged`. */
export function decodePackFooter(bytes: Buffer, key: string): PackFooter {
  const sound =
    bytes.length === PACK_FOOTER_BYTES &&
    bytes.subarray(0, 8).equals(FOOTER_MAGIC) &&
    bytes.readUInt32LE(60) === crc32c(bytes.subarray(0, 60));
  if (!sound) throw damaged(key, 'its footer is missing or does not match its checksum');
  return {
    indexOffset: Number(bytes.readBigUInt64LE(8)),
    storedBytes: bytes.readUInt32LE(16),
    plainBytes: bytes.readUInt32LE(20),
    hash: Uint8Array.from(bytes.subarray(24, 24 + BLAKE3_BYTES)),
    frameCount: bytes.readUInt32LE(56),
  };
}

/** Whether the runs of frames are wanted; passed over they are empty, and make no objects. */
export type IndexDetail = 'with-runs' | 'without-runs';

/** Opens the stored index that a footer describes. Throws `object-damaged`. */
export function decodePackIndex(
  stored: Uint8Array,
  footer: PackFooter,
  { key, detail }: { readonly key: string; readonly detail: IndexDetail },
): IndexedFrame[] {
  if (footer.plainBytes > INDEX_BYTES_MAX) throw damaged(key, 'its index has an impossible length');
  try {
    if (!blake3(stored).equals(footer.hash)) throw new RangeError('hash does not match');
    const plain = decompress(stored, footer.plainBytes);
    return decodeEntries(new ByteReader(plain), footer, detail);
  } catch (error) {
    throw damaged(key, 'its index is damaged', error);
  }
}

function decodeEntries(
  reader: ByteReader,
  footer: PackFooter,
  detail: IndexDetail,
): IndexedFrame[] {
  if (reader.varint() !== INDEX_VERSION) throw new RangeError('unknown index version');
  const count = reader.varint();
  if (count !== footer.frameCount) throw new RangeError('frame count differs from the footer');
  const paths = detail === 'with-runs' ? new PathReader() : null;
  const frames: IndexedFrame[] = [];
  let offset = OBJECT_HEADER_BYTES;
  for (let number = 0; number < count; number += 1) {
    const frame = decodeEntry(reader, paths, { number, offset });
    frames.push(frame);
    offset += FRAME_HEADER_BYTES + frame.storedBytes;
  }
  if (offset !== footer.indexOffset)
    throw new RangeError('frames do not end where the index begins');
  return frames;
}

function decodeEntry(
  reader: ByteReader,
  paths: PathReader | null,
  place: { readonly number: number; readonly offset: number },
): IndexedFrame {
  const storedBytes = reader.varint();
  const plainBytes = reader.varint();
  const pageCount = reader.varint();
  const codec = reader.u8() === 1 ? 'zstd' : 'none';
  const hash = Uint8Array.from(reader.take(BLAKE3_BYTES));
  const runs = paths === null ? passRuns(reader) : readRuns(reader, paths);
  const pageHashes = reader.take(pageCount * 8);
  return { ...place, storedBytes, plainBytes, pageCount, codec, hash, runs, pageHashes };
}

function readRuns(reader: ByteReader, paths: PathReader): FrameRun[] {
  const runs: FrameRun[] = [];
  for (let left = reader.varint(); left > 0; left -= 1) {
    const kind = reader.u8() === 0 ? 'pages' : 'bytes';
    const path = paths.read(reader);
    runs.push({ kind, path, from: reader.varint(), length: reader.varint() });
  }
  return runs;
}

const NO_RUNS: readonly FrameRun[] = [];

function passRuns(reader: ByteReader): readonly FrameRun[] {
  for (let left = reader.varint(); left > 0; left -= 1) {
    reader.u8();
    reader.varint();
    reader.skip(reader.varint());
    reader.varint();
    reader.varint();
  }
  return NO_RUNS;
}
