import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  expectedWal,
  FIXTURE_SEGMENT_BYTES,
  fixtureSegment,
  RESOURCE_MANAGER_NAMES,
  recordLine,
} from '../../../test/fixtures/wal/load.ts';
import { formatLsn, parseLsn, toLsn, type Lsn } from '../lsn.ts';
import { parseSegmentName, segmentStart } from '../segment-name.ts';
import { SUPPORTED_MAJORS, type MajorVersion } from '../version.ts';
import { listRecords, type ListedRecord } from './list-records.ts';
import { RecordWalker, type RecordWalkerOptions } from './record-walker.ts';
import type { RecordVisitor } from './wal-record.ts';
import { describeStop } from './wal-stop.ts';

const IGNORING: RecordVisitor = { wantedBytes: () => 0, record: () => true };

function startOf(name: string): Lsn {
  return segmentStart(parseSegmentName(name, FIXTURE_SEGMENT_BYTES).number, FIXTURE_SEGMENT_BYTES);
}

function historyOf(major: MajorVersion): { start: Lsn; bytes: Buffer } {
  const { path } = expectedWal(major);
  const [first = ''] = path;
  return { start: startOf(first), bytes: Buffer.concat(path.map((n) => fixtureSegment(major, n))) };
}

type Walked = Omit<RecordWalkerOptions, 'visitor' | 'segmentBytes'>;

function list(pieces: Iterable<Uint8Array>, options: Walked): ReturnType<typeof listRecords> {
  return listRecords(pieces, { segmentBytes: FIXTURE_SEGMENT_BYTES, ...options });
}

const fingerprint = (record: ListedRecord): string =>
  `${recordLine(record)} ${formatLsn(record.endLsn)} ${crc32(record.bytes)}`;

const hexOf = (bytes: Uint8Array = new Uint8Array(0)): string => Buffer.from(bytes).toString('hex');

/** One segment with an ordinary mix of records, which continues a record and is continued. */
const SAMPLE = { major: 16 as MajorVersion, index: 5 };
const sampleName = expectedWal(SAMPLE.major).path[SAMPLE.index] ?? '';
const sample = fixtureSegment(SAMPLE.major, sampleName);
const sampleStart = startOf(sampleName);
const sampleRecords = list([sample], { start: sampleStart }).records.map(fingerprint);

describe('the record walker', () => {
  test.each(SUPPORTED_MAJORS)('reads WAL of %i record by record as PostgreSQL does', (major) => {
    const expected = expectedWal(major);
    const { start, bytes } = historyOf(major);
    const { records, walker } = list([bytes], { start });
    const lines = records.map(recordLine);
    expect(records.length).toBe(expected.recordCount);
    const digest = createHash('sha256').update(lines.map((line) => `${line}\n`).join(''));
    expect(digest.digest('hex')).toBe(expected.recordsSha256);
    const managers: Record<string, number> = {};
    for (const { resourceManager } of records) {
      const name = RESOURCE_MANAGER_NAMES[resourceManager] ?? '';
      managers[name] = (managers[name] ?? 0) + 1;
    }
    expect(managers).toEqual(expected.resourceManagers);
    expect(walker.version?.major).toBe(major);
    expect(String(walker.systemIdentifier)).toBe(expected.systemIdentifier);
    expect(walker.timelines).toEqual({ first: 1, last: 2 });
  });

  test.each(SUPPORTED_MAJORS)('leaves out the record that a crash of %i cut off', (major) => {
    const { start, bytes } = historyOf(major);
    const lost: Lsn[] = [];
    const walker = new RecordWalker({
      start,
      segmentBytes: FIXTURE_SEGMENT_BYTES,
      visitor: { ...IGNORING, overwritten: (lsn) => lost.push(lsn) },
    });
    walker.feed(bytes);
    expect(lost.length).toBe(1);
    expect(walker.recordCount).toBe(expectedWal(major).recordCount);
  });

  test('gives the same records however the bytes are cut', () => {
    const small = sample.subarray(0, 200_000);
    const whole = list([small], { start: sampleStart });
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 30_000 }), { minLength: 1 }), (lengths) => {
        const pieces: Uint8Array[] = [];
        for (let at = 0, turn = 0; at < small.length; turn += 1) {
          const length = lengths[turn % lengths.length] ?? 1;
          pieces.push(small.subarray(at, at + length));
          at += length;
        }
        const { records, walker } = list(pieces, { start: sampleStart });
        expect(records.map(fingerprint)).toEqual(whole.records.map(fingerprint));
        expect(walker.tail).toEqual(whole.walker.tail);
        expect(walker.head).toEqual(whole.walker.head);
        expect(walker.validEnd).toBe(whole.walker.validEnd);
      }),
      { numRuns: 60 },
    );
  });

  test('gives the same records when every byte comes alone', () => {
    const bytes = [...sample.subarray(0, 60_000)].map((byte) => Uint8Array.of(byte));
    const { records } = list(bytes, { start: sampleStart });
    expect(records.map(fingerprint)).toEqual(sampleRecords.slice(0, records.length));
    expect(records.length).toBe(
      list([sample.subarray(0, 60_000)], { start: sampleStart }).records.length,
    );
  });

  test('keeps nothing of the bytes it is fed', () => {
    const name = expectedWal(16).path[6] ?? '';
    const bytes = fixtureSegment(16, name).subarray(0, 100_000);
    const whole = list([bytes], { start: startOf(name) });
    function* reused(): Generator<Uint8Array> {
      const buffer = Buffer.alloc(1000);
      for (let at = 0; at < bytes.length; at += buffer.length) {
        const length = bytes.copy(buffer, 0, at, at + buffer.length);
        yield buffer.subarray(0, length);
      }
    }
    const { records, walker } = list(reused(), { start: startOf(name) });
    expect(records.map(fingerprint)).toEqual(whole.records.map(fingerprint));
    expect(hexOf(walker.head?.bytes)).toBe(hexOf(whole.walker.head?.bytes));
    expect(walker.head?.bytes?.length).toBeGreaterThan(1000);
  });

  test('a cut at any byte leaves the records before it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: sample.length }), (length) => {
        const { records, walker } = list([sample.subarray(0, length)], { start: sampleStart });
        expect(records.map(fingerprint)).toEqual(sampleRecords.slice(0, records.length));
        const ends = Number((records.at(-1)?.endLsn ?? sampleStart) - sampleStart);
        const stopLsn = walker.stop?.lsn ?? sampleStart + BigInt(length);
        expect(ends).toBeLessThanOrEqual(length + 7);
        expect(stopLsn).toBeGreaterThanOrEqual(walker.validEnd - 7n);
      }),
      { numRuns: 100 },
    );
  });

  test.each([5, 6])('a changed byte anywhere in segment %i never makes a wrong record', (index) => {
    const name = expectedWal(SAMPLE.major).path[index] ?? '';
    const bytes = fixtureSegment(SAMPLE.major, name).subarray(0, 120_000);
    const start = startOf(name);
    const all = list([bytes], { start }).records;
    const known = all.map(fingerprint);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: bytes.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        (position, change) => {
          const damaged = Buffer.from(bytes);
          damaged[position] = (damaged[position] ?? 0) ^ change;
          const found = list([damaged], { start }).records.map(fingerprint);
          // In the first page's header it may hide records, which the join with the segment before finds.
          const from = position < 40 ? known.indexOf(found[0] ?? '') : 0;
          expect(found).toEqual(known.slice(Math.max(from, 0), Math.max(from, 0) + found.length));
          const touched = all.find(({ lsn, totalBytes }) => {
            const begin = Number(lsn - start);
            const isOnOnePage = (begin % 8192) + totalBytes <= 8192;
            return isOnOnePage && position >= begin && position < begin + totalBytes;
          });
          expect(touched === undefined ? [] : found).not.toContain(
            touched === undefined ? '' : fingerprint(touched),
          );
        },
      ),
      { numRuns: 250 },
    );
  });

  test('random bytes end in a typed stop', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 24, maxLength: 300 }), (tail) => {
        const head = sample.subarray(0, 8192 * 3);
        const { walker } = list([head, tail], { start: sampleStart });
        expect(walker.recordCount).toBeLessThanOrEqual(
          list([head], { start: sampleStart }).records.length,
        );
      }),
      { numRuns: 100 },
    );
  });

  test.each([16, 40, 5000])(
    'skips a record begun before over several pages, fed %i at a time',
    (size) => {
      const major = 16;
      const { path } = expectedWal(major);
      const names = path.filter((name) => {
        const walker = new RecordWalker({
          start: startOf(name),
          segmentBytes: FIXTURE_SEGMENT_BYTES,
          visitor: IGNORING,
        });
        walker.feed(fixtureSegment(major, name));
        return (walker.head?.remainingBytes ?? 0) > 8192;
      });
      expect(names.length).toBeGreaterThan(1);
      const name = names.at(-1) ?? '';
      const bytes = fixtureSegment(major, name);
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, turn) =>
        bytes.subarray(turn * size, (turn + 1) * size),
      );
      const { records, walker } = list(pieces, { start: startOf(name) });
      expect(walker.head?.length).toBe(walker.head?.remainingBytes);
      const { start, bytes: all } = historyOf(major);
      const followed = list([all], { start }).records.filter(({ lsn }) => lsn >= startOf(name));
      expect(records.slice(0, 50).map(fingerprint)).toEqual(followed.slice(0, 50).map(fingerprint));
    },
  );

  test('a fragment at the end holds the very bytes of its record', () => {
    const { records } = list([sample], { start: sampleStart });
    fc.assert(
      fc.property(fc.integer({ min: 8192, max: sample.length }), (length) => {
        const walker = new RecordWalker({
          start: sampleStart,
          segmentBytes: FIXTURE_SEGMENT_BYTES,
          visitor: IGNORING,
        });
        walker.feed(sample.subarray(0, length));
        const { tail } = walker;
        const record = records.find(({ lsn }) => lsn === tail?.lsn);
        const known = record ? tail?.bytes : undefined;
        expect(hexOf(known)).toBe(hexOf(known && record?.bytes.subarray(0, tail?.length)));
        expect(tail === undefined || tail.bytes !== undefined || tail.length > 16_384).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  test.each(SUPPORTED_MAJORS)('begins inside the record that a crash of %i cut off', (major) => {
    const { start, bytes } = historyOf(major);
    const { records } = list([bytes], { start });
    let lost: Lsn | undefined;
    const whole = new RecordWalker({
      start,
      segmentBytes: FIXTURE_SEGMENT_BYTES,
      visitor: { ...IGNORING, overwritten: (lsn) => (lost = lsn) },
    });
    whole.feed(bytes);
    const inside = (Number((lost ?? start) - start) & ~8191) + 8192;
    const from = toLsn(start + BigInt(inside));
    const { records: rest, walker } = list([bytes.subarray(inside)], { start: from });
    expect(walker.head).toMatchObject({ overwritten: true });
    expect(walker.head?.length).toBeLessThan(walker.head?.remainingBytes ?? 0);
    expect(rest.map(fingerprint)).toEqual(
      records.filter(({ lsn }) => lsn >= from).map(fingerprint),
    );
    expect(rest.length).toBeGreaterThan(10);
  });

  test('a record nobody wants is checked and not kept', () => {
    const { start, bytes } = historyOf(16);
    let longest = 0;
    let held = 0;
    const walker = new RecordWalker({
      start,
      segmentBytes: FIXTURE_SEGMENT_BYTES,
      visitor: {
        wantedBytes: () => 0,
        record: (record) => {
          longest = Math.max(longest, record.totalBytes);
          if (record.totalBytes > 20_000) held = Math.max(held, record.heldBytes);
          return true;
        },
      },
    });
    for (let at = 0; at < bytes.length; at += 65_536) walker.feed(bytes.subarray(at, at + 65_536));
    expect(longest).toBeGreaterThan(2 * FIXTURE_SEGMENT_BYTES);
    expect(held).toBeLessThanOrEqual(16_384);
  });
});

describe('the walk ends', () => {
  const page = 8192;
  const damage = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(sample);
    change(bytes);
    return bytes;
  };
  const stopOf = (bytes: Uint8Array, options: Partial<Walked> = {}): string => {
    const { walker } = list([bytes], { start: sampleStart, ...options });
    return walker.stop === undefined ? 'no stop' : walker.stop.reason;
  };
  const first = list([sample], { start: sampleStart }).records.find(
    ({ lsn, totalBytes }) => Number(lsn % 8192n) + totalBytes < page && totalBytes > 40,
  );
  const at = Number((first?.lsn ?? sampleStart) - sampleStart);

  test.each<[string, Buffer, Partial<Walked>]>([
    ['unknown-magic', damage((b) => b.writeUInt16LE(0xd1ff, 0)), {}],
    ['wrong-magic', sample, { majorVersion: 15 }],
    ['wrong-magic', damage((b) => b.writeUInt16LE(0xd110, page)), {}],
    ['zero-page', damage((b) => b.fill(0, 0, page)), {}],
    ['bad-page-flags', damage((b) => b.writeUInt16LE(0x10, page + 2)), {}],
    ['bad-page-flags', damage((b) => b.writeUInt16LE(0, 2)), {}],
    ['bad-page-address', damage((b) => b.writeUInt32LE(1, page + 8)), {}],
    ['bad-page-address', damage((b) => b.writeUInt32LE(1, page + 12)), {}],
    ['wrong-system-id', sample, { systemIdentifier: 1n }],
    ['wrong-segment-size', damage((b) => b.writeUInt32LE(16 * 1024 * 1024, 32)), {}],
    ['wrong-block-size', damage((b) => b.writeUInt32LE(4096, 36)), {}],
    ['wrong-timeline', damage((b) => b.writeUInt32LE(9, page + 4)), { timelineMax: 2 }],
    ['wrong-timeline', damage((b) => b.writeUInt32LE(0, page + 4)), {}],
    ['zero-length', damage((b) => b.fill(0, at)), {}],
    ['bad-length', damage((b) => b.writeUInt32LE(23, at)), {}],
    ['bad-length', damage((b) => b.writeUInt32LE(0xffff_ffff, at)), {}],
    ['bad-resource-manager', damage((b) => b.writeUInt8(60, at + 17)), {}],
    ['bad-prev-link', damage((b) => b.writeUInt32LE(8, at + 8)), { previousRecord: toLsn(1n) }],
    ['bad-crc', damage((b) => b.writeUInt8((b[at + 30] ?? 0) ^ 1, at + 30)), {}],
  ])('by %s', (reason, bytes, options) => {
    expect(stopOf(bytes, options)).toBe(reason);
  });

  const straddling = list([sample], { start: sampleStart }).records.find(
    ({ lsn, totalBytes }) => Number(lsn % 8192n) + totalBytes > page,
  );
  const begin = Number((straddling?.lsn ?? sampleStart) - sampleStart);
  const next = Math.ceil(begin / page) * page;

  test.each<[string, (bytes: Buffer) => void]>([
    ['missing-continuation', (b) => b.writeUInt16LE(0, next + 2)],
    ['bad-continuation-length', (b) => b.writeUInt32LE(1, next + 16)],
    ['zero-page', (b) => b.fill(0, next)],
  ])('by %s inside a record, and valid WAL ends before it', (reason, change) => {
    const { walker, records } = list([damage(change)], { start: sampleStart });
    expect(walker.stop?.reason).toBe(reason);
    expect(walker.stop?.lsn).toBe(toLsn(sampleStart + BigInt(next)));
    expect(records.at(-1)?.endLsn).toBe(walker.validEnd);
    expect(walker.validEnd).toBe(straddling?.lsn);
  });

  test('says in words where and why', () => {
    expect(describeStop({ reason: 'bad-crc', lsn: parseLsn('16/B374D848') })).toBe(
      'WAL ends at 16/B374D848: the record checksum does not match',
    );
  });
});
