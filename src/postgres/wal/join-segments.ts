import { toLsn, type Lsn } from '../lsn.ts';
import { isResourceManager, readRecordHeader, RECORD_CRC_OFFSET } from './record-header.ts';
import { tryParseRecord } from './record-parser.ts';
import type { SegmentFacts } from './segment-facts.ts';
import { SegmentIndexBuilder, type SegmentIndex } from './segment-index.ts';
import { walVersionOf } from './versions/lookup.ts';
import { WalBytes } from './wal-bytes.ts';
import {
  LONG_PAGE_HEADER_BYTES,
  RECORD_HEADER_BYTES,
  SHORT_PAGE_HEADER_BYTES,
  WAL_PAGE_BYTES,
} from './wal-constants.ts';
import { WalRecord } from './wal-record.ts';

type JoinProblem =
  | 'not-adjacent'
  | 'other-system'
  | 'other-version'
  | 'timeline-goes-back'
  | 'previous-ends-early'
  | 'next-is-empty'
  | 'missing-continuation'
  | 'unexpected-continuation'
  | 'bad-continuation-length'
  | 'bad-prev-link'
  | 'bad-crc'
  | 'malformed-record';

/** The record that begins in one segment and ends in the next, read from the facts of both. */
export type StraddlingRecord = {
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
  /** Its one entry, if Walnut indexes its kind; counted from the start of the segment where it begins. */
  readonly index: SegmentIndex;
};

/**
 * - `joined`: the second segment continues the first; all that can be checked fits
 * - `needs-segments`: the lengths fit, but the straddling record is too long to be kept in facts: walk the segments
 *   from the one where it begins (`lsn`; `undefined` when that is before the first)
 * - `broken`: the second does not continue the first
 */
export type SegmentJoin =
  | { readonly kind: 'joined'; readonly straddling: StraddlingRecord | undefined }
  | { readonly kind: 'needs-segments'; readonly lsn: Lsn | undefined }
  | { readonly kind: 'broken'; readonly problem: JoinProblem };

/** Checks that `next` continues `previous`, and reads the record between them. */
export function joinSegments(previous: SegmentFacts, next: SegmentFacts): SegmentJoin {
  const problem = neighbourProblem(previous, next);
  if (problem !== undefined) return broken(problem);
  if (next.head?.overwritten === true) return linkTo(previous.lastRecordLsn, next);
  if (previous.tail !== undefined) return joinRecord(previous, next);
  const { head } = previous;
  if (previous.end === 'full' && head !== undefined && head.length < head.remainingBytes) {
    return joinMiddle(head.remainingBytes - head.length, next);
  }
  if (next.head !== undefined) return broken('unexpected-continuation');
  return linkTo(previous.lastRecordLsn, next);
}

function neighbourProblem(previous: SegmentFacts, next: SegmentFacts): JoinProblem | undefined {
  if (next.startLsn !== previous.startLsn + BigInt(previous.segmentBytes)) return 'not-adjacent';
  if (next.segmentBytes !== previous.segmentBytes) return 'not-adjacent';
  if (next.majorVersion === undefined) return 'next-is-empty';
  if (next.systemIdentifier !== previous.systemIdentifier) return 'other-system';
  if (next.majorVersion !== previous.majorVersion) return 'other-version';
  if (previous.end === 'stopped' || previous.end === 'short') return 'previous-ends-early';
  return next.timelines.first < previous.timelines.last ? 'timeline-goes-back' : undefined;
}

/** The whole of `previous` lies inside one record; its end is in `next` or behind it. */
function joinMiddle(remainingBytes: number, next: SegmentFacts): SegmentJoin {
  if (next.head === undefined) return broken('missing-continuation');
  if (next.head.remainingBytes !== remainingBytes) return broken('bad-continuation-length');
  return { kind: 'needs-segments', lsn: undefined };
}

function joinRecord(previous: SegmentFacts, next: SegmentFacts): SegmentJoin {
  const { tail } = previous;
  const { head } = next;
  if (tail?.totalBytes === undefined || head === undefined) return broken('missing-continuation');
  if (head.remainingBytes !== tail.totalBytes - tail.length) {
    return broken('bad-continuation-length');
  }
  if (next.firstRecordPrev !== undefined && next.firstRecordPrev !== tail.lsn) {
    return broken('bad-prev-link');
  }
  const isWhole = head.length === head.remainingBytes;
  if (!isWhole || tail.bytes === undefined || head.bytes === undefined) {
    return { kind: 'needs-segments', lsn: tail.lsn };
  }
  return readStraddling(Buffer.concat([tail.bytes, head.bytes]), previous, next);
}

function readStraddling(
  bytes: Uint8Array,
  previous: SegmentFacts,
  next: SegmentFacts,
): SegmentJoin {
  const header = readRecordHeader(bytes);
  if (header === undefined || previous.majorVersion === undefined || previous.tail === undefined) {
    return broken('malformed-record');
  }
  const version = walVersionOf(previous.majorVersion);
  if (!isResourceManager(header.resourceManager, version)) return broken('malformed-record');
  const before = previous.lastRecordLsn;
  if (before !== undefined && header.prev !== before) return broken('bad-prev-link');
  const source = new WalBytes(bytes);
  const crc = source.crc(source.crc(0, RECORD_HEADER_BYTES, bytes.length), 0, RECORD_CRC_OFFSET);
  if (crc !== header.crc) return broken('bad-crc');

  const record = new WalRecord(version, previous.startLsn);
  record.offset = Number(previous.tail.lsn - previous.startLsn);
  record.endOffset = Number(continuationEnd(next) - previous.startLsn);
  record.xid = header.xid;
  record.info = header.info;
  record.resourceManager = header.resourceManager;
  record.totalBytes = bytes.length;
  record.bytes = bytes;
  record.view = source.view;
  record.heldBytes = bytes.length;
  const builder = new SegmentIndexBuilder(previous.startLsn);
  const fact = tryParseRecord(record);
  if (fact === false) return broken('malformed-record');
  if (fact !== undefined) builder.add(fact, record);
  const { lsn, endLsn } = record;
  return { kind: 'joined', straddling: { lsn, endLsn, index: builder.build() } };
}

/** End of the continuation at the start of a segment, with its padding. */
function continuationEnd({ startLsn, head }: SegmentFacts): Lsn {
  let left = head?.length ?? 0;
  let pageAt = 0;
  let headerBytes = LONG_PAGE_HEADER_BYTES;
  while (left > WAL_PAGE_BYTES - headerBytes) {
    left -= WAL_PAGE_BYTES - headerBytes;
    pageAt += WAL_PAGE_BYTES;
    headerBytes = SHORT_PAGE_HEADER_BYTES;
  }
  return toLsn(startLsn + BigInt(pageAt + headerBytes + Math.ceil(left / 8) * 8));
}

function linkTo(previousRecord: Lsn | undefined, next: SegmentFacts): SegmentJoin {
  const { firstRecordPrev } = next;
  if (
    previousRecord !== undefined &&
    firstRecordPrev !== undefined &&
    firstRecordPrev !== previousRecord
  ) {
    return broken('bad-prev-link');
  }
  return { kind: 'joined', straddling: undefined };
}

function broken(problem: JoinProblem): SegmentJoin {
  return { kind: 'broken', problem };
}
