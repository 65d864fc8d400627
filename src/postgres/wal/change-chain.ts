import { combineCrc32c, withoutPrefixCrc32c } from '../../lib/crc-combine.ts';
import { toLsn, type Lsn } from '../lsn.ts';
import { ChangeCollector } from './change-collector.ts';
import { ChangeMap } from './change-map.ts';
import type { ChangeSpan, RecordFragment } from './change-span.ts';
import { isResourceManager, readRecordHeader, RECORD_CRC_OFFSET } from './record-header.ts';
import { isParsed, tryParseRecord } from './record-parser.ts';
import { UnusableReasons, type UnusableWal } from './unusable-wal.ts';
import { walVersionOf } from './versions/lookup.ts';
import { WalBytes } from './wal-bytes.ts';
import { RECORD_HEADER_BYTES } from './wal-constants.ts';
import { WalRecord } from './wal-record.ts';

const JOIN_PROBLEMS = {
  'not-adjacent': 'it does not begin where the WAL before it ends',
  'other-cluster': 'it belongs to another database system, version or segment size',
  'timeline-goes-back': 'it lies on an older timeline than the WAL before it',
  'missing-continuation': 'it does not continue the record begun before it',
  'unexpected-continuation': 'it continues a record that was not begun',
  'bad-continuation-length': 'it continues the record with another length',
  'bad-prev-link': 'its first record does not point back to the last one before it',
  'bad-crc': 'the checksum of the record that goes on in it does not match',
  'malformed-record': 'the record that goes on in it cannot be read',
} as const;

export type JoinProblem = keyof typeof JOIN_PROBLEMS;

export function describeJoinProblem(problem: JoinProblem): string {
  return JOIN_PROBLEMS[problem];
}

/** What one record says, when spans do not keep enough of it. */
export type RecordChanges = Pick<ChangeSpan, 'map' | 'unusable'>;

/**
 * - `joined`: all that can be checked fits
 * - `needs-record`: the record that begins at `lsn` goes on into the span, and its main data, which matters, is not kept:
 *   read it from WAL and append the span again with what it says
 * - `broken`: the span does not continue the chain
 */
export type ChainStep =
  | { readonly kind: 'joined' }
  | { readonly kind: 'needs-record'; readonly lsn: Lsn }
  | { readonly kind: 'broken'; readonly problem: JoinProblem };

const JOINED: ChainStep = { kind: 'joined' };

/**
 * Joins spans, in order, into one. A record that goes on from one into the next belongs to where it begins; it counts
 * when its end has been seen and its checksum, made from those of its parts, fits.
 */
export class ChangeChain {
  readonly #map = new ChangeMap();
  readonly #unusable = new UnusableReasons();
  /** The present end: every field is of all spans so far, except `map` and `unusable`. */
  #joined: ChangeSpan | undefined;

  /** All records that begin before this LSN are in the map; `undefined` for an empty chain. */
  get completeTo(): Lsn | undefined {
    return this.#joined?.tail?.lsn ?? this.#joined?.endLsn;
  }

  get map(): ChangeMap {
    return this.#map;
  }

  get unusable(): UnusableWal[] {
    return this.#unusable.list();
  }

  /** The whole chain as one span. */
  get span(): ChangeSpan | undefined {
    const joined = this.#joined;
    return joined && { ...joined, map: this.#map, unusable: this.unusable };
  }

  /** After `needs-record` or `broken` the chain is as it was before. */
  append(next: ChangeSpan, straddling?: RecordChanges): ChainStep {
    const before = this.#joined;
    if (before === undefined) {
      this.#joined = next;
      return this.#take(next);
    }
    const problem = neighbourProblem(before, next);
    if (problem !== undefined) return broken(problem);
    const join = joinEdges(before, next);
    if ('problem' in join) return broken(join.problem);
    let lastRecordLsn = before.lastRecordLsn;
    if (join.finished !== undefined) {
      const read = straddling ?? readFinished(join.finished, before);
      if (typeof read === 'string') {
        return read === 'needs-record'
          ? { kind: 'needs-record', lsn: join.finished.lsn }
          : broken(read);
      }
      lastRecordLsn = join.finished.lsn;
      if (!linksTo(lastRecordLsn, next)) return broken('bad-prev-link');
      this.#map.merge(read.map);
      this.#unusable.merge(read.unusable);
    } else if (!linksTo(lastRecordLsn, next)) return broken('bad-prev-link');
    this.#joined = {
      ...next,
      startLsn: before.startLsn,
      timelines: { first: before.timelines.first, last: next.timelines.last },
      firstRecord: before.firstRecord ?? next.firstRecord,
      lastRecordLsn: next.lastRecordLsn ?? lastRecordLsn,
      head: join.head,
      tail: join.tail,
    };
    return this.#take(next);
  }

  #take({ map, unusable }: ChangeSpan): ChainStep {
    this.#map.merge(map);
    this.#unusable.merge(unusable);
    return JOINED;
  }
}

function neighbourProblem(before: ChangeSpan, next: ChangeSpan): JoinProblem | undefined {
  if (!before.isClosed || next.startLsn !== before.endLsn) return 'not-adjacent';
  if (
    next.systemIdentifier !== before.systemIdentifier ||
    next.majorVersion !== before.majorVersion ||
    next.segmentBytes !== before.segmentBytes
  ) {
    return 'other-cluster';
  }
  return next.timelines.first < before.timelines.last ? 'timeline-goes-back' : undefined;
}

type Tail = NonNullable<ChangeSpan['tail']>;

type JoinedEdges = {
  readonly head: ChangeSpan['head'];
  readonly tail: ChangeSpan['tail'];
  /** The record that began before and ends in the next span. */
  readonly finished?: Tail;
};

/** What becomes of the record over the border. */
function joinEdges(
  before: ChangeSpan,
  next: ChangeSpan,
): JoinedEdges | { readonly problem: JoinProblem } {
  const { head, tail } = before;
  const isInsideHead = head !== undefined && !head.overwritten && head.length < head.remainingBytes;
  if (next.head?.overwritten === true) {
    return { head: isInsideHead ? { ...head, overwritten: true } : head, tail: next.tail };
  }
  if (isInsideHead) {
    if (next.head === undefined) return { problem: 'missing-continuation' };
    if (next.head.remainingBytes !== head.remainingBytes - head.length) {
      return { problem: 'bad-continuation-length' };
    }
    return { head: { ...head, ...appended(head, next.head) }, tail: next.tail };
  }
  if (tail === undefined) {
    return next.head === undefined
      ? { head, tail: next.tail }
      : { problem: 'unexpected-continuation' };
  }
  if (next.head === undefined) return { problem: 'missing-continuation' };
  if (next.head.remainingBytes !== tail.totalBytes - tail.length) {
    return { problem: 'bad-continuation-length' };
  }
  const longer = { ...tail, ...appended(tail, next.head) };
  if (longer.length < longer.totalBytes) return { head, tail: longer };
  return { head, tail: next.tail, finished: longer };
}

function appended(first: RecordFragment, second: RecordFragment): RecordFragment {
  const isWhole = first.bytes.length === first.length;
  return {
    length: first.length + second.length,
    bytes: isWhole ? Buffer.concat([first.bytes, second.bytes]) : first.bytes,
    crc: combineCrc32c(first.crc, second.crc, second.length),
  };
}

function linksTo(record: Lsn | undefined, next: ChangeSpan): boolean {
  return record === undefined || next.firstRecord === undefined || next.firstRecord.prev === record;
}

function readFinished(
  finished: Tail,
  before: ChangeSpan,
): RecordChanges | 'needs-record' | JoinProblem {
  const { bytes, totalBytes, lsn } = finished;
  const header = readRecordHeader(bytes);
  const version = walVersionOf(before.majorVersion);
  if (header === undefined || !isResourceManager(header.resourceManager, version)) {
    return 'malformed-record';
  }
  if (before.lastRecordLsn !== undefined && header.prev !== before.lastRecordLsn) {
    return 'bad-prev-link';
  }
  if (recordCrc(finished) !== header.crc) return 'bad-crc';
  const { resourceManager, info } = header;
  const isWhole = bytes.length >= totalBytes;
  if (!isWhole && isParsed(resourceManager, info)) return 'needs-record';
  const record = new WalRecord(version, lsn);
  record.prev = { high: Number(header.prev >> 32n), low: Number(header.prev & 0xffff_ffffn) };
  record.xid = header.xid;
  record.info = info;
  record.resourceManager = resourceManager;
  record.totalBytes = totalBytes;
  record.bytes = bytes;
  record.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  record.heldBytes = Math.min(bytes.length, totalBytes);
  const fact = tryParseRecord(record);
  if (fact === false) return 'malformed-record';
  const collector = new ChangeCollector(toLsn(lsn));
  collector.add(record, fact);
  return { map: collector.map, unusable: collector.unusable.list() };
}

/** The checksum as a record's header has it: of the body, then of the header up to the checksum. */
function recordCrc({ bytes, crc, totalBytes }: Tail): number {
  const source = new WalBytes(bytes);
  const header = source.crc(0, 0, RECORD_HEADER_BYTES);
  const body = withoutPrefixCrc32c(crc, header, totalBytes - RECORD_HEADER_BYTES);
  return source.crc(body, 0, RECORD_CRC_OFFSET);
}

function broken(problem: JoinProblem): ChainStep {
  return { kind: 'broken', problem };
}
