import { ByteReader } from '../../lib/byte-reader.ts';
import type { WalVersion } from './versions/wal-version.ts';
import { RECORD_HEADER_BYTES } from './wal-constants.ts';

/** `XLR_BLOCK_ID_…` and `XLR_MAX_BLOCK_ID`: src/include/access/xlogrecord.h. */
const BLOCK_ID_MAX = 32;
const ID_DATA_SHORT = 255;
const ID_DATA_LONG = 254;
const ID_ORIGIN = 253;
const ID_TOPLEVEL_XID = 252;

const FORK_HAS_IMAGE = 0x10;
const FORK_SAME_RELATION = 0x80;
const IMAGE_HAS_HOLE = 0x01;

/** The bytes of a whole record in memory: `totalBytes` from `start`, header included. */
export type RecordBytes = {
  readonly version: WalVersion;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly start: number;
  readonly totalBytes: number;
};

/**
 * Where the record's main data begins in `bytes`; it ends with the record. Block references are stepped over.
 * @throws RangeError when the record's parts do not add up to its length.
 */
export function mainDataStart(record: RecordBytes): number {
  const { view, start, totalBytes } = record;
  const end = start + totalBytes;
  let at = start + RECORD_HEADER_BYTES;
  let payload = 0;
  while (end - at > payload) {
    const id = view.getUint8(at);
    if (id === ID_DATA_SHORT || id === ID_DATA_LONG) {
      const length = id === ID_DATA_SHORT ? view.getUint8(at + 1) : view.getUint32(at + 1, true);
      at += (id === ID_DATA_SHORT ? 2 : 5) + payload;
      if (at + length !== end) throw new RangeError('main data does not fit the record');
      return at;
    }
    if (id === ID_ORIGIN) at += 3;
    else if (id === ID_TOPLEVEL_XID && record.version.toplevelXid) at += 5;
    else if (id <= BLOCK_ID_MAX) {
      payload += blockPayload(record, at);
      at += blockReferenceBytes(record, at);
    } else throw new RangeError(`unknown block id ${id}`);
  }
  if (end - at !== payload) throw new RangeError('block data does not fit the record');
  return end;
}

/** A reader that ends with the record's main data. */
export function readMainData(record: RecordBytes): ByteReader {
  const end = record.start + record.totalBytes;
  return new ByteReader(record.bytes.subarray(mainDataStart(record), end));
}

/** Bytes of image and data that the block reference at `at` announces. */
function blockPayload({ view }: RecordBytes, at: number): number {
  const hasImage = (view.getUint8(at + 1) & FORK_HAS_IMAGE) !== 0;
  return view.getUint16(at + 2, true) + (hasImage ? view.getUint16(at + 4, true) : 0);
}

function blockReferenceBytes({ view, version }: RecordBytes, at: number): number {
  const flags = view.getUint8(at + 1);
  let length = 4;
  if ((flags & FORK_HAS_IMAGE) !== 0) {
    const image = view.getUint8(at + 8);
    const compressedHole =
      (image & version.imageCompressedMask) !== 0 && (image & IMAGE_HAS_HOLE) !== 0;
    length += compressedHole ? 7 : 5;
  }
  if ((flags & FORK_SAME_RELATION) === 0) length += 12;
  return length + 4;
}
