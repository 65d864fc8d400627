/**
 * Makes two copies of a page comparable that were brought to the same LSN on different ways: what PostgreSQL changes
 * without WAL is set to zero. After `src/backend/access/common/bufmask.c` and the mask function of each access method,
 * which serve `wal_consistency_checking`; where those may compare a page with the image in its own record and we
 * compare it with a copy of the live file (sequences, the cache in an SP-GiST metapage), more is masked.
 */
import {
  PAGE_BYTES,
  parsePageHeader,
  type PageHeader,
} from '../../src/postgres/cluster/data-page.ts';

/** What wrote the page, told by the special space, as pg_filedump does. */
type PageKind =
  | 'heap'
  | 'sequence'
  | 'btree'
  | 'hash'
  | 'gist'
  | 'spgist'
  | 'gin'
  | 'brin'
  | 'bloom'
  | 'unknown';

const HEADER_BYTES = 24;
const LINE_POINTER_BYTES = 4;
const LP_NORMAL = 1;
const LP_REDIRECT = 2;

/** HEAP_XACT_MASK, and of it XMIN_FROZEN, XMAX_COMMITTED | XMAX_INVALID (src/include/access/htup_details.h). */
const HEAP_XACT_MASK = 0xfff0;
const HEAP_XMIN_FROZEN = 0x0300;
const HEAP_XMAX_HINTS = 0x0c00;
const SPECULATIVE_OFFSET = 0xfffe;

const SEQUENCE_MAGIC = 0x1717;
const CYCLE_ID_MAX = 0xff7f;
const PAGE_IDS: Readonly<Record<number, PageKind>> = {
  0xff80: 'hash',
  0xff81: 'gist',
  0xff82: 'spgist',
  0xff83: 'bloom',
  0xf091: 'brin',
  0xf092: 'brin',
  0xf093: 'brin',
};
const BRIN_META = 0xf091;
const BRIN_REVMAP = 0xf092;

const BTREE = { leaf: 1, deleted: 4, splitEnd: 32, hasGarbage: 64, hasFullXid: 256 } as const;
const GIST = { leaf: 1, followRight: 8, hasGarbage: 16 } as const;
const HASH = { pageType: 0xf, unused: 0, overflow: 1, bucket: 2, hasDeadTuples: 128 } as const;
const GIN_DELETED = 4;
/** Larger flags than GIN has (src/include/access/ginblock.h). */
const GIN_FLAGS_LIMIT = 0x100;
const SPGIST_META = 1;

type MaskedPage = { readonly page: Buffer; readonly header: PageHeader; readonly block: number };

/** A masked copy of the page; one whose header makes no sense is masked as little as possible. */
export function maskPage(page: Uint8Array, block: number): Buffer {
  const masked = Buffer.from(page);
  const header = parsePageHeader(masked);
  const { lower, upper, special } = header;
  const isSane = HEADER_BYTES <= lower && lower <= upper && upper <= special;
  const kind = pageKind(masked, header);
  maskHeader(masked);
  if (isSane && special <= PAGE_BYTES) MASKS[kind]({ page: masked, header, block });
  return masked;
}

/**
 * True for a page that holds nothing and that WAL need not know: zeros, as after an extension of the file, or just
 * initialised, which gives it no LSN. Where WAL alone made the file it may be zeros or not be there at all. Also for the
 * unused last page of new buckets, which `_hash_alloc_buckets` writes before its WAL is safe.
 */
export function isBlankPage(page: Buffer): boolean {
  const header = parsePageHeader(page);
  if (header.upper === 0) return page.every((byte) => byte === 0);
  if (header.lower !== HEADER_BYTES) return false;
  if (header.lsn === 0n) return true;
  const isHash = pageKind(page, header) === 'hash';
  return isHash && (page.readUInt16LE(header.special + 12) & HASH.pageType) === HASH.unused;
}

export function pageKind(page: Uint8Array, { special }: PageHeader): PageKind {
  if (special === PAGE_BYTES) return 'heap';
  if (special < HEADER_BYTES || special > PAGE_BYTES - 8) return 'unknown';
  const view = new DataView(page.buffer, page.byteOffset, PAGE_BYTES);
  const id = view.getUint16(PAGE_BYTES - 2, true);
  const known = PAGE_IDS[id];
  if (known !== undefined) return known;
  if (special === PAGE_BYTES - 16 && id <= CYCLE_ID_MAX) return 'btree';
  if (special !== PAGE_BYTES - 8) return 'unknown';
  if (view.getUint32(special, true) === SEQUENCE_MAGIC) return 'sequence';
  return id < GIN_FLAGS_LIMIT ? 'gin' : 'unknown';
}

/** LSN, checksum, the flags that are hints, and the hint for pruning. */
function maskHeader(page: Buffer): void {
  page.fill(0, 0, 10);
  page.writeUInt16LE(0, 10);
  page.writeUInt32LE(0, 20);
}

const MASKS: Readonly<Record<PageKind, (masked: MaskedPage) => void>> = {
  heap(masked) {
    maskUnusedSpace(masked);
    for (const pointer of linePointers(masked)) maskHeapTuple(masked, pointer);
  },
  /** The live page holds what was handed out, WAL the value that was logged ahead. */
  sequence: maskContent,
  btree(masked) {
    const { page, header } = masked;
    const flags = page.readUInt16LE(header.special + 12);
    if (hasFlag(flags, BTREE.deleted) && !hasFlag(flags, BTREE.hasFullXid)) {
      maskContent(masked);
      return;
    }
    maskUnusedSpace(masked);
    if (hasFlag(flags, BTREE.leaf)) maskLinePointerFlags(masked);
    page.writeUInt16LE(flags & ~(BTREE.hasGarbage | BTREE.splitEnd), header.special + 12);
    page.writeUInt16LE(0, header.special + 14);
  },
  hash(masked) {
    const { page, header } = masked;
    const flags = page.readUInt16LE(header.special + 12);
    const type = flags & HASH.pageType;
    if (type === HASH.unused) {
      maskContent(masked);
      return;
    }
    maskUnusedSpace(masked);
    if (type === HASH.bucket || type === HASH.overflow) maskLinePointerFlags(masked);
    page.writeUInt16LE(flags & ~HASH.hasDeadTuples, header.special + 12);
  },
  gist(masked) {
    const { page, header } = masked;
    const flags = page.readUInt16LE(header.special + 12);
    maskUnusedSpace(masked);
    page.fill(0, header.special, header.special + 8);
    page.writeUInt16LE((flags | GIST.followRight) & ~GIST.hasGarbage, header.special + 12);
    if (hasFlag(flags, GIST.leaf)) maskLinePointerFlags(masked);
  },
  spgist(masked) {
    const { page, header } = masked;
    maskUnusedSpace(masked);
    if (hasFlag(page.readUInt16LE(header.special), SPGIST_META)) maskContent(masked);
  },
  gin(masked) {
    const { page, header } = masked;
    if (hasFlag(page.readUInt16LE(header.special + 6), GIN_DELETED)) maskContent(masked);
    else if (header.lower > HEADER_BYTES) maskUnusedSpace(masked);
  },
  brin(masked) {
    const type = masked.page.readUInt16LE(PAGE_BYTES - 2);
    const isSet = type !== BRIN_META || masked.header.lower > HEADER_BYTES;
    if (type !== BRIN_REVMAP && isSet) maskUnusedSpace(masked);
    masked.page.writeUInt16LE(0, PAGE_BYTES - 4);
  },
  bloom: maskUnusedSpace,
  unknown() {},
};

function maskUnusedSpace({ page, header }: MaskedPage): void {
  page.fill(0, header.lower, header.upper);
}

/** Everything behind the header, and the bounds of the content in it. */
function maskContent({ page }: MaskedPage): void {
  page.fill(0, 12, 16);
  page.fill(0, HEADER_BYTES);
}

/** Offsets in the page of the line pointers. */
function linePointers({ header }: MaskedPage): number[] {
  const count = Math.floor((header.lower - HEADER_BYTES) / LINE_POINTER_BYTES);
  return Array.from({ length: count }, (_, at) => HEADER_BYTES + at * LINE_POINTER_BYTES);
}

/** `ItemIdData`: 15 bits offset, 2 bits flags, 15 bits length. */
function readLinePointer(
  page: Buffer,
  pointer: number,
): { at: number; flags: number; length: number } {
  const bits = page.readUInt32LE(pointer);
  return { at: bits & 0x7fff, flags: (bits >>> 15) & 3, length: bits >>> 17 };
}

function maskLinePointerFlags(masked: MaskedPage): void {
  for (const pointer of linePointers(masked)) {
    const bits = masked.page.readUInt32LE(pointer);
    masked.page.writeUInt32LE((bits & ~(3 << 15)) >>> 0, pointer);
  }
}

/** Hint bits, the command id, the token of a speculative insertion, and the padding behind the tuple. */
function maskHeapTuple({ page, block }: MaskedPage, pointer: number): void {
  const { at, flags, length } = readLinePointer(page, pointer);
  if (flags === LP_NORMAL && at + HEADER_BYTES <= PAGE_BYTES) {
    const infomask = page.readUInt16LE(at + 20);
    const isFrozen = (infomask & HEAP_XMIN_FROZEN) === HEAP_XMIN_FROZEN;
    page.writeUInt16LE(infomask & ~(isFrozen ? HEAP_XMAX_HINTS : HEAP_XACT_MASK), at + 20);
    page.writeUInt32LE(0, at + 8);
    if (page.readUInt16LE(at + 16) === SPECULATIVE_OFFSET) {
      page.writeUInt16LE(block >>> 16, at + 12);
      page.writeUInt16LE(block & 0xffff, at + 14);
      page.writeUInt16LE((pointer - HEADER_BYTES) / LINE_POINTER_BYTES + 1, at + 16);
    }
  }
  if (flags !== LP_REDIRECT && length > 0) {
    page.fill(0, at + length, Math.min(PAGE_BYTES, at + Math.ceil(length / 8) * 8));
  }
}

function hasFlag(flags: number, flag: number): boolean {
  return (flags & flag) !== 0;
}
