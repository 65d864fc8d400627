import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  expectedWal,
  FIXTURE_SEGMENT_BYTES,
  fixtureSegment,
} from '../../../test/fixtures/wal/load.ts';
import { parseSegmentName, segmentStart } from '../segment-name.ts';
import { SUPPORTED_MAJORS, type MajorVersion } from '../version.ts';
import { listRecords } from './list-records.ts';
import { mainDataStart } from './main-data.ts';
import { parseRecord, type ParsableRecord } from './record-parser.ts';
import { walVersionOf, walVersionOfMagic } from './versions/lookup.ts';

function parsable(
  bytes: Uint8Array,
  facts: { major: MajorVersion; resourceManager: number; info: number; xid?: number },
): ParsableRecord {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { major, resourceManager, info, xid = 7 } = facts;
  const version = walVersionOf(major);
  return { version, bytes, view, start: 0, totalBytes: bytes.length, resourceManager, info, xid };
}

/** A record with nothing but short main data. */
function withMainData(...words: number[]): Buffer {
  const bytes = Buffer.alloc(26 + words.length * 4);
  bytes.writeUInt8(255, 24);
  bytes.writeUInt8(words.length * 4, 25);
  for (const [at, word] of words.entries()) bytes.writeUInt32LE(word >>> 0, 26 + at * 4);
  return bytes;
}

describe.each(SUPPORTED_MAJORS)('records of %i', (major) => {
  const { path } = expectedWal(major);
  const { number } = parseSegmentName(path[0] ?? '', FIXTURE_SEGMENT_BYTES);
  const { records } = listRecords(
    path.map((name) => fixtureSegment(major, name)),
    { start: segmentStart(number, FIXTURE_SEGMENT_BYTES), segmentBytes: FIXTURE_SEGMENT_BYTES },
  );

  test('every record has its main data behind its block references', () => {
    for (const record of records) {
      const at = mainDataStart(parsable(record.bytes, { ...record, major }));
      expect(at).toBeGreaterThanOrEqual(24);
      expect(at).toBeLessThanOrEqual(record.totalBytes);
    }
  });

  test('content that does not fit is refused as RangeError, never otherwise', () => {
    const some = records.filter(({ resourceManager }) => [0, 1, 2, 4].includes(resourceManager));
    fc.assert(
      fc.property(fc.nat(some.length - 1), fc.nat(400), fc.nat(255), (row, position, value) => {
        const record = some[row];
        const bytes = Buffer.from(record?.bytes.subarray(0, 4096) ?? []);
        bytes[24 + (position % (bytes.length - 24))] = value;
        let outcome = 'read';
        try {
          parseRecord(parsable(bytes, { resourceManager: 0, info: 0, ...record, major }));
        } catch (error) {
          outcome = error instanceof RangeError ? 'refused' : String(error);
        }
        expect(['read', 'refused']).toContain(outcome);
      }),
      { numRuns: 300 },
    );
  });
});

describe('the parser', () => {
  test.each([15, 16, 17, 18] as const)('tells the two ways to create a database of %i', (major) => {
    const created = { kind: 'database-created', database: 5, tablespace: 1663 };
    const facts = { major, resourceManager: 4 };
    expect(parseRecord(parsable(withMainData(5, 1663, 1, 1663), { ...facts, info: 0 }))).toEqual({
      ...created,
      byFileCopy: true,
    });
    expect(parseRecord(parsable(withMainData(5, 1663), { ...facts, info: 0x10 }))).toEqual({
      ...created,
      byFileCopy: false,
    });
  });

  test.each([13, 14] as const)('reads 0x10 as the drop of a database of %i', (major) => {
    const record = parsable(withMainData(5, 2, 1663, 9), { major, resourceManager: 4, info: 0x10 });
    expect(parseRecord(record)).toEqual({
      kind: 'database-dropped',
      database: 5,
      tablespaces: [1663, 9],
    });
  });

  test('reads a truncation with its forks', () => {
    const record = parsable(withMainData(9, 1663, 5, 16_384, 3), {
      major: 18,
      resourceManager: 2,
      info: 0x20,
    });
    expect(parseRecord(record)).toEqual({
      kind: 'relation-truncated',
      relation: { tablespace: 1663, database: 5, relation: 16_384 },
      blocks: 9,
      flags: 3,
    });
  });

  test('reads times before 2000', () => {
    const record = parsable(withMainData(-1, -1), { major: 18, resourceManager: 1, info: 0 });
    expect(parseRecord(record)).toMatchObject({ kind: 'commit', timeUs: -1, xid: 7 });
  });

  test('knows the magic of 13 to 18 and no other', () => {
    const majors = Array.from({ length: 0x200 }, (_, at) => walVersionOfMagic(0xd000 + at)?.major);
    expect(majors.filter((major) => major !== undefined)).toEqual([...SUPPORTED_MAJORS]);
  });
});
