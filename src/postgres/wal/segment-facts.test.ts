import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  expectedWal,
  FIXTURE_SEGMENT_BYTES,
  fixtureSegment,
  fixtureSegmentNames,
} from '../../../test/fixtures/wal/load.ts';
import { formatLsn, toLsn, type Lsn } from '../lsn.ts';
import { SUPPORTED_MAJORS, type MajorVersion } from '../version.ts';
import { joinSegments, type SegmentJoin } from './join-segments.ts';
import { formatPostgresTime } from './postgres-time.ts';
import { readStraddlingRecord } from './read-straddling-record.ts';
import { decodeSegmentFacts, encodeSegmentFacts } from './segment-facts-codec.ts';
import {
  commitTimes,
  describeSegment,
  SegmentDescriber,
  segmentProblem,
  summarizeFacts,
  type SegmentFacts,
} from './segment-facts.ts';
import { transactionAt, type IndexedTransaction, type SegmentIndex } from './segment-index.ts';

const segmentBytes = FIXTURE_SEGMENT_BYTES;

function factsOf(major: MajorVersion, name: string): SegmentFacts {
  return describeSegment(fixtureSegment(major, name), { name, segmentBytes });
}

function pathFacts(major: MajorVersion): SegmentFacts[] {
  return expectedWal(major).path.map((name) => factsOf(major, name));
}

function transactionsOf(index: SegmentIndex, startLsn: Lsn): IndexedTransaction[] {
  return Array.from({ length: index.transactions.count }, (_, row) =>
    transactionAt(index.transactions, row, startLsn),
  ).filter((entry) => entry !== undefined);
}

function asExpected(entry: IndexedTransaction): Record<string, unknown> {
  return {
    lsn: formatLsn(entry.lsn),
    kind: entry.kind.toUpperCase().replace('-', '_'),
    xid: entry.xid,
    time: formatPostgresTime(entry.timeUs).replace('T', ' ').replace('Z', ' UTC'),
  };
}

describe.each(SUPPORTED_MAJORS)('facts of the segments of %i', (major) => {
  const expected = expectedWal(major);
  const all = pathFacts(major);
  const joins = all.slice(1).map((next, at) => joinSegments(all[at] ?? next, next));
  const straddling = joins.flatMap((join) =>
    join.kind === 'joined' && join.straddling ? [join.straddling] : [],
  );

  test('every commit and abort has the xid and the microsecond that PostgreSQL shows', () => {
    const found = [
      ...all.flatMap((facts) => transactionsOf(facts.index, facts.startLsn)),
      ...straddling.flatMap(({ index, lsn }) =>
        transactionsOf(index, toLsn(lsn - (lsn % BigInt(segmentBytes)))),
      ),
    ].toSorted((first, second) => (first.lsn < second.lsn ? -1 : 1));
    expect(found.map(asExpected)).toEqual(expected.transactions);
    expect(found.every(({ lsn, endLsn }) => endLsn > lsn)).toBe(true);
  });

  test('a prepared transaction that drops a table is found whole', () => {
    const prepared = all
      .flatMap((facts) => transactionsOf(facts.index, facts.startLsn))
      .find(({ kind }) => kind === 'commit-prepared');
    const drop = all.flatMap(({ index }) => index.events).find(({ lsn }) => lsn === prepared?.lsn);
    expect(drop).toMatchObject({ kind: 'relations-dropped', xid: prepared?.xid, count: 1 });
  });

  test('the commit between two segments ends where the next record begins', () => {
    const commit = straddling.find(({ index }) => index.transactions.count === 1);
    const next = all.find(({ head }) => (head?.bytes?.length ?? 0) > 0);
    expect(commit?.endLsn).toBe(next?.firstRecordLsn);
    const [end = 0] = commit?.index.transactions.endOffsets ?? [];
    expect(end % segmentBytes).toBe(Number((commit?.endLsn ?? 0n) % BigInt(segmentBytes)));
  });

  test('restore points keep their names and places', () => {
    const points = all.flatMap(({ index }) => index.restorePoints);
    expect(points.map(({ lsn, name }) => ({ lsn: formatLsn(lsn), name }))).toEqual(
      expected.restorePoints,
    );
  });

  test('events and checkpoints are there', () => {
    const count = (kind: string): number =>
      all.flatMap(({ index }) => index.events).filter((event) => event.kind === kind).length;
    const drops = all
      .flatMap(({ index }) => index.events)
      .filter((event) => event.kind === 'relations-dropped');
    expect(drops.some((event) => event.count > 0 && event.relations.length === event.count)).toBe(
      true,
    );
    expect(count('relation-truncated')).toBe(1);
    expect(count('database-created')).toBe(1);
    expect(count('database-dropped')).toBe(1);
    expect(count('wal-level')).toBe(1);
    expect(count('backup-end')).toBe(1);
    expect(count('record-overwritten')).toBe(1);
    expect(count('end-of-recovery')).toBe(1);
    const checkpoints = all.flatMap(({ index }) => index.checkpoints);
    const isPlausible = checkpoints.every(
      ({ redo, lsn, timeline, timeUs }) =>
        redo <= lsn &&
        timeline <= 2 &&
        Math.abs(timeUs - (commitTimes(all[0]?.index ?? emptyIndex)?.firstUs ?? 0)) < 3_600_000_000,
    );
    expect(isPlausible).toBe(true);
    const operations = expected.operations;
    const expectedCheckpoints =
      (operations['XLOG/CHECKPOINT_ONLINE'] ?? 0) + (operations['XLOG/CHECKPOINT_SHUTDOWN'] ?? 0);
    expect(checkpoints.length).toBe(expectedCheckpoints || checkpoints.length);
  });

  test('neighbours join, over a switch, a lost record and a promotion', () => {
    expect(joins.map(({ kind }) => kind).filter((kind) => kind === 'broken')).toEqual([]);
    expect(straddling.map(({ index }) => index.transactions.count)).toContain(1);
    expect(joins.filter(({ kind }) => kind === 'needs-segments').length).toBeGreaterThan(1);
    expect(all.filter(({ end }) => end === 'switch').length).toBeGreaterThan(0);
    expect(all.filter(({ head }) => head?.overwritten === true).length).toBe(1);
  });

  test('are the same when the segment comes in pieces, and after encoding', () => {
    for (const facts of all) {
      const bytes = fixtureSegment(major, facts.name);
      const describer = new SegmentDescriber({ name: facts.name, segmentBytes });
      for (let at = 0; at < bytes.length; at += 4999) describer.feed(bytes.subarray(at, at + 4999));
      expect(describer.finish()).toEqual(facts);
      const encoded = encodeSegmentFacts(facts);
      expect(encodeSegmentFacts(decodeSegmentFacts(encoded))).toEqual(encoded);
      expect(normal(decodeSegmentFacts(encoded))).toEqual(normal(facts));
    }
  });

  test('every finished segment is acceptable', () => {
    expect(all.map((facts) => segmentProblem(facts)).filter(Boolean)).toEqual([]);
  });
});

/** Buffers and arrays alike, so that only content counts. */
function normal(facts: SegmentFacts): unknown {
  return JSON.parse(
    JSON.stringify(facts, (_key, value: unknown) => {
      if (typeof value === 'bigint') return String(value);
      if (ArrayBuffer.isView(value)) return [...(value as Uint8Array)];
      if (typeof value === 'object' && value !== null && 'type' in value && 'data' in value) {
        return value.data;
      }
      return value;
    }),
  );
}

const MAJOR = 17;
const PATH = expectedWal(MAJOR).path;
const plain = pathFacts(MAJOR);
const emptyIndex = describeSegment(new Uint8Array(0), { name: PATH[0] ?? '', segmentBytes }).index;

describe('a segment', () => {
  const name = PATH[0] ?? '';
  const bytes = fixtureSegment(MAJOR, name);

  test('of another system is refused by name', () => {
    const facts = describeSegment(bytes, { name, segmentBytes, systemIdentifier: 1n });
    const error = segmentProblem(facts);
    expect(error?.code).toBe('foreign-system');
    expect(error?.message).toContain(name);
  });

  test('of another version is refused', () => {
    const facts = describeSegment(bytes, { name, segmentBytes, majorVersion: 13 });
    expect(segmentProblem(facts)?.code).toBe('foreign-system');
  });

  test('of an unknown version is refused as unsupported', () => {
    const other = Buffer.from(bytes);
    other.writeUInt16LE(0xd121, 0);
    const error = segmentProblem(describeSegment(other, { name, segmentBytes }));
    expect(error?.code).toBe('unsupported');
    expect(error?.message).toContain('13 to 18');
  });

  test('under a wrong name is refused', () => {
    const wrong = `${name.slice(0, 23)}${name.endsWith('F') ? 'E' : 'F'}`;
    const error = segmentProblem(describeSegment(bytes, { name: wrong, segmentBytes }));
    expect(error?.code).toBe('object-damaged');
    expect(error?.message).toContain('another address');
  });

  test('whose pages are of a later timeline than its name is refused', () => {
    const last = PATH.at(-1) ?? '';
    const facts = describeSegment(fixtureSegment(MAJOR, last), {
      name: `00000001${last.slice(8)}`,
      segmentBytes,
    });
    expect(facts.stop?.reason).toBe('wrong-timeline');
    expect(segmentProblem(facts)?.code).toBe('object-damaged');
  });

  test('that is cut is refused, and longer than its size it is no segment', () => {
    const cut = describeSegment(bytes.subarray(0, 500_000), { name, segmentBytes });
    expect(cut.end).toBe('short');
    expect(segmentProblem(cut)?.message).toContain('shorter');
    const tooLong = Buffer.concat([bytes, Buffer.alloc(1)]);
    expect(() => describeSegment(tooLong, { name, segmentBytes })).toThrow('longer');
  });

  test('with a damaged record is refused with the place', () => {
    const damaged = Buffer.from(bytes);
    const at = Number((plain[0]?.firstRecordLsn ?? 0n) % BigInt(segmentBytes)) + 25;
    damaged.writeUInt8((damaged[at] ?? 0) ^ 4, at);
    const error = segmentProblem(describeSegment(damaged, { name, segmentBytes }));
    expect(error?.code).toBe('object-damaged');
    expect(error?.details['reason']).toBe('bad-crc');
  });

  test('is summarized in one line', () => {
    expect(summarizeFacts(plain[0] ?? plainAt(0))).toMatch(/records, switch at 0\//);
  });
});

function plainAt(position: number): SegmentFacts {
  const facts = plain[position];
  if (facts === undefined) throw new Error('no such fixture');
  return facts;
}

describe('segments that do not continue each other', () => {
  const withTail = plain.findIndex(
    ({ tail }, at) => tail?.bytes !== undefined && (plain[at + 1]?.head?.bytes?.length ?? 0) > 0,
  );
  const previous = plainAt(withTail);
  const next = plainAt(withTail + 1);
  const problemOf = (join: SegmentJoin): string =>
    join.kind === 'broken' ? join.problem : join.kind;

  test.each<[string, Partial<SegmentFacts>, Partial<SegmentFacts>]>([
    ['joined', {}, {}],
    ['not-adjacent', {}, { startLsn: toLsn(0n) }],
    ['other-system', {}, { systemIdentifier: 1n }],
    ['other-version', {}, { majorVersion: 13 }],
    [
      'timeline-goes-back',
      { timelines: { first: 2, last: 2 } },
      { timelines: { first: 1, last: 1 } },
    ],
    ['previous-ends-early', { end: 'short' }, {}],
    ['next-is-empty', {}, { majorVersion: undefined }],
    ['missing-continuation', {}, { head: undefined }],
    ['unexpected-continuation', { tail: undefined }, {}],
    ['bad-prev-link', {}, { firstRecordPrev: toLsn(8n) }],
    ['bad-prev-link', { lastRecordLsn: toLsn(8n) }, {}],
    [
      'bad-continuation-length',
      {},
      { head: { remainingBytes: 1, length: 1, bytes: new Uint8Array(1), overwritten: false } },
    ],
  ])('%s', (problem, first, second) => {
    expect(problemOf(joinSegments({ ...previous, ...first }, { ...next, ...second }))).toBe(
      problem,
    );
  });

  test('a changed byte in the straddling record is found', () => {
    const bytes = Buffer.from(next.head?.bytes ?? []);
    bytes.writeUInt8((bytes[0] ?? 0) ^ 1, 0);
    const head = { remainingBytes: 0, length: 0, overwritten: false, ...next.head, bytes };
    expect(problemOf(joinSegments(previous, { ...next, head }))).toBe('bad-crc');
  });
});

test('WAL that was cut at any byte is valid up to there at most', () => {
  const name = PATH[1] ?? '';
  const bytes = fixtureSegment(MAJOR, name);
  const beyond = Array.from({ length: 5000 }, (_, cut) => cut).filter((cut) => {
    const facts = describeSegment(bytes.subarray(0, cut), { name, segmentBytes });
    return Number(facts.validEnd - facts.startLsn) > cut;
  });
  expect(beyond).toEqual([]);
});

test('a switch record whose end alone is in the segment ends it too', () => {
  const name = PATH[1] ?? '';
  const bytes = Buffer.alloc(segmentBytes);
  bytes.set(fixtureSegment(MAJOR, name).subarray(0, 40));
  bytes.writeUInt16LE(0x0003, 2);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt8(0x40, 40 + 8);
  const facts = describeSegment(bytes, { name, segmentBytes });
  expect(facts).toMatchObject({ end: 'switch', stop: undefined, recordCount: 0 });
  expect(facts.validEnd).toBe(toLsn(facts.startLsn + 56n));
  bytes.writeUInt8(0x50, 40 + 8);
  expect(describeSegment(bytes, { name, segmentBytes }).end).toBe('stopped');
});

describe('a record too long for facts', () => {
  const at = plain.findIndex(({ tail }) => tail !== undefined && tail.bytes === undefined);
  const segments = PATH.slice(at).map((name) => fixtureSegment(MAJOR, name));

  test('is read from the segments it lies in, and no more of them', () => {
    let taken = 0;
    function* pieces(): Generator<Uint8Array> {
      for (const segment of segments) {
        taken += 1;
        yield segment;
      }
    }
    const found = readStraddlingRecord(pieces(), plainAt(at));
    expect(found).toMatchObject({ lsn: plainAt(at).tail?.lsn });
    expect(taken).toBe(3);
  });

  test('is not there when a segment is missing or damaged', () => {
    expect(readStraddlingRecord(segments.slice(0, 2), plainAt(at))).toBeUndefined();
    const damaged = Buffer.from(segments[1] ?? []);
    damaged.writeUInt8(1 ^ (damaged[9000] ?? 0), 9000);
    const [first = damaged, , third = damaged] = segments;
    expect(readStraddlingRecord([first, damaged, third], plainAt(at))).toEqual({
      reason: 'bad-crc',
      lsn: plainAt(at).tail?.lsn,
    });
    expect(readStraddlingRecord([first, third], plainAt(at))).toMatchObject({
      reason: 'bad-page-address',
    });
  });
});

describe('encoded facts', () => {
  test('cut or changed anywhere they are refused or read, never anything else', () => {
    const encoded = encodeSegmentFacts(plainAt(0));
    fc.assert(
      fc.property(fc.nat(encoded.length - 1), fc.nat(255), fc.boolean(), (at, value, isCut) => {
        const changed = isCut ? encoded.slice(0, at) : encoded.slice();
        if (!isCut) changed[at] = value;
        let code = 'read';
        try {
          decodeSegmentFacts(changed);
        } catch (error) {
          code = (error as { code: string }).code;
        }
        expect(isCut ? ['object-damaged'] : ['read', 'object-damaged', 'unsupported']).toContain(
          code,
        );
      }),
      { numRuns: 500 },
    );
  });

  const offset = fc.nat(100_000).map((value) => value * 8);
  const lsnIn = offset.map((value) => toLsn(plainAt(0).startLsn + BigInt(value)));
  const timeUs = fc.integer({ min: 0, max: 2 ** 52 - 1 });
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const rows = fc.array(
    fc.tuple(offset, fc.integer({ min: 4, max: 1000 }), timeUs, u32, fc.nat(3)),
    {
      maxLength: 30,
    },
  );

  test('survive a round trip', () => {
    fc.assert(
      fc.property(
        rows,
        fc.array(
          fc.record({ lsn: lsnIn, timeUs, name: fc.string({ unit: 'grapheme', maxLength: 20 }) }),
        ),
        fc.array(fc.record({ lsn: lsnIn, xid: u32, timeUs, relation: u32 })),
        (transactions, points, drops) => {
          let position = 0;
          const placed = transactions.map(([gap, length, time, xid, kind]) => {
            const begin = position + gap;
            position = begin + length * 8;
            return { begin, end: position, time, xid, kind };
          });
          const index: SegmentIndex = {
            transactions: {
              count: placed.length,
              beginOffsets: Uint32Array.from(placed, ({ begin }) => begin),
              endOffsets: Uint32Array.from(placed, ({ end }) => end),
              timesUs: Float64Array.from(placed, ({ time }) => time),
              xids: Uint32Array.from(placed, ({ xid }) => xid),
              kinds: Uint8Array.from(placed, ({ kind }) => kind),
            },
            restorePoints: points.map((point) => ({ ...point, endLsn: toLsn(point.lsn + 104n) })),
            checkpoints: [],
            events: drops.map(({ lsn, xid, timeUs: time, relation }) => ({
              kind: 'relations-dropped',
              lsn,
              xid,
              timeUs: time,
              count: 40,
              relations: [{ tablespace: 1663, database: 5, relation }],
            })),
            omittedCount: 3,
          };
          const facts = { ...plainAt(0), index };
          expect(normal(decodeSegmentFacts(encodeSegmentFacts(facts)))).toEqual(normal(facts));
        },
      ),
      { numRuns: 100 },
    );
  });
});

test('first and last commit time are those of commits, not of aborts', () => {
  const { index } = plainAt(0);
  const times = commitTimes(index);
  const commits = transactionsOf(index, plainAt(0).startLsn).filter(({ kind }) =>
    kind.startsWith('commit'),
  );
  expect(times).toEqual({ firstUs: commits[0]?.timeUs, lastUs: commits.at(-1)?.timeUs });
  expect(commitTimes(emptyIndex)).toBeUndefined();
});

test('the old end of a timeline and its copy on the next one are both described', () => {
  const switched = fixtureSegmentNames(MAJOR).filter((name) =>
    fixtureSegmentNames(MAJOR).includes(`00000002${name.slice(8)}`),
  );
  expect(switched.length).toBeGreaterThan(1);
  const [old = '', copy = ''] = switched;
  expect(factsOf(MAJOR, old).timelines).toEqual({ first: 1, last: 1 });
  expect(factsOf(MAJOR, copy).timelines.first).toBe(1);
  expect(factsOf(MAJOR, copy).recordCount).toBeGreaterThan(factsOf(MAJOR, old).recordCount);
});
