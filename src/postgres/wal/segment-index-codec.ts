import type { ByteReader } from '../../lib/byte-reader.ts';
import type { ByteWriter } from '../../lib/byte-writer.ts';
import { toLsn, type Lsn } from '../lsn.ts';
import {
  EVENT_RELATIONS_MAX,
  makeColumns,
  type CheckpointFact,
  type RestorePoint,
  type SegmentEvent,
  type SegmentIndex,
  type TransactionColumns,
} from './segment-index.ts';
import { readTime } from './xlog-record.ts';
import { readRelationFile, TRANSACTION_KINDS, type RelationFile } from './transaction-record.ts';
import { WAL_LEVELS } from './xlog-record.ts';

/*
 * A segment's index, as part of segment facts format 1. "offset" is a varint, the distance of an LSN from the start
 * of the segment; "time" is an i64, µs since 2000-01-01 UTC; "signed" is a varint of 2·|n|, plus 1 when n < 0.
 *
 *   varint   transactions; then, column by column, so that they compress well:
 *            varint each: (begin - end of the one before) / 8      (all records begin and end at multiples of 8)
 *            varint each: (end - begin) / 8
 *            signed each: time - time before (the first: - 0)
 *            signed each: xid - xid before (the first: - 0)
 *            u8 per four: kinds of two bits, the first lowest: 0 commit, 1 abort, 2 commit-prepared, 3 abort-prepared
 *   varint   restore points: offset, varint end - begin, time, varint name length, name as UTF-8
 *   varint   checkpoints: offset, varint end - begin, u8 shutdown, u64 redo, u32 timeline, u32 previous timeline, time
 *   varint   events: u8 kind, offset, then by kind
 *            0 relations-dropped: u32 xid, time, varint count, u8 listed, listed × relation
 *            1 relation-truncated: relation, u32 blocks
 *            2 database-created: u32 database, u8 by file copy      3 database-dropped: u32 database
 *            4 wal-level: u8 (0 minimal, 1 replica, 2 logical)
 *            5 end-of-recovery: time, u32 timeline, u32 previous timeline
 *            6 backup-end: u64 start LSN      7 record-overwritten: u64 LSN of the record
 *            relation = u32 tablespace, u32 database, u32 relation
 *   varint   omitted entries
 */
const EVENT_KINDS: readonly SegmentEvent['kind'][] = [
  'relations-dropped',
  'relation-truncated',
  'database-created',
  'database-dropped',
  'wal-level',
  'end-of-recovery',
  'backup-end',
  'record-overwritten',
];
/** The shortest transaction entry; a count beyond what the bytes can hold is refused before memory is taken. */
const TRANSACTION_BYTES_MIN = 4;

export function writeSegmentIndex(writer: ByteWriter, index: SegmentIndex, startLsn: Lsn): void {
  writeTransactions(writer, index.transactions);
  writer.varint(index.restorePoints.length);
  for (const point of index.restorePoints) {
    const name = Buffer.from(point.name);
    writeRange(writer, point, startLsn);
    writeTime(writer, point.timeUs);
    writer.varint(name.length).put(name);
  }
  writer.varint(index.checkpoints.length);
  for (const checkpoint of index.checkpoints) {
    writeRange(writer, checkpoint, startLsn);
    writer.u8(checkpoint.shutdown ? 1 : 0).u64(checkpoint.redo);
    writer.u32(checkpoint.timeline).u32(checkpoint.previousTimeline);
    writeTime(writer, checkpoint.timeUs);
  }
  writer.varint(index.events.length);
  for (const event of index.events) {
    writer.u8(EVENT_KINDS.indexOf(event.kind)).varint(Number(event.lsn - startLsn));
    writeEvent(writer, event);
  }
  writer.varint(index.omittedCount);
}

/** @throws RangeError when the bytes are not what {@link writeSegmentIndex} writes. */
export function readSegmentIndex(reader: ByteReader, startLsn: Lsn): SegmentIndex {
  return {
    transactions: readTransactions(reader),
    restorePoints: readList(reader, () => readRestorePoint(reader, startLsn)),
    checkpoints: readList(reader, () => readCheckpoint(reader, startLsn)),
    events: readList(reader, () => readEvent(reader, startLsn)),
    omittedCount: reader.varint(),
  };
}

function writeTransactions(writer: ByteWriter, columns: TransactionColumns): void {
  const { count, beginOffsets, endOffsets, timesUs, xids, kinds } = columns;
  writer.varint(count);
  let end = 0;
  for (const [row, begin] of beginOffsets.entries()) {
    writer.varint((begin - end) / 8);
    end = endOffsets[row] ?? 0;
  }
  for (const [row, begin] of beginOffsets.entries()) {
    writer.varint(((endOffsets[row] ?? 0) - begin) / 8);
  }
  writeDifferences(writer, timesUs);
  writeDifferences(writer, xids);
  for (let row = 0; row < count; row += 4) {
    let packed = 0;
    for (let lane = 0; lane < 4; lane += 1) packed |= (kinds[row + lane] ?? 0) << (2 * lane);
    writer.u8(packed);
  }
}

function readTransactions(reader: ByteReader): TransactionColumns {
  const count = reader.varint();
  if (count * TRANSACTION_BYTES_MIN > reader.remaining) {
    throw new RangeError(`${count} transactions do not fit`);
  }
  const columns = makeColumns(count);
  const { beginOffsets, endOffsets, kinds } = columns;
  const gaps = Float64Array.from({ length: count }, () => reader.varint());
  let end = 0;
  for (const [row, gap] of gaps.entries()) {
    const begin = end + gap * 8;
    end = begin + reader.varint() * 8;
    if (end > 0xffff_ffff) throw new RangeError(`offset ${end} is out of range`);
    beginOffsets[row] = begin;
    endOffsets[row] = end;
  }
  readDifferences(reader, columns.timesUs);
  readDifferences(reader, columns.xids);
  for (let row = 0; row < count; row += 4) {
    const packed = reader.u8();
    for (let lane = 0; lane < 4 && row + lane < count; lane += 1) {
      kinds[row + lane] = (packed >> (2 * lane)) & (TRANSACTION_KINDS.length - 1);
    }
  }
  return columns;
}

function writeDifferences(writer: ByteWriter, values: Float64Array | Uint32Array): void {
  let before = 0;
  for (const value of values) {
    const difference = value - before;
    writer.varint(2 * Math.abs(difference) + (difference < 0 ? 1 : 0));
    before = value;
  }
}

function readDifferences(reader: ByteReader, values: Float64Array | Uint32Array): void {
  let before = 0;
  for (const row of values.keys()) {
    const code = reader.varint();
    before += code % 2 === 0 ? code / 2 : -(code - 1) / 2;
    values[row] = before;
  }
}

/** Every entry takes more than a byte, so a list cannot claim more entries than there are bytes. */
function readList<Entry>(reader: ByteReader, read: () => Entry): Entry[] {
  const count = reader.varint();
  if (count > reader.remaining) throw new RangeError(`${count} entries do not fit`);
  return Array.from({ length: count }, read);
}

function writeRange(
  writer: ByteWriter,
  range: { readonly lsn: Lsn; readonly endLsn: Lsn },
  startLsn: Lsn,
): void {
  writer.varint(Number(range.lsn - startLsn)).varint(Number(range.endLsn - range.lsn));
}

function readRange(reader: ByteReader, startLsn: Lsn): { readonly lsn: Lsn; readonly endLsn: Lsn } {
  const lsn = readOffset(reader, startLsn);
  return { lsn, endLsn: readOffset(reader, lsn) };
}

function readOffset(reader: ByteReader, startLsn: Lsn): Lsn {
  return toLsn(startLsn + BigInt(reader.varint()));
}

function writeTime(writer: ByteWriter, timeUs: number): void {
  writer.u64(BigInt.asUintN(64, BigInt(timeUs)));
}

function readRestorePoint(reader: ByteReader, startLsn: Lsn): RestorePoint {
  const range = readRange(reader, startLsn);
  const timeUs = readTime(reader);
  const name = Buffer.from(reader.take(reader.varint())).toString();
  return { ...range, timeUs, name };
}

function readCheckpoint(reader: ByteReader, startLsn: Lsn): CheckpointFact {
  return {
    ...readRange(reader, startLsn),
    shutdown: reader.u8() === 1,
    redo: toLsn(reader.u64()),
    timeline: reader.u32(),
    previousTimeline: reader.u32(),
    timeUs: readTime(reader),
  };
}

function writeEvent(writer: ByteWriter, event: SegmentEvent): void {
  switch (event.kind) {
    case 'relations-dropped':
      writer.u32(event.xid);
      writeTime(writer, event.timeUs);
      writer.varint(event.count).u8(event.relations.length);
      for (const relation of event.relations) writeRelation(writer, relation);
      break;
    case 'relation-truncated':
      writeRelation(writer, event.relation);
      writer.u32(event.blocks);
      break;
    case 'database-created':
      writer.u32(event.database).u8(event.byFileCopy ? 1 : 0);
      break;
    case 'database-dropped':
      writer.u32(event.database);
      break;
    case 'wal-level':
      writer.u8(WAL_LEVELS.indexOf(event.walLevel));
      break;
    case 'end-of-recovery':
      writeTime(writer, event.timeUs);
      writer.u32(event.timeline).u32(event.previousTimeline);
      break;
    case 'backup-end':
      writer.u64(event.startLsn);
      break;
    case 'record-overwritten':
      writer.u64(event.overwrittenLsn);
      break;
  }
}

function readEvent(reader: ByteReader, startLsn: Lsn): SegmentEvent {
  const code = reader.u8();
  const kind = EVENT_KINDS[code];
  if (kind === undefined) throw new RangeError(`unknown event ${code}`);
  const lsn = readOffset(reader, startLsn);
  switch (kind) {
    case 'relations-dropped':
      return { kind, lsn, ...readDrop(reader) };
    case 'relation-truncated':
      return { kind, lsn, relation: readRelationFile(reader), blocks: reader.u32() };
    case 'database-created':
      return { kind, lsn, database: reader.u32(), byFileCopy: reader.u8() === 1 };
    case 'database-dropped':
      return { kind, lsn, database: reader.u32() };
    case 'wal-level': {
      const walLevel = WAL_LEVELS[reader.u8()];
      if (walLevel === undefined) throw new RangeError('unknown wal_level');
      return { kind, lsn, walLevel };
    }
    case 'end-of-recovery': {
      const timeUs = readTime(reader);
      return { kind, lsn, timeUs, timeline: reader.u32(), previousTimeline: reader.u32() };
    }
    case 'backup-end':
      return { kind, lsn, startLsn: toLsn(reader.u64()) };
    case 'record-overwritten':
      break;
  }
  return { kind, lsn, overwrittenLsn: toLsn(reader.u64()) };
}

function readDrop(reader: ByteReader): {
  readonly xid: number;
  readonly timeUs: number;
  readonly count: number;
  readonly relations: RelationFile[];
} {
  const xid = reader.u32();
  const timeUs = readTime(reader);
  const count = reader.varint();
  const listed = reader.u8();
  if (listed > EVENT_RELATIONS_MAX) throw new RangeError(`${listed} relations are too many`);
  return {
    xid,
    timeUs,
    count,
    relations: Array.from({ length: listed }, () => readRelationFile(reader)),
  };
}

function writeRelation(writer: ByteWriter, relation: RelationFile): void {
  writer.u32(relation.tablespace).u32(relation.database).u32(relation.relation);
}
