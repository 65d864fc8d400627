import { ByteReader } from '../../lib/byte-reader.ts';
import { ByteWriter } from '../../lib/byte-writer.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import { toLsn, type Lsn } from '../lsn.ts';
import { isSegmentSize } from '../segment-name.ts';
import { toMajorVersion } from '../version.ts';
import { readChangeMap, writeChangeMap } from './change-map-codec.ts';
import type { ChangeSpan, RecordFragment } from './change-span.ts';
import { UNUSABLE_REASON_NAMES, type UnusableWal } from './unusable-wal.ts';

/*
 * A change span, format 1. Integers are little-endian; "varint" is unsigned LEB128; "distance" is a varint counted from
 * the span's start.
 *
 *   u8       format = 1
 *   u64      start of the span
 *   distance end of the span
 *   u8       log2 of the segment size
 *   u8 u64   major version, system identifier
 *   u32 u32  timeline of the first and the last page
 *   u8       bit 0 closed, 1 first record, 2 last record, 3 head, 4 head overwritten, 5 tail
 *   distance u64   if bit 1: first record, and its xl_prev
 *   distance if bit 2: last record
 *   varint fragment   if bit 3: remaining bytes of the head
 *   distance varint fragment   if bit 5: start of the tail's record, its xl_tot_len
 *   varint   reasons why WAL is not enough; each u8 position in UNUSABLE_REASON_NAMES, distance of the first record
 *            that says so, varint from there to the last
 *   map      as change-map-codec.ts describes it
 *
 * A fragment is varint length, u32 CRC-32C of all its bytes, varint bytes kept, the bytes. Nothing may follow. Reasons are
 * only ever added at the end of their table.
 */
const FORMAT = 1;
const CLOSED = 0x01;
const FIRST_RECORD = 0x02;
const LAST_RECORD = 0x04;
const HEAD = 0x08;
const HEAD_OVERWRITTEN = 0x10;
const TAIL = 0x20;

export function encodeChangeSpan(span: ChangeSpan): Uint8Array {
  const writer = new ByteWriter();
  const { startLsn, firstRecord, lastRecordLsn, head, tail } = span;
  const distance = (lsn: Lsn): number => Number(lsn - startLsn);
  writer.u8(FORMAT).u64(startLsn).varint(distance(span.endLsn));
  writer.u8(Math.log2(span.segmentBytes)).u8(span.majorVersion).u64(span.systemIdentifier);
  writer.u32(span.timelines.first).u32(span.timelines.last).u8(flagsOf(span));
  if (firstRecord !== undefined) writer.varint(distance(firstRecord.lsn)).u64(firstRecord.prev);
  if (lastRecordLsn !== undefined) writer.varint(distance(lastRecordLsn));
  if (head !== undefined) writeFragment(writer.varint(head.remainingBytes), head);
  if (tail !== undefined) {
    writeFragment(writer.varint(distance(tail.lsn)).varint(tail.totalBytes), tail);
  }
  writer.varint(span.unusable.length);
  for (const { reason, firstLsn, lastLsn } of span.unusable) {
    writer.u8(UNUSABLE_REASON_NAMES.indexOf(reason));
    writer.varint(distance(firstLsn)).varint(Number(lastLsn - firstLsn));
  }
  writeChangeMap(writer, span.map);
  return writer.view();
}

/** @throws WalnutError `object-damaged` when the bytes are not what {@link encodeChangeSpan} writes. */
export function decodeChangeSpan(bytes: Uint8Array): ChangeSpan {
  try {
    return readSpan(new ByteReader(bytes));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new WalnutError('object-damaged', `read changes of WAL: ${error.message}`, {
      cause: error,
    });
  }
}

function flagsOf({ isClosed, firstRecord, lastRecordLsn, head, tail }: ChangeSpan): number {
  return (
    (isClosed ? CLOSED : 0) |
    (firstRecord === undefined ? 0 : FIRST_RECORD) |
    (lastRecordLsn === undefined ? 0 : LAST_RECORD) |
    (head === undefined ? 0 : HEAD) |
    (head?.overwritten === true ? HEAD_OVERWRITTEN : 0) |
    (tail === undefined ? 0 : TAIL)
  );
}

function readSpan(reader: ByteReader): ChangeSpan {
  const format = reader.u8();
  if (format !== FORMAT) throw new RangeError(`unknown format ${format}`);
  const startLsn = toLsn(reader.u64());
  const place = (): Lsn => toLsn(startLsn + BigInt(reader.varint()));
  const endLsn = place();
  const segmentBytes = 2 ** reader.u8();
  if (!isSegmentSize(segmentBytes)) throw new RangeError('impossible segment size');
  const majorVersion = toMajorVersion(reader.u8());
  const systemIdentifier = reader.u64();
  const timelines = { first: reader.u32(), last: reader.u32() };
  const flags = reader.u8();
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const span: ChangeSpan = {
    startLsn,
    endLsn,
    isClosed: has(CLOSED),
    segmentBytes,
    majorVersion,
    systemIdentifier,
    timelines,
    firstRecord: has(FIRST_RECORD) ? { lsn: place(), prev: toLsn(reader.u64()) } : undefined,
    lastRecordLsn: has(LAST_RECORD) ? place() : undefined,
    head: has(HEAD)
      ? {
          remainingBytes: reader.varint(),
          overwritten: has(HEAD_OVERWRITTEN),
          ...readFragment(reader),
        }
      : undefined,
    tail: has(TAIL)
      ? { lsn: place(), totalBytes: reader.varint(), ...readFragment(reader) }
      : undefined,
    unusable: readReasons(reader, place),
    map: readChangeMap(reader),
  };
  if (reader.remaining > 0) throw new RangeError(`${reader.remaining} bytes too many`);
  return span;
}

function readReasons(reader: ByteReader, place: () => Lsn): UnusableWal[] {
  const reasons: UnusableWal[] = [];
  for (let left = reader.varint(); left > 0; left -= 1) {
    const reason = UNUSABLE_REASON_NAMES[reader.u8()];
    if (reason === undefined) throw new RangeError('unknown reason');
    const firstLsn = place();
    reasons.push({ reason, firstLsn, lastLsn: toLsn(firstLsn + BigInt(reader.varint())) });
  }
  return reasons;
}

function writeFragment(writer: ByteWriter, { length, crc, bytes }: RecordFragment): void {
  writer.varint(length).u32(crc).varint(bytes.length).put(bytes);
}

function readFragment(reader: ByteReader): RecordFragment {
  const length = reader.varint();
  const crc = reader.u32();
  const kept = reader.varint();
  if (kept > length) throw new RangeError('a fragment keeps more than it has');
  return { length, crc, bytes: reader.take(kept) };
}
