import { ByteReader } from '../../lib/byte-reader.ts';
import { ByteWriter } from '../../lib/byte-writer.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import { toLsn, type Lsn } from '../lsn.ts';
import { parseSegmentName, segmentStart } from '../segment-name.ts';
import { toMajorVersion } from '../version.ts';
import type { HeadContinuation } from './continuation-head.ts';
import type { TailFragment } from './partial-record.ts';
import type { SegmentEnd, SegmentFacts } from './segment-facts.ts';
import { readSegmentIndex, writeSegmentIndex } from './segment-index-codec.ts';
import { WAL_STOP_REASONS, type WalStop } from './wal-stop.ts';

/*
 * Segment facts, format 1. Integers are little-endian; "varint" is unsigned LEB128 up to 2^53 - 1; "place" is a
 * varint, the distance of an LSN from the start of the segment plus 1, where 0 means that there is none.
 *
 *   u8       format = 1
 *   24 bytes segment name, ASCII
 *   u8       log2 of the segment size
 *   u8       major version, 0 when unknown
 *   u64      system identifier, 0 when unknown
 *   u32 u32  timeline of the first and the last page, 0 when unknown
 *   varint   number of records
 *   place    first record
 *   u8 u64   1 and its xl_prev, or 0 and 0 when there is no record
 *   place    last record
 *   u8       end: 0 full, 1 switch, 2 stopped, 3 short
 *   place    end of valid WAL
 *   u8       stop: 0 none, else 1 + position of the reason in WAL_STOP_REASONS; then, if not 0: place
 *   u8       head: bit 0 there is one, bit 1 its bytes follow, bit 2 overwritten; if bit 0:
 *            varint remaining bytes, varint length, `length` bytes if bit 1
 *   u8       tail: bit 0 there is one, bit 1 its bytes follow; if bit 0:
 *            place of the record, varint length, varint xl_tot_len + 1 (0 unknown), `length` bytes if bit 1
 *   index    as segment-index-codec.ts describes it
 *
 * Nothing may follow. Reasons are only ever added at the end of their table.
 */
const FORMAT = 1;
const ENDS: readonly SegmentEnd[] = ['full', 'switch', 'stopped', 'short'];
const PRESENT = 1;
const HAS_BYTES = 2;
const OVERWRITTEN = 4;

export function encodeSegmentFacts(facts: SegmentFacts): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(FORMAT).put(Buffer.from(facts.name, 'latin1'));
  writer.u8(Math.log2(facts.segmentBytes)).u8(facts.majorVersion ?? 0);
  writer
    .u64(facts.systemIdentifier ?? 0n)
    .u32(facts.timelines.first)
    .u32(facts.timelines.last);
  writer.varint(facts.recordCount);
  const { startLsn } = facts;
  writePlace(writer, facts.firstRecordLsn, startLsn);
  writer.u8(facts.firstRecordPrev === undefined ? 0 : 1).u64(facts.firstRecordPrev ?? 0n);
  writePlace(writer, facts.lastRecordLsn, startLsn);
  writer.u8(ENDS.indexOf(facts.end));
  writePlace(writer, facts.validEnd, startLsn);
  writeStop(writer, facts.stop, startLsn);
  writeHead(writer, facts.head);
  writeTail(writer, facts.tail, startLsn);
  writeSegmentIndex(writer, facts.index, startLsn);
  return writer.view();
}

/** @throws WalnutError `object-damaged` when the bytes are not what {@link encodeSegmentFacts} writes. */
export function decodeSegmentFacts(bytes: Uint8Array): SegmentFacts {
  try {
    return readFacts(new ByteReader(bytes));
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof SyntaxError)) throw error;
    throw new WalnutError('object-damaged', `read WAL segment facts: ${error.message}`, {
      cause: error,
    });
  }
}

function readFacts(reader: ByteReader): SegmentFacts {
  const format = reader.u8();
  if (format !== FORMAT) throw new RangeError(`unknown format ${format}`);
  const name = Buffer.from(reader.take(24)).toString('latin1');
  const segmentBytes = 2 ** checkedSizeExponent(reader.u8());
  const startLsn = segmentStart(parseSegmentName(name, segmentBytes).number, segmentBytes);
  const major = reader.u8();
  const systemIdentifier = reader.u64();
  const timelines = { first: reader.u32(), last: reader.u32() };
  const recordCount = reader.varint();
  const firstRecordLsn = readPlace(reader, startLsn);
  const hasPrev = reader.u8() === 1;
  const prev = reader.u64();
  const facts: SegmentFacts = {
    name,
    segmentBytes,
    startLsn,
    majorVersion: major === 0 ? undefined : toMajorVersion(major),
    systemIdentifier: systemIdentifier === 0n ? undefined : systemIdentifier,
    timelines,
    recordCount,
    firstRecordLsn,
    firstRecordPrev: hasPrev ? toLsn(prev) : undefined,
    lastRecordLsn: readPlace(reader, startLsn),
    end: entryOf(ENDS, reader.u8(), 'end'),
    validEnd: present(readPlace(reader, startLsn)),
    stop: readStop(reader, startLsn),
    head: readHead(reader),
    tail: readTail(reader, startLsn),
    index: readSegmentIndex(reader, startLsn),
  };
  if (reader.remaining > 0) throw new RangeError(`${reader.remaining} bytes too many`);
  return facts;
}

function checkedSizeExponent(exponent: number): number {
  if (exponent < 20 || exponent > 30) throw new RangeError(`impossible segment size 2^${exponent}`);
  return exponent;
}

function writePlace(writer: ByteWriter, lsn: Lsn | undefined, startLsn: Lsn): void {
  writer.varint(lsn === undefined ? 0 : Number(lsn - startLsn) + 1);
}

function readPlace(reader: ByteReader, startLsn: Lsn): Lsn | undefined {
  const distance = reader.varint();
  return distance === 0 ? undefined : toLsn(startLsn + BigInt(distance - 1));
}

function present(lsn: Lsn | undefined): Lsn {
  if (lsn === undefined) throw new RangeError('a place is missing');
  return lsn;
}

function entryOf<Entry>(table: readonly Entry[], position: number, what: string): Entry {
  const entry = table[position];
  if (entry === undefined) throw new RangeError(`unknown ${what} ${position}`);
  return entry;
}

function writeStop(writer: ByteWriter, stop: WalStop | undefined, startLsn: Lsn): void {
  if (stop === undefined) {
    writer.u8(0);
    return;
  }
  writer.u8(1 + WAL_STOP_REASONS.indexOf(stop.reason));
  writePlace(writer, stop.lsn, startLsn);
}

function readStop(reader: ByteReader, startLsn: Lsn): WalStop | undefined {
  const code = reader.u8();
  if (code === 0) return undefined;
  const reason = entryOf(WAL_STOP_REASONS, code - 1, 'stop reason');
  return { reason, lsn: present(readPlace(reader, startLsn)) };
}

function writeHead(writer: ByteWriter, head: HeadContinuation | undefined): void {
  if (head === undefined) {
    writer.u8(0);
    return;
  }
  const { bytes, overwritten, remainingBytes, length } = head;
  writer.u8(PRESENT | (bytes ? HAS_BYTES : 0) | (overwritten ? OVERWRITTEN : 0));
  writer.varint(remainingBytes).varint(length);
  if (bytes !== undefined) writer.put(bytes);
}

function readHead(reader: ByteReader): HeadContinuation | undefined {
  const flags = reader.u8();
  if ((flags & PRESENT) === 0) return undefined;
  const remainingBytes = reader.varint();
  const length = reader.varint();
  return {
    remainingBytes,
    length,
    bytes: (flags & HAS_BYTES) === 0 ? undefined : reader.take(length),
    overwritten: (flags & OVERWRITTEN) !== 0,
  };
}

function writeTail(writer: ByteWriter, tail: TailFragment | undefined, startLsn: Lsn): void {
  if (tail === undefined) {
    writer.u8(0);
    return;
  }
  writer.u8(PRESENT | (tail.bytes ? HAS_BYTES : 0));
  writePlace(writer, tail.lsn, startLsn);
  writer.varint(tail.length).varint(tail.totalBytes === undefined ? 0 : tail.totalBytes + 1);
  if (tail.bytes !== undefined) writer.put(tail.bytes);
}

function readTail(reader: ByteReader, startLsn: Lsn): TailFragment | undefined {
  const flags = reader.u8();
  if ((flags & PRESENT) === 0) return undefined;
  const lsn = present(readPlace(reader, startLsn));
  const length = reader.varint();
  const total = reader.varint();
  return {
    lsn,
    length,
    totalBytes: total === 0 ? undefined : total - 1,
    bytes: (flags & HAS_BYTES) === 0 ? undefined : reader.take(length),
  };
}
