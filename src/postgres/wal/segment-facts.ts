import { WalnutError } from '../../lib/walnut-error.ts';
import { formatLsn, minLsn, toLsn, type Lsn } from '../lsn.ts';
import { parseSegmentName, segmentStart } from '../segment-name.ts';
import type { MajorVersion } from '../version.ts';
import type { HeadContinuation } from './continuation-head.ts';
import type { TailFragment } from './partial-record.ts';
import { ChangeCollector, COLLECTED_BYTES, type RecordBounds } from './change-collector.ts';
import type { ChangeSpan } from './change-span.ts';
import { isParsed, tryParseRecord } from './record-parser.ts';
import { RecordWalker, type WalkStatus } from './record-walker.ts';
import { SegmentIndexBuilder, type SegmentIndex } from './segment-index.ts';
import { TRANSACTION_KINDS } from './transaction-record.ts';
import { RESOURCE_MANAGERS, XLOG_OPERATIONS } from './wal-constants.ts';
import { isNaturalEnd, walStopError, type WalStop } from './wal-stop.ts';

/**
 * How the WAL of a segment ends:
 * - `full`: valid to its last byte; a record may go on in the next segment (`tail`, or `head` without an end)
 * - `switch`: by XLOG_SWITCH; the rest is unused
 * - `stopped`: by something that is not valid WAL, as in a `.partial` file
 * - `short`: the bytes given end before the segment does, as in a piece of an open segment
 */
export type SegmentEnd = 'full' | 'switch' | 'stopped' | 'short';

/** What one pass over a segment finds; enough to check that neighbours join without reading them again. */
export type SegmentFacts = {
  /** The 24 digits of its file name. */
  readonly name: string;
  readonly segmentBytes: number;
  readonly startLsn: Lsn;
  /** `undefined`, like the system identifier, when the first page could not be accepted. */
  readonly majorVersion: MajorVersion | undefined;
  readonly systemIdentifier: bigint | undefined;
  /** Of the first and the last page; the first may be a parent of the name's timeline. 0 when unknown. */
  readonly timelines: { readonly first: number; readonly last: number };
  readonly recordCount: number;
  /** The first record that begins here. */
  readonly firstRecordLsn: Lsn | undefined;
  /** Its `xl_prev`: the last record that begins before the segment. */
  readonly firstRecordPrev: Lsn | undefined;
  /** The last record that begins and ends here. */
  readonly lastRecordLsn: Lsn | undefined;
  readonly end: SegmentEnd;
  /**
   * Where valid WAL ends: the end of the last whole record; for `full` the end of the segment; for `switch` where the
   * unused rest begins. Never behind the bytes given.
   */
  readonly validEnd: Lsn;
  readonly stop: WalStop | undefined;
  readonly head: HeadContinuation | undefined;
  readonly tail: TailFragment | undefined;
  readonly index: SegmentIndex;
};

export type SegmentOptions = {
  /** 24 hexadecimal digits, without `.partial` or other endings. */
  readonly name: string;
  readonly segmentBytes: number;
  readonly majorVersion?: MajorVersion | undefined;
  readonly systemIdentifier?: bigint | undefined;
  /** Which records count as changes; all by default. Facts are always of all. */
  readonly changes?: RecordBounds | undefined;
};

/**
 * Walks one segment that arrives in pieces and collects its facts; memory does not grow with the segment, except for
 * the index.
 */
export class SegmentDescriber {
  readonly #options: SegmentOptions;
  readonly #startLsn: Lsn;
  readonly #walker: RecordWalker;
  readonly #index: SegmentIndexBuilder;
  readonly #changes: ChangeCollector;
  #fedBytes = 0;

  /** @throws SyntaxError when the name is impossible at this segment size. */
  constructor(options: SegmentOptions) {
    const { name, segmentBytes, majorVersion, systemIdentifier } = options;
    const { timeline, number } = parseSegmentName(name, segmentBytes);
    this.#options = options;
    this.#startLsn = segmentStart(number, segmentBytes);
    const index = new SegmentIndexBuilder(this.#startLsn);
    this.#index = index;
    const changes = new ChangeCollector(this.#startLsn, options.changes);
    this.#changes = changes;
    this.#walker = new RecordWalker({
      start: this.#startLsn,
      segmentBytes,
      majorVersion,
      systemIdentifier,
      timelineMax: timeline,
      visitor: {
        wantedBytes: (manager, info) => (isParsed(manager, info) ? Infinity : COLLECTED_BYTES),
        record: (record) => {
          const fact = tryParseRecord(record);
          if (fact === false) return false;
          if (fact !== undefined) index.add(fact, record);
          changes.add(record, fact);
          return true;
        },
      },
    });
  }

  /** Takes the next bytes of the segment. @throws WalnutError `object-damaged` beyond the segment's size. */
  feed(bytes: Uint8Array): WalkStatus {
    this.#fedBytes += bytes.length;
    const { name, segmentBytes } = this.#options;
    if (this.#fedBytes > segmentBytes) {
      throw new WalnutError(
        'object-damaged',
        `read WAL segment ${name}: it is longer than ${segmentBytes} bytes`,
      );
    }
    return this.#walker.feed(bytes);
  }

  /** Where valid WAL ends so far: the end of the last whole record. */
  get validEnd(): Lsn {
    return this.#walker.validEnd;
  }

  /** The facts of what was fed; nothing may be fed afterwards. */
  finish(): SegmentFacts {
    const walker = this.#walker;
    const { name, segmentBytes } = this.#options;
    const end = this.#end();
    const first = walker.firstRecord;
    return {
      name,
      segmentBytes,
      startLsn: this.#startLsn,
      majorVersion: walker.version?.major,
      systemIdentifier: walker.systemIdentifier,
      timelines: walker.timelines,
      recordCount: walker.recordCount,
      firstRecordLsn: first?.lsn,
      firstRecordPrev: first?.prev,
      lastRecordLsn: walker.lastRecordLsn,
      end,
      validEnd: this.#validEndOf(end),
      stop: end === 'stopped' ? walker.stop : undefined,
      head: walker.head,
      tail: walker.tail,
      index: this.#index.build(),
    };
  }

  /** What the WAL that was fed changes in relation files; `undefined` when its first page could not be accepted. */
  changes(): ChangeSpan | undefined {
    const walker = this.#walker;
    const { version, systemIdentifier, head, tail } = walker;
    if (version === undefined || systemIdentifier === undefined) return undefined;
    const end = this.#end();
    const fragments = walker.fragments();
    const isClosed = end === 'full' || end === 'switch';
    const { segmentBytes } = this.#options;
    return {
      startLsn: this.#startLsn,
      endLsn: isClosed ? toLsn(this.#startLsn + BigInt(segmentBytes)) : walker.validEnd,
      isClosed,
      segmentBytes,
      majorVersion: version.major,
      systemIdentifier,
      timelines: walker.timelines,
      firstRecord: walker.firstRecord,
      lastRecordLsn: walker.lastRecordLsn,
      head: head && { ...fragments.head, ...edgeOf(head) },
      tail:
        isClosed && tail?.totalBytes !== undefined
          ? { ...fragments.tail, lsn: tail.lsn, totalBytes: tail.totalBytes }
          : undefined,
      map: this.#changes.map,
      unusable: this.#changes.unusable.list(),
    };
  }

  #end(): SegmentEnd {
    const { stop, head, recordCount } = this.#walker;
    if (stop !== undefined) {
      return recordCount === 0 && isNaturalEnd(stop.reason) && endsSwitch(head)
        ? 'switch'
        : 'stopped';
    }
    if (this.#walker.switchedAt !== undefined) return 'switch';
    return this.#fedBytes === this.#options.segmentBytes ? 'full' : 'short';
  }

  #validEndOf(end: SegmentEnd): Lsn {
    const fedEnd = toLsn(this.#startLsn + BigInt(this.#fedBytes));
    if (end === 'full') return fedEnd;
    const { switchedAt, validEnd } = this.#walker;
    // The last record may be whole while its padding has not come.
    return minLsn(switchedAt ?? validEnd, fedEnd);
  }
}

function edgeOf({
  remainingBytes,
  overwritten,
}: HeadContinuation): Pick<HeadContinuation, 'remainingBytes' | 'overwritten'> {
  return { remainingBytes, overwritten };
}

/**
 * Whether a continuation looks like the end of an XLOG_SWITCH whose header was split by the segment boundary: only
 * its last 8 or 16 bytes (prev, info, rmid, crc) are here, and what follows is unused.
 */
function endsSwitch(head: HeadContinuation | undefined): boolean {
  const { bytes, length = 0 } = head ?? {};
  if (bytes === undefined || (length !== 8 && length !== 16)) return false;
  const [info = 0, manager] = bytes.subarray(length - 8);
  return manager === RESOURCE_MANAGERS.xlog && (info & 0xf0) === XLOG_OPERATIONS.switch;
}

/** The facts of a segment whose bytes are all at hand. @throws as {@link SegmentDescriber}. */
export function describeSegment(bytes: Uint8Array, options: SegmentOptions): SegmentFacts {
  const describer = new SegmentDescriber(options);
  describer.feed(bytes);
  return describer.finish();
}

/**
 * Why a finished segment (not a `.partial`, not a piece) must not enter an archive; `undefined` when it may. Zeroes
 * behind the last record are accepted: pg_receivewal fills up the last segment of a timeline with them.
 */
export function segmentProblem(facts: SegmentFacts): WalnutError | undefined {
  const act = `accept WAL segment ${facts.name}`;
  if (facts.end === 'short') {
    return new WalnutError(
      'object-damaged',
      `${act}: it is shorter than ${facts.segmentBytes} bytes`,
    );
  }
  const { stop } = facts;
  if (stop === undefined) return undefined;
  const isZeroFilled = stop.reason === 'zero-length' || stop.reason === 'zero-page';
  return isZeroFilled && stop.lsn > facts.startLsn ? undefined : walStopError(act, stop);
}

/** Times of the first and the last commit in WAL order, µs since 2000; `undefined` without any. */
export function commitTimes(
  index: SegmentIndex,
): { readonly firstUs: number; readonly lastUs: number } | undefined {
  const { kinds, timesUs } = index.transactions;
  const isCommit = (kind: number): boolean =>
    TRANSACTION_KINDS[kind]?.startsWith('commit') ?? false;
  const first = timesUs[kinds.findIndex(isCommit)];
  const last = timesUs[kinds.findLastIndex(isCommit)];
  return first === undefined || last === undefined ? undefined : { firstUs: first, lastUs: last };
}

/** One line for logs and messages. */
export function summarizeFacts(facts: SegmentFacts): string {
  return `${facts.name}: ${facts.recordCount} records, ${facts.end} at ${formatLsn(facts.validEnd)}`;
}
