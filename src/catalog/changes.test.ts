import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { changeText } from '../../test/support/change-text.ts';
import {
  expectedWal,
  FIXTURE_SEGMENT_BYTES,
  fixtureSegment,
} from '../../test/fixtures/wal/load.ts';
import { makeFixtureArchive, type FixtureArchive } from '../../test/support/stored-wal.ts';
import { hasCode } from '../lib/walnut-error.ts';
import { formatLsn, toLsn, type Lsn } from '../postgres/lsn.ts';
import { parseSegmentName, segmentStart } from '../postgres/segment-name.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { SUPPORTED_MAJORS, type MajorVersion } from '../postgres/version.ts';
import { ChangeCollector, type RecordBounds } from '../postgres/wal/change-collector.ts';
import { decodeChangeSpan, encodeChangeSpan } from '../postgres/wal/change-span-codec.ts';
import type { ChangeMap } from '../postgres/wal/change-map.ts';
import { listRecords } from '../postgres/wal/list-records.ts';
import { tryParseRecord } from '../postgres/wal/record-parser.ts';
import { RecordWalker } from '../postgres/wal/record-walker.ts';
import { encodeSegmentFacts } from '../postgres/wal/segment-facts-codec.ts';
import {
  describeSegment,
  SegmentDescriber,
  type SegmentFacts,
} from '../postgres/wal/segment-facts.ts';
import { walKeys } from '../repository/layout.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import { readWalObjectChanges, storeWalObject } from '../repository/wal-object.ts';
import { readChanges, type Changes } from './changes.ts';
import { sealChanges } from './seal-changes.ts';
import { readWalInventory, type WalInventory } from './wal-inventory.ts';

const SIZE = FIXTURE_SEGMENT_BYTES;
const MAJOR = 18;
const ONE = toTimelineId(1);
const { path: PATH, segments: SEGMENTS } = expectedWal(MAJOR);
const startOf = (name: string): Lsn => segmentStart(parseSegmentName(name, SIZE).number, SIZE);
const numberOf = (name: string): bigint => parseSegmentName(name, SIZE).number;
const after = (lsn: Lsn, bytes: number): Lsn => toLsn(lsn + BigInt(bytes));

/** One walk over all WAL along the history of timeline 2. */
function walked(major: MajorVersion, bounds: RecordBounds): { map: ChangeMap; end: Lsn } {
  const { path } = expectedWal(major);
  const start = startOf(path[0] ?? '');
  const collector = new ChangeCollector(start, bounds);
  const walker = new RecordWalker({
    start,
    segmentBytes: SIZE,
    visitor: {
      wantedBytes: () => Infinity,
      record: (record) => {
        const fact = tryParseRecord(record);
        if (fact === false) return false;
        collector.add(record, fact);
        return true;
      },
    },
  });
  for (const name of path) walker.feed(fixtureSegment(major, name));
  return { map: collector.map, end: walker.validEnd };
}

/** Pushes the fixture's WAL as after its promotion: the last segment of each timeline is `.partial`. */
async function pushAll(archive: FixtureArchive, major: MajorVersion): Promise<void> {
  const { segments } = expectedWal(major);
  const left = segments.findLast((name) => name.startsWith('00000001')) ?? '';
  const newest = segments.at(-1) ?? '';
  await archive.pushFixtures(segments.filter((name) => name !== left && name !== newest));
  await archive.push(`${left}.partial`, fixtureSegment(major, left));
  await archive.push(`${newest}.partial`, fixtureSegment(major, newest));
  await pushHistory(archive, major);
}

function factsOf(name: string): SegmentFacts {
  return describeSegment(fixtureSegment(MAJOR, name), { name, segmentBytes: SIZE });
}

async function pushHistory(archive: FixtureArchive, major: MajorVersion): Promise<void> {
  const left = expectedWal(major).segments.findLast((name) => name.startsWith('00000001')) ?? '';
  const { validEnd } = describeSegment(fixtureSegment(major, left), {
    name: left,
    segmentBytes: SIZE,
  });
  await archive.push(
    '00000002.history',
    `1\t${formatLsn(validEnd)}\tno recovery target specified\n`,
  );
}

type Asked = { readonly from: Lsn; readonly to: Lsn; readonly timeline?: number };

async function changesOf({ store, scope }: FixtureArchive, asked: Asked): Promise<Changes> {
  const inventory = await readWalInventory(store, scope);
  const { signal } = new AbortController();
  const { from, to, timeline = 2 } = asked;
  return readChanges(store, inventory, { timeline: toTimelineId(timeline), from, to, signal });
}

function textOf(changes: Changes): string[] {
  if (changes.kind !== 'known') throw new Error(`${changes.kind}: ${changes.reason}`);
  return changeText(changes.map);
}

const keyOf = ({ scope }: FixtureArchive, name: string): string => {
  const incarnation = nameOfIncarnation(scope.incarnation);
  const { timeline } = parseSegmentName(name, SIZE);
  return walKeys.segment({ server: scope.server, incarnation, timeline }, name);
};

async function replace(
  archive: FixtureArchive,
  key: string,
  change: (stored: Buffer) => Buffer,
): Promise<void> {
  const stored = Buffer.from(await archive.store.get(key, 1 << 28));
  await archive.store.delete(key);
  await archive.store.put(key, change(stored));
}

const flip =
  (at: number) =>
  (bytes: Buffer): Buffer => {
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    return bytes;
  };

/** Stores a segment as releases did that knew nothing of changes. */
async function storeWithoutChanges(
  archive: FixtureArchive,
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  const facts = encodeSegmentFacts(describeSegment(bytes, { name, segmentBytes: SIZE }));
  await storeWalObject(archive.store, {
    key: keyOf(archive, name),
    kind: 'wal-segment',
    plain: bytes,
    facts,
    level: 1,
  });
}

const inventoryOf = async ({ store, scope }: FixtureArchive): Promise<WalInventory> =>
  readWalInventory(store, scope);

describe.each(SUPPORTED_MAJORS)('changes of stored WAL of %i', (major) => {
  let archive: FixtureArchive;
  beforeAll(async () => {
    archive = await makeFixtureArchive(major);
    await pushAll(archive, major);
  });

  test('are those of one walk, over a promotion and a record that a crash cut off', async () => {
    const from = after(startOf(expectedWal(major).path[0] ?? ''), 40);
    const { map, end: to } = walked(major, { from });
    const found = textOf(await changesOf(archive, { from, to }));
    expect(found).toEqual(changeText(map));
    expect(found.length).toBeGreaterThan(20);
  });

  test('begin and end exactly at the records asked for', async () => {
    const { records } = listRecords(
      expectedWal(major).path.map((name) => fixtureSegment(major, name)),
      { start: startOf(expectedWal(major).path[0] ?? ''), segmentBytes: SIZE },
    );
    const places = [0, 3000, 9000, records.length - 2].map((row) => records[row]?.lsn ?? toLsn(0n));
    for (const [row, from] of places.entries()) {
      for (const to of places.slice(row)) {
        const { map } = walked(major, { from, to });
        expect(textOf(await changesOf(archive, { from, to }))).toEqual(changeText(map));
      }
    }
  });
});

function outcomeOf(stored: Uint8Array): string {
  try {
    decodeChangeSpan(stored);
    return 'read';
  } catch (error) {
    return hasCode(error, 'object-damaged', 'unsupported') ? 'refused' : 'another error';
  }
}

describe('changes', () => {
  const WHOLE = PATH.slice(0, -1);
  const FROM = after(startOf(PATH[0] ?? ''), 40);
  /** Where the record begins that a crash cut off. */
  const TO = factsOf(WHOLE.at(-1) ?? '').tail?.lsn ?? toLsn(0n);
  const EXPECTED = changeText(walked(MAJOR, { from: FROM, to: TO }).map);
  /** The segments before the first border that no record crosses. */
  const RUN = WHOLE.slice(0, 5);
  const NUMBERS = { first: numberOf(RUN[0] ?? ''), last: numberOf(RUN.at(-1) ?? '') };
  const RUN_TO = after(startOf(WHOLE[5] ?? ''), 40);
  const OF_RUN = changeText(walked(MAJOR, { from: FROM, to: RUN_TO }).map);

  test('are the same in whatever order segments arrive, with restarts in between', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray([...WHOLE], { minLength: WHOLE.length }),
        async (names) => {
          const archive = await makeFixtureArchive(MAJOR);
          for (const name of names) {
            await archive.push(name, fixtureSegment(MAJOR, name));
            // A push that was killed before its exit code is repeated.
            if (numberOf(name) % 2n === 0n) await archive.push(name, fixtureSegment(MAJOR, name));
            const found = await changesOf(archive, { from: FROM, to: TO, timeline: 1 });
            expect(found.kind).toBe(name === names.at(-1) ? 'known' : 'gap');
          }
          const found = await changesOf(archive, { from: FROM, to: TO, timeline: 1 });
          expect(textOf(found)).toEqual(EXPECTED);
        },
      ),
      { numRuns: 6 },
    );
  });

  test('of nothing are none, also where no WAL is stored', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    expect(textOf(await changesOf(archive, { from: FROM, to: FROM, timeline: 1 }))).toEqual([]);
  });

  test('end at a segment’s start although nothing of that segment is stored', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    await archive.pushFixtures(RUN);
    const found = await changesOf(archive, { from: FROM, to: RUN_TO, timeline: 1 });
    expect(textOf(found)).toEqual(OF_RUN);
    const further = await changesOf(archive, { from: FROM, to: after(RUN_TO, 8), timeline: 1 });
    expect(further).toMatchObject({ kind: 'gap', from: startOf(WHOLE[5] ?? '') });
  });

  test('are known only as far as pieces of the open segment tell whole records', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    const [first = '', open = ''] = WHOLE;
    const bytes = fixtureSegment(MAJOR, first);
    const { records } = listRecords([bytes], { start: startOf(first), segmentBytes: SIZE });
    const middle = records[100];
    if (middle === undefined) throw new Error('no record');
    const length = Number(middle.endLsn - startOf(first)) - 9;
    const incarnation = nameOfIncarnation(archive.scope.incarnation);
    const place = { server: archive.scope.server, incarnation, timeline: ONE };
    const key = walKeys.piece(place, { segment: first, offset: 0, length });
    await storeWalObject(archive.store, {
      key,
      kind: 'wal-piece',
      plain: bytes.subarray(0, length),
      level: 1,
    });
    const known = await changesOf(archive, { from: FROM, to: middle.lsn, timeline: 1 });
    expect(textOf(known)).toEqual(changeText(walked(MAJOR, { from: FROM, to: middle.lsn }).map));
    const unknown = await changesOf(archive, { from: FROM, to: middle.endLsn, timeline: 1 });
    expect(unknown).toMatchObject({ kind: 'gap', from: middle.lsn });
    expect(open).not.toBe('');
  });

  test('are decoded again where a segment came without them', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    for (const name of WHOLE) await storeWithoutChanges(archive, name, fixtureSegment(MAJOR, name));
    expect((await readWalObjectChanges(archive.store, keyOf(archive, WHOLE[1] ?? ''))).length).toBe(
      0,
    );
    expect(textOf(await changesOf(archive, { from: FROM, to: TO, timeline: 1 }))).toEqual(EXPECTED);
  });

  test('are decoded again where their part of the annex is damaged, and never taken from it', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    await archive.pushFixtures(WHOLE);
    for (const name of WHOLE) {
      await replace(archive, keyOf(archive, name), (stored) =>
        flip(stored.readUInt32LE(12) - 3)(stored),
      );
    }
    expect(textOf(await changesOf(archive, { from: FROM, to: TO, timeline: 1 }))).toEqual(EXPECTED);
  });

  test.each([
    ['where it does', 2, startOf(WHOLE[2] ?? '')],
    ['where the record does that goes on in it', 3, factsOf(WHOLE[2] ?? '').tail?.lsn],
    ['where the record does that ends in it', 4, factsOf(WHOLE[2] ?? '').tail?.lsn],
  ])('of a missing segment are a gap that begins %s', async (_, row, lsn) => {
    const archive = await makeFixtureArchive(MAJOR);
    await archive.pushFixtures(WHOLE.filter((name) => name !== WHOLE[row]));
    const found = await changesOf(archive, { from: FROM, to: TO, timeline: 1 });
    expect(found).toMatchObject({ kind: 'gap', from: lsn });
  });

  test('of a timeline whose history is not stored are a gap', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    await archive.pushFixtures(WHOLE);
    const found = await changesOf(archive, { from: FROM, to: TO, timeline: 3 });
    expect(found).toMatchObject({ kind: 'gap', from: FROM });
  });

  test('of WAL that goes backwards cannot be known', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    expect(await changesOf(archive, { from: TO, to: FROM, timeline: 1 })).toMatchObject({
      kind: 'unusable',
    });
  });

  test('never count what lies behind the switch point on the timeline that was left', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    const [dead = ''] = WHOLE;
    await archive.pushFixtures([dead]);
    const { records } = listRecords([fixtureSegment(MAJOR, dead)], {
      start: startOf(dead),
      segmentBytes: SIZE,
    });
    const point = records[Math.floor(records.length / 2)]?.lsn ?? toLsn(0n);
    await archive.push(
      '00000002.history',
      `1\t${formatLsn(point)}\tno recovery target specified\n`,
    );
    const found = textOf(await changesOf(archive, { from: FROM, to: point }));
    expect(found).toEqual(changeText(walked(MAJOR, { from: FROM, to: point }).map));
    expect(found).not.toEqual(
      textOf(await changesOf(archive, { from: FROM, to: after(startOf(dead), SIZE), timeline: 1 })),
    );
    const behind = await changesOf(archive, { from: FROM, to: after(point, 8) });
    expect(behind).toMatchObject({ kind: 'gap', from: point });
    await sealChanges(archive.store, await inventoryOf(archive), {
      timeline: ONE,
      first: numberOf(WHOLE[0] ?? ''),
      last: numberOf(dead),
    });
    expect(textOf(await changesOf(archive, { from: FROM, to: point }))).toEqual(found);
  });

  test('of a damaged segment are those noted on its arrival, which may be too many, but not those of a dead branch', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    const [name = ''] = WHOLE;
    await archive.pushFixtures([name]);
    await replace(archive, keyOf(archive, name), (stored) => flip(stored.length - 100)(stored));
    const { records } = listRecords([fixtureSegment(MAJOR, name)], {
      start: startOf(name),
      segmentBytes: SIZE,
    });
    const middle = records[Math.floor(records.length / 2)]?.lsn ?? toLsn(0n);
    const all = changeText(walked(MAJOR, { from: FROM, to: after(startOf(name), SIZE) }).map);
    expect(textOf(await changesOf(archive, { from: FROM, to: middle, timeline: 1 }))).toEqual(all);
    await archive.push(
      '00000002.history',
      `1\t${formatLsn(middle)}\tno recovery target specified\n`,
    );
    expect(await changesOf(archive, { from: FROM, to: middle })).toMatchObject({
      kind: 'gap',
      from: FROM,
    });
  });

  describe('that are sealed', () => {
    let archive: FixtureArchive;
    beforeAll(async () => {
      archive = await makeFixtureArchive(MAJOR);
      await archive.pushFixtures(RUN);
      const inventory = await inventoryOf(archive);
      await sealChanges(archive.store, inventory, { timeline: ONE, ...NUMBERS });
    });

    const sealedKey = async (): Promise<string> => {
      const stored = (await inventoryOf(archive)).timelines.get(ONE);
      return stored?.changes[0]?.key ?? '';
    };

    test('say the same as their segments', async () => {
      expect(textOf(await changesOf(archive, { from: FROM, to: RUN_TO, timeline: 1 }))).toEqual(
        OF_RUN,
      );
    });

    test('answer when the segments are gone', async () => {
      const gone = await makeFixtureArchive(MAJOR);
      await gone.store.put(await sealedKey(), await archive.store.get(await sealedKey(), 1 << 28));
      expect(textOf(await changesOf(gone, { from: FROM, to: RUN_TO, timeline: 1 }))).toEqual(
        OF_RUN,
      );
      // Within the sealed run they say more than was asked, never less.
      const middle = factsOf(RUN[4] ?? '').firstRecordLsn ?? RUN_TO;
      expect(textOf(await changesOf(gone, { from: middle, to: RUN_TO, timeline: 1 }))).toEqual(
        OF_RUN,
      );
      expect(textOf(await changesOf(gone, { from: FROM, to: middle, timeline: 1 }))).toEqual(
        OF_RUN,
      );
      const further = await changesOf(gone, { from: FROM, to: after(RUN_TO, 8), timeline: 1 });
      expect(further).toMatchObject({ kind: 'gap' });
    });

    test('join with each other and with segments, whatever the runs are', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 4 }),
          async (lengths) => {
            const mixed = await makeFixtureArchive(MAJOR);
            await mixed.pushFixtures(RUN);
            const inventory = await inventoryOf(mixed);
            let { first } = NUMBERS;
            for (const length of lengths) {
              const last = first + BigInt(length) - 1n;
              if (last > NUMBERS.last) break;
              await sealChanges(mixed.store, inventory, { timeline: ONE, first, last });
              for (const name of RUN) {
                if (numberOf(name) >= first && numberOf(name) <= last)
                  await mixed.store.delete(keyOf(mixed, name));
              }
              first = last + 1n;
            }
            expect(textOf(await changesOf(mixed, { from: FROM, to: RUN_TO, timeline: 1 }))).toEqual(
              OF_RUN,
            );
            const again = await sealChanges(mixed.store, await inventoryOf(mixed), {
              timeline: ONE,
              ...NUMBERS,
            });
            expect(again.kind).toBe('sealed');
            const whole = await mixed.store.get(again.kind === 'sealed' ? again.key : '', 1 << 28);
            expect(whole.equals(await archive.store.get(await sealedKey(), 1 << 28))).toBe(true);
          },
        ),
        { numRuns: 12 },
      );
    });

    test('and damaged at any byte cost time and change no answer', async () => {
      const key = await sealedKey();
      const stored = await archive.store.get(key, 1 << 28);
      for (let at = 0; at < stored.length; at += Math.ceil(stored.length / 60)) {
        await replace(archive, key, flip(at));
        expect(textOf(await changesOf(archive, { from: FROM, to: RUN_TO, timeline: 1 }))).toEqual(
          OF_RUN,
        );
        await replace(archive, key, () => Buffer.from(stored));
      }
    });

    test('need segments that join', async () => {
      const broken = await makeFixtureArchive(MAJOR);
      await broken.pushFixtures(RUN.filter((_, row) => row !== 2));
      const inventory = await inventoryOf(broken);
      expect(
        await sealChanges(broken.store, inventory, { timeline: ONE, ...NUMBERS }),
      ).toMatchObject({
        kind: 'gap',
        lsn: startOf(RUN[2] ?? ''),
      });
    });
  });

  test('of a segment in its stored form survive a round trip, and damage is refused with a typed error', () => {
    for (const name of SEGMENTS) {
      const describer = new SegmentDescriber({ name, segmentBytes: SIZE });
      describer.feed(fixtureSegment(MAJOR, name));
      const span = describer.changes();
      if (span === undefined) throw new Error('no WAL');
      const bytes = Buffer.from(encodeChangeSpan(span));
      expect(Buffer.from(encodeChangeSpan(decodeChangeSpan(bytes))).equals(bytes)).toBe(true);
      for (let at = 0; at < bytes.length; at += at < 300 ? 1 : 37) {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ 0x81;
        for (const stored of [damaged, bytes.subarray(0, at)]) {
          expect(outcomeOf(stored)).not.toBe('another error');
        }
      }
    }
  });
});
