import { toLsn, type Lsn } from '../lsn.ts';
import { pageChecksum } from './page-checksum.ts';

/** Bytes of a page; Walnut refuses clusters built with another block size. */
export const PAGE_BYTES = 8192;

/** Bytes of a page's header. */
const PAGE_HEADER_BYTES = 24;

/** `pd_pagesize_version` of all supported versions: 8192 bytes, layout 4. */
const PAGE_SIZE_AND_VERSION = 0x2004;
/** PD_HAS_FREE_LINES, PD_PAGE_FULL, PD_ALL_VISIBLE. */
const VALID_FLAGS = 0x7;

/** `PageHeaderData` (src/include/storage/bufpage.h). */
export type PageHeader = {
  /** End of the WAL record that changed the page last. */
  readonly lsn: Lsn;
  readonly checksum: number;
  readonly flags: number;
  readonly lower: number;
  readonly upper: number;
  readonly special: number;
  readonly sizeAndVersion: number;
};

/** Reads the header of the page that begins at `offset`. */
export function parsePageHeader(bytes: Uint8Array, offset = 0): PageHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, PAGE_HEADER_BYTES);
  return {
    // Two halves, the high one first, each in the machine's order.
    lsn: toLsn((BigInt(view.getUint32(0, true)) << 32n) | BigInt(view.getUint32(4, true))),
    checksum: view.getUint16(8, true),
    flags: view.getUint16(10, true),
    lower: view.getUint16(12, true),
    upper: view.getUint16(14, true),
    special: view.getUint16(16, true),
    sizeAndVersion: view.getUint16(18, true),
  };
}

/** True for a page that PostgreSQL takes for one that was never written (`PageIsNew`). */
export function isNewPage(header: PageHeader): boolean {
  return header.upper === 0;
}

/** What PostgreSQL checks of a page even without checksums (`PageIsVerified`), and its size and version. */
export function hasSaneHeader(header: PageHeader): boolean {
  const { flags, lower, upper, special, sizeAndVersion } = header;
  return (
    (flags & ~VALID_FLAGS) === 0 &&
    lower >= PAGE_HEADER_BYTES &&
    lower <= upper &&
    upper <= special &&
    special <= PAGE_BYTES &&
    special % 8 === 0 &&
    sizeAndVersion === PAGE_SIZE_AND_VERSION
  );
}

/**
 * What is wrong with a page: `checksum` does not match; `header` makes no sense; or it is `not-zero` though it claims to
 * be new.
 */
export type PageProblem = 'checksum' | 'header' | 'not-zero';

export type PageCheck = {
  /** The page's number in its relation fork: block in the file + segment · 131072. */
  readonly block: number;
  /** True when the cluster has data checksums. */
  readonly verifyChecksums: boolean;
  /**
   * Where the backup began. The checksum of a page changed since then is not looked at, because it may have been read
   * while it was written, and WAL replay writes it anew; nor is it known to be old enough to have one.
   */
  readonly startLsn: bigint;
};

/** Checks one page of {@link PAGE_BYTES}; null when nothing is wrong. `PageScanner` does the same for many. */
export function pageProblem(page: Uint8Array, check: PageCheck): PageProblem | null {
  const header = parsePageHeader(page);
  if (isNewPage(header)) return page.every((byte) => byte === 0) ? null : 'not-zero';
  if (check.verifyChecksums && header.lsn < check.startLsn) {
    return pageChecksum(page, check.block) === header.checksum ? null : 'checksum';
  }
  return hasSaneHeader(header) ? null : 'header';
}
