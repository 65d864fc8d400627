/** Whether WAL is known to go on behind a backup: never where looking for the record itself finds none. */
import { expect, test } from 'vitest';
import {
  expectedWal,
  fixtureSegment,
  FIXTURE_SEGMENT_BYTES,
} from '../../test/fixtures/wal/load.ts';
import { makeFixtureArchive, type FixtureArchive } from '../../test/support/stored-wal.ts';
import { formatLsn, toLsn, type Lsn } from '../postgres/lsn.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { listRecords } from '../postgres/wal/list-records.ts';
import { describeSegment, type SegmentFacts } from '../postgres/wal/segment-facts.ts';
import { isKnownToGoOn, resolveTarget } from './time-index.ts';
import { readWalInventory } from './wal-inventory.ts';

const MAJOR = 18;
const SEGMENTS = expectedWal(MAJOR).segments;
const segmentBytes = FIXTURE_SEGMENT_BYTES;
const factsOf = (name: string): SegmentFacts =>
  describeSegment(fixtureSegment(MAJOR, name), { name, segmentBytes });
/** A segment whose last record goes on in the next one. */
const AT = SEGMENTS.findIndex((name) => {
  const { tail, recordCount } = factsOf(name);
  return tail !== undefined && recordCount > 500;
});
const [FIRST = '', SECOND = ''] = SEGMENTS.slice(AT);
const { startLsn: START } = factsOf(FIRST);
const { records: RECORDS } = listRecords(
  [FIRST, SECOND].map((name) => fixtureSegment(MAJOR, name)),
  { start: START, segmentBytes },
);
const END = toLsn(START + BigInt(segmentBytes));
/** Where records begin: some from everywhere, and those around the end of the first segment. */
const STOPS = RECORDS.map(({ lsn }) => lsn).filter(
  (lsn, index) => index % 37 === 0 || Math.abs(Number(lsn - END)) < 9000,
);
/** The record that goes on in the second segment. */
const STRADDLING = RECORDS.find(({ lsn, endLsn }) => lsn < END && endLsn > END)?.lsn ?? END;

async function knownStops(archive: FixtureArchive, timeline: number): Promise<Lsn[]> {
  const inventory = await readWalInventory(archive.store, archive.scope);
  const known: Lsn[] = [];
  for (const stopLsn of STOPS) {
    const search = { timeline: toTimelineId(timeline), startLsn: START, stopLsn };
    if (!(await isKnownToGoOn(archive.store, inventory, search))) continue;
    known.push(stopLsn);
    const target = { kind: 'lsn', lsn: stopLsn, inclusive: true } as const;
    const found = await resolveTarget(archive.store, inventory, { target, search });
    expect(found).toMatchObject({ reached: true, by: 'record' });
  }
  return known;
}

test('it is known within a segment, and not where that ends with the WAL there is', async () => {
  const archive = await makeFixtureArchive(MAJOR);
  await archive.pushFixtures([FIRST]);
  const known = await knownStops(archive, 1);
  expect(known.length).toBeGreaterThan(10);
  expect(known.every((lsn) => lsn < STRADDLING)).toBe(true);
  expect(STOPS).toContain(STRADDLING);
});

test('records behind the point where the history leaves the timeline do not count', async () => {
  const archive = await makeFixtureArchive(MAJOR);
  await archive.pushFixtures([FIRST]);
  const left = STOPS[8] ?? START;
  await archive.push('00000002.history', `1\t${formatLsn(left)}\tno recovery target specified\n`);
  expect(await knownStops(archive, 2)).toEqual([]);
});
