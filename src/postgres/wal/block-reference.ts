import type { WalVersion } from './versions/wal-version.ts';
import { RECORD_HEADER_BYTES } from './wal-constants.ts';

/*
 * What follows the header of a record, src/include/access/xlogrecord.h and DecodeXLogRecord of
 * src/backend/access/transam/xlogreader.c; nothing is aligned:
 *   block reference   u8 id (0 to 32, ascending)   u8 fork and flags   u16 bytes of data
 *                     with an image: u16 bytes, u16 hole offset, u8 image flags, and for a compressed image with a
 *                     hole u16 hole length
 *                     unless it is of the same relation as the one before: u32 tablespace, u32 database, u32 relfilenode
 *                     u32 block
 *   253 and u16       replication origin
 *   252 and u32       top-level transaction (14 and later)
 *   255 and u8, or 254 and u32: bytes of main data; always last
 * Then come the bytes announced: image and data of each reference, and the main data.
 */
const BLOCK_ID_MAX = 32;
const ID_DATA_SHORT = 255;
const ID_DATA_LONG = 254;
const ID_ORIGIN = 253;
const ID_TOPLEVEL_XID = 252;

const FORK_MASK = 0x0f;
const FORK_MAX = 3;
const HAS_IMAGE = 0x10;
const HAS_DATA = 0x20;
const WILL_INIT = 0x40;
const SAME_RELATION = 0x80;
const IMAGE_HAS_HOLE = 0x01;
const PAGE_BYTES = 8192;

/** All that stands before the announced bytes lies within so many bytes of a record's beginning: 24 + 33 × 27 + 13. */
export const REFERENCE_BYTES_MAX = 1024;

/** A record's first bytes, header included; all of it, or at least {@link REFERENCE_BYTES_MAX}. */
export type RecordStart = {
  readonly version: WalVersion;
  readonly view: DataView;
  /** Where the record begins in `view`. */
  readonly start: number;
  readonly totalBytes: number;
};

type ImageCompression = 'none' | 'pglz' | 'lz4' | 'zstd';

/** The page image that a reference carries. */
export type BlockImage = {
  readonly storedBytes: number;
  readonly holeOffset: number;
  readonly holeBytes: number;
  readonly compression: ImageCompression;
  /** Whether recovery writes the image; otherwise it serves only `wal_consistency_checking`. */
  readonly isApplied: boolean;
};

/**
 * A cursor over the block references of a record. It is one object for a whole walk, because an object per reference
 * would cost more than reading it; what it shows is valid until the next call.
 */
export class BlockReferences {
  /** 1664 for shared relations, whose database is 0. */
  tablespaceOid = 0;
  databaseOid = 0;
  relfilenode = 0;
  /** 0 main, 1 free space map, 2 visibility map, 3 init. */
  fork = 0;
  block = 0;
  id = 0;
  flags = 0;
  /** Bytes of data for this block, its image not counted. */
  dataBytes = 0;

  #version: WalVersion | undefined;
  #view: DataView = new DataView(new ArrayBuffer(0));
  #at = 0;
  #heldEnd = 0;
  #end = 0;
  /** Bytes of images and data announced so far. */
  #announced = 0;
  #imageAt = 0;
  #problem: string | undefined;
  #hasRelation = false;

  /** @param heldBytes how many of the record's first bytes lie in its view. */
  open(record: RecordStart, heldBytes: number = record.totalBytes): void {
    const { start } = record;
    this.#version = record.version;
    this.#view = record.view;
    this.#at = start + RECORD_HEADER_BYTES;
    this.#end = start + record.totalBytes;
    this.#heldEnd = heldBytes < record.totalBytes ? start + heldBytes : this.#end;
    this.#announced = 0;
    this.#problem = undefined;
    this.#hasRelation = false;
    this.id = -1;
  }

  /** Goes on to the next reference; `false` behind the last one, and when the record is malformed. */
  next(): boolean {
    while (this.#end - this.#at > this.#announced) {
      const at = this.#at;
      if (at + 5 > this.#heldEnd) return this.#atShortEnd(at);
      const id = this.#view.getUint8(at);
      if (id <= BLOCK_ID_MAX) return this.#reference(at, id);
      if (id === ID_DATA_SHORT) return this.#mainData(at + 2, this.#view.getUint8(at + 1));
      if (id === ID_DATA_LONG) return this.#mainData(at + 5, this.#view.getUint32(at + 1, true));
      if (id === ID_ORIGIN) this.#at += 3;
      else if (id === ID_TOPLEVEL_XID && this.#version?.toplevelXid === true) this.#at += 5;
      else return this.#refuse(`unknown block id ${id}`);
    }
    return this.#end - this.#at === this.#announced
      ? false
      : this.#refuse('block data does not fit the record');
  }

  /** Why the record's parts do not add up; known when {@link next} has said `false`. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Where the main data begins in the view: it ends with the record. Known when {@link next} has said `false`. */
  get mainDataStart(): number {
    return this.#at + this.#announced;
  }

  get hasImage(): boolean {
    return (this.flags & HAS_IMAGE) !== 0;
  }

  /** Whether recovery makes the page anew without reading it. */
  get willInitialize(): boolean {
    return (this.flags & WILL_INIT) !== 0;
  }

  /** The image of the present reference; `undefined` without one. */
  image(): BlockImage | undefined {
    const version = this.#version;
    if (!this.hasImage || version === undefined) return undefined;
    const storedBytes = this.#view.getUint16(this.#imageAt, true);
    const info = this.#view.getUint8(this.#imageAt + 4);
    const compression = compressionOf(info, version);
    const hasHole = (info & IMAGE_HAS_HOLE) !== 0;
    let holeBytes = 0;
    if (hasHole && compression === 'none') holeBytes = PAGE_BYTES - storedBytes;
    else if (hasHole) holeBytes = this.#view.getUint16(this.#imageAt + 5, true);
    return {
      storedBytes,
      holeOffset: this.#view.getUint16(this.#imageAt + 2, true),
      holeBytes,
      compression,
      isApplied: (info & version.imageApplied) !== 0,
    };
  }

  #reference(at: number, id: number): boolean {
    const view = this.#view;
    const flags = view.getUint8(at + 1);
    let next = at + 4;
    if (id <= this.id) return this.#refuse('block ids do not ascend');
    if ((flags & FORK_MASK) > FORK_MAX) return this.#refuse('unknown fork');
    const dataBytes = view.getUint16(at + 2, true);
    if ((flags & HAS_DATA) === 0 ? dataBytes > 0 : dataBytes === 0) {
      return this.#refuse('block data is announced and denied');
    }
    this.#announced += dataBytes;
    if ((flags & HAS_IMAGE) !== 0) {
      if (next + 5 > this.#heldEnd) return this.#refuse('a block reference is cut');
      this.#imageAt = next;
      const image = view.getUint8(next + 4);
      this.#announced += view.getUint16(next, true);
      const compressed = (image & (this.#version?.imageCompressedMask ?? 0)) !== 0;
      next += compressed && (image & IMAGE_HAS_HOLE) !== 0 ? 7 : 5;
    }
    const isSame = (flags & SAME_RELATION) !== 0;
    if (next + (isSame ? 4 : 16) > this.#heldEnd) return this.#refuse('a block reference is cut');
    if (!isSame) {
      this.tablespaceOid = view.getUint32(next, true);
      this.databaseOid = view.getUint32(next + 4, true);
      this.relfilenode = view.getUint32(next + 8, true);
      this.#hasRelation = true;
      next += 12;
    } else if (!this.#hasRelation) return this.#refuse('no relation precedes the same relation');
    this.block = view.getUint32(next, true);
    this.fork = flags & FORK_MASK;
    this.id = id;
    this.flags = flags;
    this.dataBytes = dataBytes;
    this.#at = next + 4;
    return true;
  }

  /** Fewer than five bytes are left: only short main data or a replication origin fit. */
  #atShortEnd(at: number): boolean {
    const left = this.#heldEnd - at;
    if (left >= 2 && this.#view.getUint8(at) === ID_DATA_SHORT) {
      return this.#mainData(at + 2, this.#view.getUint8(at + 1));
    }
    if (left >= 3 && this.#view.getUint8(at) === ID_ORIGIN) {
      this.#at += 3;
      return this.next();
    }
    return this.#refuse('a block reference is cut');
  }

  #mainData(at: number, bytes: number): false {
    this.#at = at;
    return at + this.#announced + bytes === this.#end
      ? false
      : this.#refuse('main data does not fit the record');
  }

  #refuse(problem: string): false {
    this.#problem = problem;
    return false;
  }
}

function compressionOf(info: number, version: WalVersion): ImageCompression {
  const { pglz, lz4, zstd } = version.imageCompressions;
  if ((info & pglz) !== 0) return 'pglz';
  if ((info & lz4) !== 0) return 'lz4';
  return (info & zstd) !== 0 ? 'zstd' : 'none';
}
