import { ByteReader } from '../../lib/byte-reader.ts';
import { mainDataStart, type RecordBytes } from './main-data.ts';

/** `XLOG_XACT_OPMASK` and operations: src/include/access/xact.h. */
const OPERATION_MASK = 0x70;
const HAS_INFO = 0x80;
const XINFO_HAS_DATABASE = 0x01;
const XINFO_HAS_SUBTRANSACTIONS = 0x02;
const XINFO_HAS_RELATIONS = 0x04;
const XINFO_HAS_INVALIDATIONS = 0x08;
const XINFO_HAS_TWOPHASE = 0x10;
const XINFO_HAS_DROPPED_STATISTICS = 0x100;
const INVALIDATION_BYTES = 16;

/** The four ways a transaction ends; the index is the code in stored facts. */
export const TRANSACTION_KINDS = ['commit', 'abort', 'commit-prepared', 'abort-prepared'] as const;
export type TransactionKind = (typeof TRANSACTION_KINDS)[number];

const KIND_OF_OPERATION: Readonly<Record<number, TransactionKind>> = {
  0x00: 'commit',
  0x20: 'abort',
  0x30: 'commit-prepared',
  0x40: 'abort-prepared',
};

/** One relation's files: `RelFileLocator`. */
export type RelationFile = {
  readonly tablespace: number;
  readonly database: number;
  readonly relation: number;
};

export type TransactionEnd = {
  readonly kind: TransactionKind;
  /** When it ended by the server's clock, µs since 2000-01-01 UTC. This is what recovery compares with a target time. */
  readonly timeUs: number;
  /** The transaction that ended; for a prepared one the prepared transaction's. */
  readonly xid: number;
  readonly subtransactionCount: number;
  readonly droppedRelations: readonly RelationFile[];
};

export function isTransaction(fact: { readonly kind: string }): fact is TransactionEnd {
  return (TRANSACTION_KINDS as readonly string[]).includes(fact.kind);
}

export function isTransactionEnd(info: number): boolean {
  return KIND_OF_OPERATION[info & OPERATION_MASK] !== undefined;
}

/**
 * Reads a commit or abort; `undefined` for other records of the Transaction manager. Source: ParseCommitRecord and
 * ParseAbortRecord, src/backend/access/rmgrdesc/xactdesc.c.
 * @throws RangeError when the content does not fit its type.
 */
export function parseTransactionEnd(
  record: RecordBytes & { readonly info: number; readonly xid: number },
): TransactionEnd | undefined {
  const kind = KIND_OF_OPERATION[record.info & OPERATION_MASK];
  if (kind === undefined) return undefined;
  const begin = mainDataStart(record);
  const end = record.start + record.totalBytes;
  if (end - begin < 8) throw new RangeError('transaction record without a time');
  const timeUs =
    record.view.getInt32(begin + 4, true) * 0x1_0000_0000 + record.view.getUint32(begin, true);
  if ((record.info & HAS_INFO) === 0) {
    return { kind, timeUs, xid: record.xid, subtransactionCount: 0, droppedRelations: [] };
  }
  const reader = new ByteReader(record.bytes.subarray(begin + 8, end));
  return { kind, timeUs, ...parseDetails(reader, record, kind) };
}

function parseDetails(
  reader: ByteReader,
  record: RecordBytes & { readonly xid: number },
  kind: TransactionKind,
): Pick<TransactionEnd, 'xid' | 'subtransactionCount' | 'droppedRelations'> {
  const xinfo = reader.u32();
  if ((xinfo & XINFO_HAS_DATABASE) !== 0) reader.take(8);
  let subtransactionCount = 0;
  if ((xinfo & XINFO_HAS_SUBTRANSACTIONS) !== 0) {
    subtransactionCount = reader.u32();
    reader.take(subtransactionCount * 4);
  }
  const droppedRelations = (xinfo & XINFO_HAS_RELATIONS) !== 0 ? readRelations(reader) : [];
  if ((xinfo & XINFO_HAS_DROPPED_STATISTICS) !== 0 && record.version.droppedStatisticBytes > 0) {
    reader.take(reader.u32() * record.version.droppedStatisticBytes);
  }
  const isCommit = kind === 'commit' || kind === 'commit-prepared';
  if (isCommit && (xinfo & XINFO_HAS_INVALIDATIONS) !== 0) {
    reader.take(reader.u32() * INVALIDATION_BYTES);
  }
  const xid = (xinfo & XINFO_HAS_TWOPHASE) !== 0 ? reader.u32() : record.xid;
  return { xid, subtransactionCount, droppedRelations };
}

function readRelations(reader: ByteReader): RelationFile[] {
  const count = reader.u32();
  if (count * 12 > reader.remaining) throw new RangeError('dropped relations exceed the record');
  return Array.from({ length: count }, () => readRelationFile(reader));
}

/** Reads `RelFileLocator`: tablespace, database, relation. */
export function readRelationFile(reader: ByteReader): RelationFile {
  return { tablespace: reader.u32(), database: reader.u32(), relation: reader.u32() };
}
