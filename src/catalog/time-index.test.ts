import { beforeAll, describe, expect, test } from 'vitest';
import {
  expectedWal,
  fixtureSegment,
  FIXTURE_SEGMENT_BYTES,
} from '../../test/fixtures/wal/load.ts';
import { makeFixtureArchive, type FixtureArchive } from '../../test/support/stored-wal.ts';
import { formatLsn, parseLsn, toLsn } from '../postgres/lsn.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { listRecords } from '../postgres/wal/list-records.ts';
import { describeSegment } from '../postgres/wal/segment-facts.ts';
import { msToPostgresTime } from '../postgres/wal/postgres-time.ts';
import { recordArchiveProgress } from './archive-progress.ts';
import { resolveTarget, type TargetResolution, type WalTarget } from './time-index.ts';
import { readWalInventory } from './wal-inventory.ts';

const MAJOR = 18;
const EXPECTED = expectedWal(MAJOR);
const LAST_OF_ONE = EXPECTED.segments.findLast((name) => name.startsWith('00000001')) ?? '';
const NEW_TIMELINE = EXPECTED.segments.at(-1) ?? '';
const partialFacts = describeSegment(fixtureSegment(MAJOR, LAST_OF_ONE), {
  name: LAST_OF_ONE,
  segmentBytes: FIXTURE_SEGMENT_BYTES,
});
const SWITCH = formatLsn(partialFacts.validEnd);
const START = describeSegment(fixtureSegment(MAJOR, EXPECTED.segments[0] ?? ''), {
  name: EXPECTED.segments[0] ?? '',
  segmentBytes: FIXTURE_SEGMENT_BYTES,
}).startLsn;

/** pg_waldump's text as µs since 2000. */
function micros(text: string): number {
  const [, whole = '', fraction = ''] = /^(.+)\.(\d{6}) UTC$/.exec(text) ?? [];
  return msToPostgresTime(Date.parse(`${whole.replace(' ', 'T')}Z`)) + Number(fraction);
}

const ENDS = EXPECTED.transactions.map(({ time, lsn, xid, kind }) => ({
  timeUs: micros(time),
  lsn: parseLsn(lsn),
  xid,
  kind,
}));

let archive: FixtureArchive;

beforeAll(async () => {
  archive = await makeFixtureArchive(MAJOR);
  const whole = EXPECTED.segments.filter((name) => name !== LAST_OF_ONE && name !== NEW_TIMELINE);
  await archive.pushFixtures(whole);
  await archive.push(`${LAST_OF_ONE}.partial`, fixtureSegment(MAJOR, LAST_OF_ONE));
  await archive.push('00000002.history', `1\t${SWITCH}\tno recovery target specified\n`);
  await archive.push(`${NEW_TIMELINE}.partial`, fixtureSegment(MAJOR, NEW_TIMELINE));
});

async function resolve(
  target: WalTarget,
  { timeline = 2, from = archive }: { timeline?: number; from?: FixtureArchive } = {},
): Promise<TargetResolution> {
  const inventory = await readWalInventory(from.store, from.scope);
  const search = { timeline: toTimelineId(timeline), startLsn: START, stopLsn: START };
  return resolveTarget(from.store, inventory, { target, search });
}

describe('a time target', () => {
  test.each([0, 5, 17, 30, ENDS.length - 2])(
    'stops before the first transaction that ended later (%i)',
    async (position) => {
      const asked = ENDS[position]?.timeUs ?? 0;
      const first = ENDS.find(({ timeUs }) => timeUs > asked);
      const found = await resolve({ kind: 'time', timeUs: asked, inclusive: true });
      expect(found).toMatchObject({
        reached: true,
        by: 'record',
        recordReplayed: false,
        recordLsn: first?.lsn,
      });
    },
  );

  test('that is exclusive stops before the transaction that ended at that very time', async () => {
    const target = ENDS[5];
    const found = await resolve({ kind: 'time', timeUs: target?.timeUs ?? 0, inclusive: false });
    expect(found).toMatchObject({ reached: true, recordLsn: target?.lsn });
  });

  test('names the last commit that the copy will hold', async () => {
    const asked = ENDS[10]?.timeUs ?? 0;
    const first = ENDS.findIndex(({ timeUs }) => timeUs > asked);
    const held = ENDS.slice(0, first).findLast(({ kind }) => kind.startsWith('COMMIT'));
    const found = await resolve({ kind: 'time', timeUs: asked, inclusive: true });
    expect(found).toMatchObject({ lastCommit: { xid: held?.xid, lsn: held?.lsn } });
  });

  test('after the last commit is not reached as long as nobody knows that nothing followed', async () => {
    const later = Math.max(...ENDS.map(({ timeUs }) => timeUs)) + 3_600_000_000;
    const found = await resolve({ kind: 'time', timeUs: later, inclusive: true });
    expect(found).toMatchObject({ reached: false, reason: 'beyond-end', hole: null });
  });

  test('in idle time is reached when the archive was known to be complete', async () => {
    const idle = await makeFixtureArchive(MAJOR);
    await idle.pushFixtures(EXPECTED.segments.slice(0, 3));
    const inventory = await readWalInventory(idle.store, idle.scope);
    const end = inventory.timelines.get(toTimelineId(1))?.ranges[0]?.end ?? toLsn(0n);
    const completeUs = (ENDS.at(-1)?.timeUs ?? 0) + 3_600_000_000;
    const timeline = toTimelineId(1);
    await recordArchiveProgress(idle.store, idle.scope, { timeline, lsn: end, completeUs });
    const at = async (timeUs: number): Promise<TargetResolution> =>
      resolve({ kind: 'time', timeUs, inclusive: true }, { timeline: 1, from: idle });
    expect(await at(completeUs)).toMatchObject({
      reached: true,
      by: 'end-of-wal',
      recordReplayed: true,
    });
    expect(await at(completeUs + 1)).toMatchObject({ reached: false, reason: 'beyond-end' });
  });

  test('knowledge about WAL that is not stored covers nothing', async () => {
    const idle = await makeFixtureArchive(MAJOR);
    await idle.pushFixtures(EXPECTED.segments.slice(0, 2));
    const completeUs = (ENDS.at(-1)?.timeUs ?? 0) + 1;
    const lsn = parseLsn('0/FFFFFF00');
    const timeline = toTimelineId(1);
    await recordArchiveProgress(idle.store, idle.scope, { timeline, lsn, completeUs });
    const found = await resolve(
      { kind: 'time', timeUs: completeUs, inclusive: true },
      { timeline: 1, from: idle },
    );
    expect(found).toMatchObject({ reached: false });
  });
});

describe('a transaction target', () => {
  test.each([0, 9, ENDS.length - 1])('is found by its id (%i)', async (position) => {
    const { xid, lsn } = ENDS[position] ?? { xid: 0, lsn: toLsn(0n) };
    const found = await resolve({ kind: 'xid', xid, inclusive: true });
    expect(found).toMatchObject({ reached: true, recordLsn: lsn, recordReplayed: true });
  });

  test('that never ended is not found', async () => {
    expect(await resolve({ kind: 'xid', xid: 4_000_000_000, inclusive: true })).toMatchObject({
      reached: false,
      reason: 'not-found',
    });
  });
});

describe('a restore point', () => {
  test.each(EXPECTED.restorePoints)('$name is found', async ({ name, lsn }) => {
    const found = await resolve({ kind: 'name', name });
    expect(found).toMatchObject({ reached: true, recordLsn: parseLsn(lsn), recordReplayed: true });
  });

  test('made after the switch is not found on the old timeline', async () => {
    const { name = '' } = EXPECTED.restorePoints.at(-1) ?? {};
    expect(await resolve({ kind: 'name', name }, { timeline: 1 })).toMatchObject({
      reached: false,
    });
  });
});

describe('an LSN target', () => {
  const name = EXPECTED.segments[1] ?? '';
  const start = describeSegment(fixtureSegment(MAJOR, name), {
    name,
    segmentBytes: FIXTURE_SEGMENT_BYTES,
  }).startLsn;
  const { records } = listRecords([fixtureSegment(MAJOR, name)], {
    start,
    segmentBytes: FIXTURE_SEGMENT_BYTES,
  });

  test.each([0, 2, records.length - 1])(
    'is the first record that begins there or later (%i)',
    async (position) => {
      const { lsn, endLsn } = records[position] ?? { lsn: start, endLsn: start };
      const before = toLsn(lsn - 1n);
      for (const asked of [lsn, before]) {
        const found = await resolve({ kind: 'lsn', lsn: asked, inclusive: true });
        expect(found).toMatchObject({
          reached: true,
          recordLsn: lsn,
          neededLsn: endLsn,
          recordReplayed: true,
        });
      }
    },
  );

  test('in the record between two segments is found over both', async () => {
    const last = records.at(-1)?.endLsn ?? start;
    const found = await resolve({ kind: 'lsn', lsn: last, inclusive: true });
    expect(found).toMatchObject({ reached: true, lastSegment: EXPECTED.segments[2] });
  });

  test('behind the end says how far it goes', async () => {
    const found = await resolve({ kind: 'lsn', lsn: parseLsn('1/0'), inclusive: true });
    expect(found).toMatchObject({ reached: false, reason: 'beyond-end' });
  });

  test('at the very end of WAL is everything there is', async () => {
    const latest = await resolve({ kind: 'latest' });
    const lsn = latest.reached ? latest.neededLsn : toLsn(0n);
    const found = await resolve({ kind: 'lsn', lsn, inclusive: true });
    expect(found).toMatchObject({ reached: true, by: 'end-of-wal', neededLsn: lsn });
  });
});

describe('latest', () => {
  test('is the last whole record of the timeline asked for', async () => {
    expect(await resolve({ kind: 'latest' }, { timeline: 1 })).toMatchObject({
      reached: true,
      by: 'end-of-wal',
      stopTimeline: 1,
      neededLsn: partialFacts.validEnd,
    });
    expect(await resolve({ kind: 'latest' })).toMatchObject({ reached: true, stopTimeline: 2 });
  });

  test('over a hole is refused, with the hole', async () => {
    const broken = await makeFixtureArchive(MAJOR);
    const [first = '', , ...rest] = EXPECTED.segments;
    await broken.pushFixtures([first, ...rest.slice(0, 2)]);
    const hole = { timeline: 1, start: START + 1048576n, end: START + 2n * 1048576n };
    expect(await resolve({ kind: 'latest' }, { timeline: 1, from: broken })).toMatchObject({
      reached: false,
      reason: 'hole',
      hole,
      reachableLsn: hole.start,
    });
    const { lsn = toLsn(0n) } = ENDS.findLast((end) => end.lsn < START + 3n * 1048576n) ?? {};
    expect(
      await resolve({ kind: 'lsn', lsn, inclusive: true }, { timeline: 1, from: broken }),
    ).toMatchObject({
      reached: false,
      reason: 'hole',
      hole,
    });
  });
});
