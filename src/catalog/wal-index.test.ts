import { beforeAll, describe, expect, test, vi } from 'vitest';
import {
  expectedWal,
  fixtureSegment,
  FIXTURE_SEGMENT_BYTES,
} from '../../test/fixtures/wal/load.ts';
import { makeFixtureArchive, type FixtureArchive } from '../../test/support/stored-wal.ts';
import { toLsn, type Lsn } from '../postgres/lsn.ts';
import { formatSegmentName } from '../postgres/segment-name.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { ChangeMap, type ForkIdentity } from '../postgres/wal/change-map.ts';
import { encodeChangeSpan } from '../postgres/wal/change-span-codec.ts';
import type { ChangeSpan } from '../postgres/wal/change-span.ts';
import { encodeSegmentFacts } from '../postgres/wal/segment-facts-codec.ts';
import { describeSegment, type SegmentFacts } from '../postgres/wal/segment-facts.ts';
import { walKeys } from '../repository/layout.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import { storeWalObject } from '../repository/wal-object.ts';
import { resolveTarget } from './time-index.ts';
import { readChanges } from './changes.ts';
import { sealBlock } from './seal-block.ts';
import { readIndex, sealIndexes } from './wal-index.ts';
import { readWalInventory } from './wal-inventory.ts';

const MAJOR = 18;
const SIZE = FIXTURE_SEGMENT_BYTES;
const TIMELINE = toTimelineId(1);
const FIRST = 300;
const LAST = 800;
/** Commit times: one commit a segment, one second apart. */
const timeOf = (number: number): number => number * 1_000_000;
const startOf = (number: number): Lsn => toLsn(BigInt(number * SIZE));

let archive: FixtureArchive;

/** Facts of a segment that holds one commit and nothing that reaches over its borders. */
function factsOf(base: SegmentFacts, number: number): SegmentFacts {
  const startLsn = startOf(number);
  return {
    ...base,
    name: formatSegmentName({ timeline: TIMELINE, number: BigInt(number) }, SIZE),
    startLsn,
    validEnd: startOf(number + 1),
    end: 'full',
    firstRecordLsn: toLsn(startLsn + 40n),
    firstRecordPrev: toLsn(startOf(number - 1) + 40n),
    lastRecordLsn: toLsn(startLsn + 40n),
    timelines: { first: 1, last: 1 },
    head: undefined,
    tail: undefined,
    stop: undefined,
    index: {
      transactions: {
        count: 1,
        beginOffsets: Uint32Array.of(40),
        endOffsets: Uint32Array.of(SIZE),
        timesUs: Float64Array.of(timeOf(number)),
        xids: Uint32Array.of(number),
        kinds: Uint8Array.of(0),
      },
      restorePoints: [],
      checkpoints: [],
      events: [],
      omittedCount: 0,
    },
  };
}

/** One changed block a segment, in a relation for each ten. */
function changesOf(base: SegmentFacts, facts: SegmentFacts): ChangeSpan {
  const { startLsn, firstRecordLsn: lsn, firstRecordPrev: prev } = facts;
  if (base.majorVersion === undefined || base.systemIdentifier === undefined)
    throw new Error('no WAL');
  if (lsn === undefined || prev === undefined) throw new Error('no record');
  const number = Number(startLsn) / SIZE;
  const map = new ChangeMap();
  map.mark(relationOf(number), number);
  return {
    startLsn,
    endLsn: startOf(number + 1),
    isClosed: true,
    segmentBytes: SIZE,
    majorVersion: base.majorVersion,
    systemIdentifier: base.systemIdentifier,
    timelines: { first: 1, last: 1 },
    firstRecord: { lsn, prev },
    lastRecordLsn: lsn,
    head: undefined,
    tail: undefined,
    map,
    unusable: [],
  };
}

const relationOf = (number: number): ForkIdentity => ({
  tablespaceOid: 1663,
  databaseOid: 5,
  relfilenode: 16_384 + Math.floor(number / 10),
  fork: 0,
});

beforeAll(async () => {
  archive = await makeFixtureArchive(MAJOR);
  const [name = ''] = expectedWal(MAJOR).segments;
  const base = describeSegment(fixtureSegment(MAJOR, name), { name, segmentBytes: SIZE });
  const { server, incarnation } = archive.scope;
  const place = { server, incarnation: nameOfIncarnation(incarnation), timeline: TIMELINE };
  for (let number = FIRST; number <= LAST; number += 1) {
    const facts = factsOf(base, number);
    await storeWalObject(archive.store, {
      key: walKeys.segment(place, facts.name),
      kind: 'wal-segment',
      plain: Buffer.from(String(number)),
      facts: encodeSegmentFacts(facts),
      changes: encodeChangeSpan(changesOf(base, facts)),
      level: 1,
    });
  }
});

async function findTime(
  timeUs: number,
): Promise<{ readonly recordLsn: Lsn | null; readonly reads: number }> {
  const spy = vi.spyOn(archive.store, 'read');
  try {
    const inventory = await readWalInventory(archive.store, archive.scope);
    const startLsn = startOf(FIRST);
    const found = await resolveTarget(archive.store, inventory, {
      target: { kind: 'time', timeUs, inclusive: true },
      search: { timeline: TIMELINE, startLsn, stopLsn: startLsn },
    });
    return { recordLsn: found.reached ? found.recordLsn : null, reads: spy.mock.calls.length };
  } finally {
    spy.mockRestore();
  }
}

describe('sealed indexes', () => {
  test('cover whole blocks of 256 segments, once', async () => {
    const inventory = await readWalInventory(archive.store, archive.scope);
    expect(await sealIndexes(archive.store, inventory)).toBe(1);
    const after = await readWalInventory(archive.store, archive.scope);
    expect(after.timelines.get(TIMELINE)?.indexes).toMatchObject([{ first: 512n, last: 767n }]);
    expect(await sealIndexes(archive.store, after)).toBe(0);
  });

  test('say of each segment what the segment says', async () => {
    const inventory = await readWalInventory(archive.store, archive.scope);
    const [index] = inventory.timelines.get(TIMELINE)?.indexes ?? [];
    if (index === undefined) throw new Error('no index');
    const summaries = await readIndex(archive.store, index);
    expect(summaries.size).toBe(256);
    expect([...summaries.values()][10]).toMatchObject({
      startLsn: startOf(522),
      joined: true,
      transactions: { minUs: timeOf(522), maxUs: timeOf(522), minXid: 522, maxXid: 522, count: 1 },
      lastRecord: { lsn: startOf(522) + 40n },
    });
  });

  test('answer for their segments, so that these need not be read', async () => {
    const { recordLsn, reads } = await findTime(timeOf(700));
    expect(recordLsn).toBe(toLsn(startOf(701) + 40n));
    expect(reads).toBeLessThan(512 - FIRST + 10);
  });

  test('that are damaged cost time and change no answer', async () => {
    const inventory = await readWalInventory(archive.store, archive.scope);
    const key = inventory.timelines.get(TIMELINE)?.indexes[0]?.key ?? '';
    const stored = await archive.store.get(key, 1 << 26);
    const broken = Buffer.from(stored);
    broken.writeUInt8(broken.readUInt8(200) ^ 1, 200);
    await archive.store.delete(key);
    await archive.store.put(key, broken);
    const { recordLsn, reads } = await findTime(timeOf(700));
    expect(recordLsn).toBe(toLsn(startOf(701) + 40n));
    expect(reads).toBeGreaterThan(701 - FIRST);
  });
});

describe('sealed changes', () => {
  const place = (number: number): { timeline: typeof TIMELINE; number: bigint } => ({
    timeline: TIMELINE,
    number: BigInt(number),
  });

  test('are made when the last segment of a block is stored, once', async () => {
    await sealBlock(archive.store, archive.scope, place(766));
    const before = await readWalInventory(archive.store, archive.scope);
    expect(before.timelines.get(TIMELINE)?.changes).toEqual([]);
    await sealBlock(archive.store, archive.scope, place(767));
    await sealBlock(archive.store, archive.scope, place(767));
    const after = await readWalInventory(archive.store, archive.scope);
    expect(after.timelines.get(TIMELINE)?.changes).toMatchObject([{ first: 512n, last: 767n }]);
  });

  test('are not made of a block that is not whole, which is no failure', async () => {
    await sealBlock(archive.store, archive.scope, place(511));
    const after = await readWalInventory(archive.store, archive.scope);
    expect(after.timelines.get(TIMELINE)?.changes).toHaveLength(1);
  });

  test('stand for their segments in a longer range', async () => {
    const inventory = await readWalInventory(archive.store, archive.scope);
    const range = {
      timeline: TIMELINE,
      from: toLsn(startOf(400) + 40n),
      to: toLsn(startOf(790) + 40n),
    };
    const { signal } = new AbortController();
    const reads = vi.spyOn(archive.store, 'read');
    const found = await readChanges(archive.store, inventory, { ...range, signal });
    expect(reads.mock.calls.length).toBe(790 - 400 - 256);
    reads.mockRestore();
    if (found.kind !== 'known') throw new Error(found.reason);
    for (let number = 395; number < 795; number += 1) {
      const blocks = found.map.changedBlocks(relationOf(number), number, number + 1);
      expect([...blocks]).toEqual(number >= 400 && number < 790 ? [number] : []);
    }
  });

  test('stop when they are interrupted', async () => {
    const inventory = await readWalInventory(archive.store, archive.scope);
    const range = {
      timeline: TIMELINE,
      from: toLsn(startOf(400) + 40n),
      to: toLsn(startOf(790) + 40n),
    };
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(readChanges(archive.store, inventory, { ...range, signal })).rejects.toThrow(
      'enough',
    );
  });
});
