import { toLsn, type Lsn } from './lsn.ts';
import { formatTimelineId, toTimelineId, type TimelineId } from './timeline-id.ts';

declare const segmentNameBrand: unique symbol;

/** The 24 hexadecimal digits that name a WAL segment file: timeline, then segment number in two halves. */
export type SegmentName = string & { readonly [segmentNameBrand]: true };

const SEGMENT_BYTES_MIN: number = 1024 * 1024;
const SEGMENT_BYTES_MAX: number = 1024 * 1024 * 1024;

const SEGMENT_NAME = /^[0-9A-F]{24}$/;
const FOUR_GIGABYTES = 0x1_0000_0000;

export type SegmentPosition = {
  readonly timeline: TimelineId;
  /** LSN divided by the segment size. */
  readonly number: bigint;
};

export function isSegmentName(text: string): text is SegmentName {
  return SEGMENT_NAME.test(text);
}

/** WAL segments are a power of two between 1 MB and 1 GB (`initdb --wal-segsize`). */
export function isSegmentSize(bytes: number): boolean {
  return (
    bytes >= SEGMENT_BYTES_MIN && bytes <= SEGMENT_BYTES_MAX && Number.isInteger(Math.log2(bytes))
  );
}

/**
 * The name of a segment file. Source: `XLogFileName` in src/include/access/xlog_internal.h.
 * @param segmentBytes the cluster's `wal_segment_size`.
 */
export function formatSegmentName(position: SegmentPosition, segmentBytes: number): SegmentName {
  const perId = BigInt(FOUR_GIGABYTES / segmentBytes);
  const high = hexadecimal8(position.number / perId);
  const low = hexadecimal8(position.number % perId);
  return `${formatTimelineId(position.timeline)}${high}${low}` as SegmentName;
}

/** Reverses {@link formatSegmentName}; throws `SyntaxError` for a name impossible at this segment size. */
export function parseSegmentName(name: string, segmentBytes: number): SegmentPosition {
  if (!isSegmentName(name)) {
    throw new SyntaxError(`parse WAL segment name "${name}": expected 24 hexadecimal digits`);
  }
  const perId = BigInt(FOUR_GIGABYTES / segmentBytes);
  const high = BigInt(`0x${name.slice(8, 16)}`);
  const low = BigInt(`0x${name.slice(16)}`);
  if (low >= perId) {
    throw new SyntaxError(
      `parse WAL segment name "${name}": impossible with segments of ${segmentBytes} bytes`,
    );
  }
  return {
    timeline: toTimelineId(Number.parseInt(name.slice(0, 8), 16)),
    number: high * perId + low,
  };
}

/** The number of the segment that holds the byte at `lsn`. */
export function segmentNumberAt(lsn: Lsn, segmentBytes: number): bigint {
  return lsn / BigInt(segmentBytes);
}

/** The number of the segment that holds the last byte before `lsn`. */
export function segmentNumberBefore(lsn: Lsn, segmentBytes: number): bigint {
  return (lsn - 1n) / BigInt(segmentBytes);
}

export function segmentStart(number: bigint, segmentBytes: number): Lsn {
  return toLsn(number * BigInt(segmentBytes));
}

export function offsetInSegment(lsn: Lsn, segmentBytes: number): number {
  return Number(lsn % BigInt(segmentBytes));
}

function hexadecimal8(value: bigint): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}
