import { describe, expect, test } from 'vitest';
import {
  expectedWal,
  FIXTURE_SEGMENT_BYTES,
  fixtureSegment,
} from '../../../test/fixtures/wal/load.ts';
import { toLsn } from '../lsn.ts';
import { parseSegmentName, segmentStart } from '../segment-name.ts';
import { comparePartials, validEndOf } from './last-valid.ts';
import { listRecords } from './list-records.ts';
import { WalBytes } from './wal-bytes.ts';

const segmentBytes = FIXTURE_SEGMENT_BYTES;
const name = expectedWal(13).path.at(-1) ?? '';
const start = segmentStart(parseSegmentName(name, segmentBytes).number, segmentBytes);
const options = { start, segmentBytes };
const partial = fixtureSegment(13, name);
const { records } = listRecords([partial], options);
const offsetOf = (lsn: bigint): number => Number(lsn - start);
const cutBehind = (count: number): Buffer => {
  const copy = Buffer.from(partial);
  copy.fill(0, offsetOf(records[count]?.lsn ?? start));
  return copy;
};

describe('the end of valid WAL in a partial segment', () => {
  test('is the end of its last record, with the reason', () => {
    const end = validEndOf(partial, options);
    expect(end.lsn).toBe(records.at(-1)?.endLsn);
    expect(end.lastRecordLsn).toBe(records.at(-1)?.lsn);
    expect(end.stop).toEqual({ reason: 'zero-length', lsn: end.lsn });
  });

  test('is before a record that is not whole', () => {
    const last = records.at(-1);
    const cut = partial.subarray(0, offsetOf(last?.lsn ?? start) + 10);
    expect(validEndOf(cut, options)).toEqual({
      lsn: last?.lsn,
      lastRecordLsn: records.at(-2)?.lsn,
      stop: undefined,
    });
  });

  test('is where an older use of the file shows through', () => {
    const recycled = Buffer.from(partial);
    const page = 8192 * 2;
    recycled.writeUInt32LE(recycled.readUInt32LE(page + 8) - 4 * segmentBytes, page + 8);
    const end = validEndOf(recycled, options);
    expect(end.stop).toEqual({ reason: 'bad-page-address', lsn: toLsn(start + BigInt(page)) });
    expect(end.lsn).toBeLessThanOrEqual(start + BigInt(page));
  });
});

describe('two copies of a partial segment', () => {
  test('are equal when they differ only behind the last record', () => {
    const dirty = Buffer.from(partial);
    dirty.fill(0x5a, offsetOf(validEndOf(partial, options).lsn) + 4000);
    expect(comparePartials(partial, dirty, options)).toEqual({ kind: 'equal' });
  });

  test('one may go on where the other ends', () => {
    expect(comparePartials(partial, cutBehind(20), options)).toEqual({ kind: 'first-longer' });
    expect(comparePartials(cutBehind(20), partial, options)).toEqual({ kind: 'second-longer' });
  });

  test('differ when both are valid and unlike', () => {
    const other = Buffer.from(partial);
    const record = records.find(
      ({ lsn, totalBytes }) => (offsetOf(lsn) % 8192) + totalBytes < 8192 && totalBytes > 60,
    );
    const at = offsetOf(record?.lsn ?? start);
    const end = at + (record?.totalBytes ?? 0);
    other.writeUInt8((other[end - 1] ?? 0) ^ 1, end - 1);
    const source = new WalBytes(other);
    other.writeUInt32LE(source.crc(source.crc(0, at + 24, end), at, at + 20), at + 20);
    expect(validEndOf(other, options)).toEqual(validEndOf(partial, options));
    expect(comparePartials(partial, other, options)).toEqual({
      kind: 'different',
      lsn: toLsn(start + BigInt(at + 20)),
    });
  });

  test('differ when one is of another system', () => {
    const other = Buffer.from(partial);
    other.writeBigUInt64LE(7n, 24);
    const systemIdentifier = partial.readBigUInt64LE(24);
    expect(comparePartials(partial, other, { ...options, systemIdentifier })).toEqual({
      kind: 'different',
      lsn: start,
    });
  });

  test('an unwritten file is only shorter', () => {
    const unwritten = Buffer.alloc(segmentBytes);
    expect(comparePartials(partial, unwritten, options)).toEqual({ kind: 'first-longer' });
  });
});
