/** What the sealed index keeps of a segment: enough to know whether a time, a transaction or a name can lie in it. */
import { z } from 'zod';
import { formatLsn, parseLsn, type Lsn } from '../postgres/lsn.ts';
import { joinSegments, type SegmentJoin } from '../postgres/wal/join-segments.ts';
import type { SegmentFacts } from '../postgres/wal/segment-facts.ts';
import {
  transactionAt,
  type IndexedTransaction,
  type RestorePoint,
  type SegmentIndex,
} from '../postgres/wal/segment-index.ts';

/** Times are µs since 2000-01-01 UTC, as in WAL. */
export type SegmentSummary = {
  readonly name: string;
  readonly startLsn: Lsn;
  /** Where valid WAL ends. */
  readonly validEnd: Lsn;
  /** The last record that ends here; null when none does. */
  readonly lastRecord: { readonly lsn: Lsn; readonly endLsn: Lsn } | null;
  /** Ends of transactions (commits and aborts) that end here, the record that straddles from before included. */
  readonly transactions: {
    readonly count: number;
    readonly minUs: number;
    readonly maxUs: number;
    readonly minXid: number;
    readonly maxXid: number;
    readonly lastCommit: IndexedTransaction | null;
  } | null;
  readonly restorePoints: readonly RestorePoint[];
  /** The latest time that any record here carries: WAL up to here was all there was at that time. */
  readonly provenUs: number | null;
  /** Whether it continues the segment before it; null when that one was not at hand. */
  readonly joined: boolean | null;
};

/** Transactions that end in the segment, in WAL order: the one that straddles from before it, then its own. */
export function transactionsEndingIn(
  facts: SegmentFacts,
  previous: SegmentFacts | null,
): IndexedTransaction[] {
  const straddling = previous === null ? null : straddlingIndex(joinSegments(previous, facts));
  const before =
    straddling === null || previous === null ? [] : listOf(straddling, previous.startLsn);
  return [...before, ...listOf(facts.index, facts.startLsn)];
}

function restorePointsEndingIn(facts: SegmentFacts, previous: SegmentFacts | null): RestorePoint[] {
  const straddling = previous === null ? null : straddlingIndex(joinSegments(previous, facts));
  return [...(straddling?.restorePoints ?? []), ...facts.index.restorePoints];
}

export function summarizeSegment(
  facts: SegmentFacts,
  previous: SegmentFacts | null,
): SegmentSummary {
  const join = previous === null ? null : joinSegments(previous, facts);
  const transactions = transactionsEndingIn(facts, previous);
  const restorePoints = restorePointsEndingIn(facts, previous);
  const times = [
    ...transactions.map(({ timeUs }) => timeUs),
    ...restorePoints.map(({ timeUs }) => timeUs),
    ...facts.index.checkpoints.map(({ timeUs }) => timeUs),
  ];
  return {
    name: facts.name,
    startLsn: facts.startLsn,
    validEnd: facts.validEnd,
    lastRecord: lastRecordOf(facts, join),
    transactions: summarizeTransactions(transactions),
    restorePoints,
    provenUs: times.length === 0 ? null : times.reduce((first, second) => Math.max(first, second)),
    joined: join === null ? null : join.kind !== 'broken',
  };
}

function lastRecordOf(
  facts: SegmentFacts,
  join: SegmentJoin | null,
): { readonly lsn: Lsn; readonly endLsn: Lsn } | null {
  const { lastRecordLsn, tail, validEnd } = facts;
  if (lastRecordLsn !== undefined) {
    return { lsn: lastRecordLsn, endLsn: tail === undefined ? validEnd : tail.lsn };
  }
  if (join?.kind !== 'joined' || join.straddling === undefined) return null;
  const { lsn, endLsn } = join.straddling;
  return { lsn, endLsn };
}

function straddlingIndex(join: SegmentJoin): SegmentIndex | null {
  return join.kind === 'joined' ? (join.straddling?.index ?? null) : null;
}

function listOf(index: SegmentIndex, startLsn: Lsn): IndexedTransaction[] {
  const list: IndexedTransaction[] = [];
  for (let position = 0; position < index.transactions.count; position += 1) {
    const transaction = transactionAt(index.transactions, position, startLsn);
    if (transaction !== undefined) list.push(transaction);
  }
  return list;
}

function summarizeTransactions(
  list: readonly IndexedTransaction[],
): SegmentSummary['transactions'] {
  const [first] = list;
  if (first === undefined) return null;
  let { timeUs: minUs, timeUs: maxUs, xid: minXid, xid: maxXid } = first;
  let lastCommit: IndexedTransaction | null = null;
  for (const transaction of list) {
    minUs = Math.min(minUs, transaction.timeUs);
    maxUs = Math.max(maxUs, transaction.timeUs);
    minXid = Math.min(minXid, transaction.xid);
    maxXid = Math.max(maxXid, transaction.xid);
    if (isCommit(transaction)) lastCommit = transaction;
  }
  return { count: list.length, minUs, maxUs, minXid, maxXid, lastCommit };
}

export function isCommit({ kind }: IndexedTransaction): boolean {
  return kind === 'commit' || kind === 'commit-prepared';
}

const lsn = z.codec(
  z.string(),
  z.custom<Lsn>((value) => typeof value === 'bigint'),
  {
    decode: (text) => parseLsn(text),
    encode: (position) => formatLsn(position),
  },
);

const transaction = z.strictObject({
  lsn,
  endLsn: lsn,
  timeUs: z.number(),
  xid: z.number(),
  kind: z.enum(['commit', 'abort', 'commit-prepared', 'abort-prepared']),
});

/** The summary as JSON. */
export const segmentSummaryCodec = z.strictObject({
  name: z.string(),
  startLsn: lsn,
  validEnd: lsn,
  lastRecord: z.strictObject({ lsn, endLsn: lsn }).nullable(),
  transactions: z
    .strictObject({
      count: z.number(),
      minUs: z.number(),
      maxUs: z.number(),
      minXid: z.number(),
      maxXid: z.number(),
      lastCommit: transaction.nullable(),
    })
    .nullable(),
  restorePoints: z.array(
    z.strictObject({ lsn, endLsn: lsn, timeUs: z.number(), name: z.string() }),
  ),
  provenUs: z.number().nullable(),
  joined: z.boolean().nullable(),
});
