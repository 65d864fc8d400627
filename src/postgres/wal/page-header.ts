import { toLsn, type Lsn } from '../lsn.ts';
import {
  LONG_PAGE_HEADER_BYTES,
  PAGE_FLAG_FIRST_IS_CONTRECORD,
  PAGE_FLAG_LONG_HEADER,
  SHORT_PAGE_HEADER_BYTES,
  WAL_PAGE_BYTES,
} from './wal-constants.ts';
import type { WalStopReason } from './wal-stop.ts';
import type { WalVersion } from './versions/wal-version.ts';

/*
 * XLogPageHeaderData and XLogLongPageHeaderData, src/include/access/xlog_internal.h, little-endian:
 *   0 u16 magic   2 u16 info   4 u32 timeline   8 u64 page address   16 u32 rem_len   20 padding
 *   24 u64 system identifier   32 u32 segment size   36 u32 block size      (first page of a segment only)
 */

export type PageHeader = {
  readonly magic: number;
  readonly timeline: number;
  readonly address: Lsn;
  /** Bytes of a record begun earlier that this page and its successors still hold. */
  readonly remainingBytes: number;
  readonly continuesRecord: boolean;
  /** Only in the first page of a segment. */
  readonly long:
    | {
        readonly systemIdentifier: bigint;
        readonly segmentBytes: number;
        readonly blockBytes: number;
      }
    | undefined;
};

/** Reads a page header without judging it; `undefined` when there are too few bytes. */
export function readPageHeader(bytes: Uint8Array): PageHeader | undefined {
  if (bytes.length < SHORT_PAGE_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const info = view.getUint16(2, true);
  const isLong = (info & PAGE_FLAG_LONG_HEADER) !== 0;
  if (isLong && bytes.length < LONG_PAGE_HEADER_BYTES) return undefined;
  return {
    magic: view.getUint16(0, true),
    timeline: view.getUint32(4, true),
    address: toLsn(view.getBigUint64(8, true)),
    remainingBytes: view.getUint32(16, true),
    continuesRecord: (info & PAGE_FLAG_FIRST_IS_CONTRECORD) !== 0,
    long: isLong
      ? {
          systemIdentifier: view.getBigUint64(24, true),
          segmentBytes: view.getUint32(32, true),
          blockBytes: view.getUint32(36, true),
        }
      : undefined,
  };
}

/** Where a record begins that follows WAL which ends at `lsn`: behind the page header, if one stands there. */
export function recordPosition(lsn: Lsn, segmentBytes: number): Lsn {
  if (lsn % BigInt(WAL_PAGE_BYTES) !== 0n) return lsn;
  const isSegmentStart = lsn % BigInt(segmentBytes) === 0n;
  return toLsn(lsn + BigInt(isSegmentStart ? LONG_PAGE_HEADER_BYTES : SHORT_PAGE_HEADER_BYTES));
}

/** What a page header must say; addresses in two halves, because BigInt is too slow per page. */
export type PageExpectation = {
  version: WalVersion;
  addressHigh: number;
  addressLow: number;
  /** Whether the page is the first of a segment. */
  segmentStart: boolean;
  segmentBytes: number;
  systemIdentifier: bigint | undefined;
  timelineMin: number;
  timelineMax: number;
};

/** Checks the page header at `offset`, as XLogReaderValidatePageHeader does; `undefined` when it fits. */
export function pageProblem(
  view: DataView,
  offset: number,
  expected: Readonly<PageExpectation>,
): WalStopReason | undefined {
  const info = view.getUint16(offset + 2, true);
  if (view.getUint16(offset, true) !== expected.version.pageMagic) return 'wrong-magic';
  if ((info & ~expected.version.pageFlagsAll) !== 0) return 'bad-page-flags';
  if (((info & PAGE_FLAG_LONG_HEADER) !== 0) !== expected.segmentStart) return 'bad-page-flags';
  if (expected.segmentStart) {
    const problem = longHeaderProblem(view, offset, expected);
    if (problem !== undefined) return problem;
  }
  if (
    view.getUint32(offset + 8, true) !== expected.addressLow ||
    view.getUint32(offset + 12, true) !== expected.addressHigh
  ) {
    return 'bad-page-address';
  }
  const timeline = view.getUint32(offset + 4, true);
  if (timeline < expected.timelineMin || timeline > expected.timelineMax) return 'wrong-timeline';
  return undefined;
}

function longHeaderProblem(
  view: DataView,
  offset: number,
  expected: Readonly<PageExpectation>,
): WalStopReason | undefined {
  const { systemIdentifier } = expected;
  if (systemIdentifier !== undefined && view.getBigUint64(offset + 24, true) !== systemIdentifier) {
    return 'wrong-system-id';
  }
  if (view.getUint32(offset + 32, true) !== expected.segmentBytes) return 'wrong-segment-size';
  return view.getUint32(offset + 36, true) === WAL_PAGE_BYTES ? undefined : 'wrong-block-size';
}
