import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  expectedReferences,
  expectedWal,
  FIXTURE_SEGMENT_BYTES,
  fixtureSegment,
  referenceLine,
} from '../../../test/fixtures/wal/load.ts';
import { toLsn, type Lsn } from '../lsn.ts';
import { parseSegmentName, segmentStart } from '../segment-name.ts';
import { SUPPORTED_MAJORS, type MajorVersion } from '../version.ts';
import { BlockReferences, REFERENCE_BYTES_MAX, type RecordStart } from './block-reference.ts';
import { listRecords, type ListedRecord } from './list-records.ts';
import { walVersionOf } from './versions/lookup.ts';

const FORKS = ['main', 'fsm', 'vm', 'init'];
const PAGE = 8192;

function recordsOf(major: MajorVersion): ListedRecord[] {
  const { path } = expectedWal(major);
  const { number } = parseSegmentName(path[0] ?? '', FIXTURE_SEGMENT_BYTES);
  return listRecords(
    path.map((name) => fixtureSegment(major, name)),
    { start: segmentStart(number, FIXTURE_SEGMENT_BYTES), segmentBytes: FIXTURE_SEGMENT_BYTES },
  ).records;
}

function startOf(bytes: Uint8Array, major: MajorVersion): RecordStart {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { version: walVersionOf(major), view, start: 0, totalBytes: bytes.length };
}

function linesOf(bytes: Uint8Array, major: MajorVersion, lsn: Lsn = toLsn(0n)): string[] {
  const references = new BlockReferences();
  references.open(startOf(bytes, major));
  const lines: string[] = [];
  while (references.next()) {
    const { id, tablespaceOid, databaseOid, relfilenode, fork, block } = references;
    const image = references.image();
    const saved =
      image === undefined || image.compression === 'none'
        ? 0
        : PAGE - image.holeBytes - image.storedBytes;
    lines.push(
      referenceLine({
        lsn,
        id,
        relation: `${tablespaceOid}/${databaseOid}/${relfilenode}`,
        fork: FORKS[fork] ?? '',
        block,
        image: image && { ...image, savedBytes: saved },
      }),
    );
  }
  if (references.problem !== undefined) throw new Error(references.problem);
  return lines;
}

/** Those whose pg_waldump was at hand; 14 is 13 with top-level transactions, 16 is 15. */
const EXPECTED = SUPPORTED_MAJORS.flatMap((major) => {
  const expected = expectedReferences(major);
  return expected === undefined ? [] : [[major, expected] as const];
});

test.each(EXPECTED)(
  'block references of %i are those that pg_waldump prints',
  (major, expected) => {
    const lines = recordsOf(major).flatMap(({ bytes, lsn }) => linesOf(bytes, major, lsn));
    expect(lines.length).toBe(expected.count);
    expect(lines.filter((line) => line.includes(' image ')).length).toBe(expected.images);
    const digest = createHash('sha256').update(lines.map((line) => `${line}\n`).join(''));
    expect(digest.digest('hex')).toBe(expected.sha256);
  },
);

test('four versions of pg_waldump were asked', () => {
  expect(EXPECTED.map(([major]) => major)).toEqual([13, 15, 17, 18]);
});

describe.each(SUPPORTED_MAJORS)('block references of %i', (major) => {
  const records = recordsOf(major);
  test('lie in the first bytes of a record, however long it is', () => {
    const references = new BlockReferences();
    for (const { bytes } of records.filter(({ totalBytes }) => totalBytes > REFERENCE_BYTES_MAX)) {
      const short = bytes.slice(0, REFERENCE_BYTES_MAX);
      references.open({ ...startOf(short, major), totalBytes: bytes.length }, short.length);
      const blocks: number[] = [];
      while (references.next()) blocks.push(references.block);
      expect(references.problem).toBeUndefined();
      expect(blocks.length).toBe(linesOf(bytes, major).length);
    }
  });

  test('a changed byte makes a problem or other references, never an exception', () => {
    const some = records.filter(({ resourceManager }) => resourceManager >= 9).slice(0, 3000);
    const references = new BlockReferences();
    fc.assert(
      fc.property(fc.nat(some.length - 1), fc.nat(200), fc.nat(255), (row, position, value) => {
        const bytes = Buffer.from(some[row]?.bytes ?? []);
        bytes[24 + (position % (bytes.length - 24))] = value;
        references.open(startOf(bytes, major));
        let count = 0;
        while (references.next()) count += 1;
        expect(count).toBeLessThanOrEqual(33);
      }),
      { numRuns: 2000 },
    );
  });

  test('a record of which too little is held is refused, never read short', () => {
    const record = records.find(({ bytes }) => linesOf(bytes, major).length >= 3)?.bytes;
    if (record === undefined) throw new Error('no such record');
    const all = linesOf(record, major).length;
    const references = new BlockReferences();
    let refused = 0;
    const readShort: number[] = [];
    for (let held = 24; held < record.length; held += 1) {
      references.open(
        { ...startOf(record.slice(0, held), major), totalBytes: record.length },
        held,
      );
      let count = 0;
      while (references.next()) count += 1;
      if (references.problem !== undefined) refused += 1;
      else if (count !== all) readShort.push(held);
    }
    expect(readShort).toEqual([]);
    expect(refused).toBeGreaterThan(30);
  });
});

/** Builds the bytes behind a record's header. */
class RecordBuilder {
  readonly #parts: Buffer[] = [Buffer.alloc(24)];
  #payload = 0;

  put(size: 1 | 2 | 4, ...values: number[]): this {
    for (const value of values) {
      const part = Buffer.alloc(size);
      part.writeUIntLE(value, 0, size);
      this.#parts.push(part);
    }
    return this;
  }

  block(id: number, flags: number, dataBytes = 0): this {
    this.#payload += dataBytes;
    return this.put(1, id, flags).put(2, dataBytes);
  }

  image(bytes: number, info: number, holeBytes?: number): this {
    this.#payload += bytes;
    this.put(2, bytes, 64).put(1, info);
    return holeBytes === undefined ? this : this.put(2, holeBytes);
  }

  get bytes(): Buffer {
    return Buffer.concat([...this.#parts, Buffer.alloc(this.#payload)]);
  }
}

describe('a record', () => {
  const WITH_IMAGE = 0x10;

  test('may name a relation once for several blocks', () => {
    const { bytes } = new RecordBuilder()
      .block(0, 0x20, 7)
      .put(4, 1663, 5, 16_384, 42)
      .block(1, 0x80)
      .put(4, 43)
      .block(5, 0xc2)
      .put(4, 1);
    expect(linesOf(bytes, 13)).toEqual([
      '0/0 0 1663/5/16384 main 42',
      '0/0 1 1663/5/16384 main 43',
      '0/0 5 1663/5/16384 vm 1',
    ]);
  });

  test('tells whether a page is made anew', () => {
    const { bytes } = new RecordBuilder().block(0, 0x43).put(4, 1664, 0, 1262, 3);
    const references = new BlockReferences();
    references.open(startOf(bytes, 18));
    expect(references.next()).toBe(true);
    expect(references).toMatchObject({
      willInitialize: true,
      hasImage: false,
      fork: 3,
      databaseOid: 0,
    });
  });

  test.each([
    [13, 0x05, { compression: 'none', holeBytes: 8192 - 100 }],
    [13, 0x07, { compression: 'pglz', holeBytes: 500 }],
    [13, 0x06, { compression: 'pglz', holeBytes: 0 }],
    [14, 0x07, { compression: 'pglz', holeBytes: 500 }],
    [15, 0x03, { compression: 'none', holeBytes: 8192 - 100 }],
    [15, 0x07, { compression: 'pglz', holeBytes: 500 }],
    [16, 0x0b, { compression: 'lz4', holeBytes: 500 }],
    [17, 0x13, { compression: 'zstd', holeBytes: 500 }],
    [18, 0x12, { compression: 'zstd', holeBytes: 0 }],
  ] as const)('of %i with image flags %i is read to its end', (major, info, image) => {
    const { compression, holeBytes } = image;
    const isStored = compression !== 'none' && holeBytes > 0;
    const { bytes } = new RecordBuilder()
      .block(0, WITH_IMAGE)
      .image(100, info, isStored ? holeBytes : undefined)
      .put(4, 1663, 5, 7, 9)
      .put(1, 255, 0);
    const references = new BlockReferences();
    references.open(startOf(bytes, major));
    expect(references.next()).toBe(true);
    expect(references.block).toBe(9);
    expect(references.image()).toEqual({
      storedBytes: 100,
      holeOffset: 64,
      isApplied: true,
      ...image,
    });
    expect(references.next()).toBe(false);
    expect(references.problem).toBeUndefined();
  });

  test('may carry a replication origin and a top-level transaction, the latter from 14 on', () => {
    const { bytes } = new RecordBuilder()
      .block(0, 0)
      .put(4, 1663, 5, 7, 9)
      .put(1, 253)
      .put(2, 1)
      .put(1, 252)
      .put(4, 700)
      .put(1, 254)
      .put(4, 0);
    for (const major of SUPPORTED_MAJORS.filter((version) => version >= 14)) {
      expect(linesOf(bytes, major)).toHaveLength(1);
    }
    expect(() => linesOf(bytes, 13)).toThrow('unknown block id 252');
  });

  test('may end with a replication origin alone', () => {
    const { bytes } = new RecordBuilder().put(1, 253).put(2, 1);
    expect(linesOf(bytes, 18)).toEqual([]);
  });

  test.each([
    [
      'ids that do not ascend',
      new RecordBuilder().block(1, 0).put(4, 1, 2, 3, 4).block(1, 0x80).put(4, 5),
      'ascend',
    ],
    ['a fork beyond the last', new RecordBuilder().block(0, 4).put(4, 1, 2, 3, 4), 'unknown fork'],
    ['the same relation as none', new RecordBuilder().block(0, 0x80).put(4, 5), 'no relation'],
    ['data without saying so', new RecordBuilder().block(0, 0, 3).put(4, 1, 2, 3, 4), 'denied'],
    ['no data after saying so', new RecordBuilder().block(0, 0x20).put(4, 1, 2, 3, 4), 'denied'],
    ['an unknown id', new RecordBuilder().put(1, 33).put(4, 1), 'unknown block id'],
    [
      'bytes that nobody announced',
      new RecordBuilder().put(1, 255, 2).put(1, 1, 2, 3),
      'main data',
    ],
  ])('with %s is refused', (_, { bytes }, problem) => {
    expect(() => linesOf(bytes, 18)).toThrow(problem);
  });
});
