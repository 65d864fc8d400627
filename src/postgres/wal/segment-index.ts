import { toLsn, type Lsn } from '../lsn.ts';
import type { RecordFact } from './record-parser.ts';
import {
  isTransaction,
  TRANSACTION_KINDS,
  type RelationFile,
  type TransactionEnd,
  type TransactionKind,
} from './transaction-record.ts';
import type { WalRecord } from './wal-record.ts';
import type { WalLevel } from './xlog-record.ts';

/**
 * Every commit and abort of a segment as columns, in WAL order. Offsets count from the segment's start; an end may
 * lie behind the segment. Times are µs since 2000, held within [2000, 2142] so that differences stay exact.
 */
export type TransactionColumns = {
  readonly count: number;
  readonly beginOffsets: Uint32Array;
  readonly endOffsets: Uint32Array;
  readonly timesUs: Float64Array;
  readonly xids: Uint32Array;
  /** Index into `TRANSACTION_KINDS`. */
  readonly kinds: Uint8Array;
};

export type RestorePoint = {
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
  readonly timeUs: number;
  readonly name: string;
};

export type CheckpointFact = {
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
  readonly shutdown: boolean;
  readonly redo: Lsn;
  readonly timeline: number;
  readonly previousTimeline: number;
  readonly timeUs: number;
};

/** What a person may want to go back before, and what tells later readers where WAL alone is not enough. */
export type SegmentEvent = { readonly lsn: Lsn } & (
  | {
      readonly kind: 'relations-dropped';
      /** Of the commit that dropped them; TRUNCATE and rewriting commands drop the old files too. */
      readonly xid: number;
      readonly timeUs: number;
      readonly count: number;
      /** The first {@link EVENT_RELATIONS_MAX} of them. */
      readonly relations: readonly RelationFile[];
    }
  | {
      readonly kind: 'relation-truncated';
      readonly relation: RelationFile;
      readonly blocks: number;
    }
  | { readonly kind: 'database-created'; readonly database: number; readonly byFileCopy: boolean }
  | { readonly kind: 'database-dropped'; readonly database: number }
  | { readonly kind: 'wal-level'; readonly walLevel: WalLevel }
  | {
      readonly kind: 'end-of-recovery';
      readonly timeUs: number;
      readonly timeline: number;
      readonly previousTimeline: number;
    }
  | { readonly kind: 'backup-end'; readonly startLsn: Lsn }
  | { readonly kind: 'record-overwritten'; readonly overwrittenLsn: Lsn }
);

export const EVENT_RELATIONS_MAX = 16;

/** Restore points, checkpoints and events of one segment beyond this are only counted, so that memory stays bounded. */
const SEGMENT_ENTRIES_MAX = 65_536;

export type SegmentIndex = {
  readonly transactions: TransactionColumns;
  readonly restorePoints: readonly RestorePoint[];
  readonly checkpoints: readonly CheckpointFact[];
  readonly events: readonly SegmentEvent[];
  /** Restore points, checkpoints and events beyond {@link SEGMENT_ENTRIES_MAX}. */
  readonly omittedCount: number;
};

export type IndexedTransaction = {
  readonly lsn: Lsn;
  /** Recovery to this LSN, inclusive, has the transaction. */
  readonly endLsn: Lsn;
  readonly timeUs: number;
  readonly xid: number;
  readonly kind: TransactionKind;
};

/** The transaction at `position` of the columns, of the segment that starts at `startLsn`. */
export function transactionAt(
  columns: TransactionColumns,
  position: number,
  startLsn: Lsn,
): IndexedTransaction | undefined {
  const begin = columns.beginOffsets[position];
  const kind = TRANSACTION_KINDS[columns.kinds[position] ?? -1];
  if (begin === undefined || kind === undefined) return undefined;
  return {
    lsn: toLsn(startLsn + BigInt(begin)),
    endLsn: toLsn(startLsn + BigInt(columns.endOffsets[position] ?? 0)),
    timeUs: columns.timesUs[position] ?? 0,
    xid: columns.xids[position] ?? 0,
    kind,
  };
}

const TIME_MAX = 2 ** 52 - 1;

/** Collects the index while a segment is walked. */
export class SegmentIndexBuilder {
  readonly #startLsn: Lsn;
  #columns: TransactionColumns = makeColumns(256);
  #count = 0;
  readonly #restorePoints: RestorePoint[] = [];
  readonly #checkpoints: CheckpointFact[] = [];
  readonly #events: SegmentEvent[] = [];
  #omittedCount = 0;

  /** @param startLsn where the segment starts, from which the columns count. */
  constructor(startLsn: Lsn) {
    this.#startLsn = startLsn;
  }

  /** Takes note of what a record says. */
  add(fact: RecordFact, record: WalRecord): void {
    if (isTransaction(fact)) return this.#noteTransaction(fact, record);
    const { lsn, endLsn } = record;
    if (fact.kind === 'restore-point') {
      const { timeUs, name } = fact;
      this.#push(this.#restorePoints, { lsn, endLsn, timeUs, name });
    } else if (fact.kind === 'checkpoint') {
      const { kind: _, walLevel: _level, ...checkpoint } = fact;
      this.#push(this.#checkpoints, { lsn, endLsn, ...checkpoint });
    } else if (isEventSource(fact)) {
      this.#push(this.#events, eventOf(fact, lsn));
    }
  }

  build(): SegmentIndex {
    const { beginOffsets, endOffsets, timesUs, xids, kinds } = this.#columns;
    const count = this.#count;
    return {
      transactions: {
        count,
        beginOffsets: beginOffsets.slice(0, count),
        endOffsets: endOffsets.slice(0, count),
        timesUs: timesUs.slice(0, count),
        xids: xids.slice(0, count),
        kinds: kinds.slice(0, count),
      },
      restorePoints: this.#restorePoints,
      checkpoints: this.#checkpoints,
      events: this.#events,
      omittedCount: this.#omittedCount,
    };
  }

  #noteTransaction(fact: TransactionEnd, record: WalRecord): void {
    const row = this.#count;
    if (row === this.#columns.kinds.length) this.#columns = grown(this.#columns);
    const columns = this.#columns;
    const shift = Number(record.base - this.#startLsn);
    columns.beginOffsets[row] = record.offset + shift;
    columns.endOffsets[row] = record.endOffset + shift;
    columns.timesUs[row] = Math.min(Math.max(fact.timeUs, 0), TIME_MAX);
    columns.xids[row] = fact.xid;
    columns.kinds[row] = TRANSACTION_KINDS.indexOf(fact.kind);
    this.#count += 1;
    const isCommit = fact.kind === 'commit' || fact.kind === 'commit-prepared';
    if (!isCommit || fact.droppedRelations.length === 0) return;
    this.#push(this.#events, {
      kind: 'relations-dropped',
      lsn: record.lsn,
      xid: fact.xid,
      timeUs: fact.timeUs,
      count: fact.droppedRelations.length,
      relations: fact.droppedRelations.slice(0, EVENT_RELATIONS_MAX),
    });
  }

  #push<Entry>(list: Entry[], entry: Entry): void {
    if (list.length < SEGMENT_ENTRIES_MAX) list.push(entry);
    else this.#omittedCount += 1;
  }
}

type EventSource = Exclude<
  RecordFact,
  | TransactionEnd
  | { kind: 'restore-point' | 'checkpoint' | 'switch' | 'checkpoint-redo' | 'fork-created' }
>;

const NO_EVENTS: ReadonlySet<string> = new Set(['switch', 'checkpoint-redo', 'fork-created']);

function isEventSource(
  fact: Exclude<RecordFact, TransactionEnd | { kind: 'restore-point' | 'checkpoint' }>,
): fact is EventSource {
  return !NO_EVENTS.has(fact.kind);
}

function eventOf(fact: EventSource, lsn: Lsn): SegmentEvent {
  switch (fact.kind) {
    case 'relation-truncated':
      return { kind: fact.kind, lsn, relation: fact.relation, blocks: fact.blocks };
    case 'database-created':
      return { kind: fact.kind, lsn, database: fact.database, byFileCopy: fact.byFileCopy };
    case 'database-dropped':
      return { kind: fact.kind, lsn, database: fact.database };
    case 'parameter-change':
      return { kind: 'wal-level', lsn, walLevel: fact.walLevel };
    case 'end-of-recovery': {
      const { timeUs, timeline, previousTimeline } = fact;
      return { kind: fact.kind, lsn, timeUs, timeline, previousTimeline };
    }
    case 'backup-end':
      return { kind: fact.kind, lsn, startLsn: fact.startLsn };
    case 'record-overwritten':
      break;
  }
  return { kind: fact.kind, lsn, overwrittenLsn: fact.overwrittenLsn };
}

export function makeColumns(count: number): TransactionColumns {
  return {
    count,
    beginOffsets: new Uint32Array(count),
    endOffsets: new Uint32Array(count),
    timesUs: new Float64Array(count),
    xids: new Uint32Array(count),
    kinds: new Uint8Array(count),
  };
}

function grown(columns: TransactionColumns): TransactionColumns {
  const larger = makeColumns(columns.kinds.length * 2);
  larger.beginOffsets.set(columns.beginOffsets);
  larger.endOffsets.set(columns.endOffsets);
  larger.timesUs.set(columns.timesUs);
  larger.xids.set(columns.xids);
  larger.kinds.set(columns.kinds);
  return larger;
}
