import { describe, expect, test } from 'vitest';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { toLsn, type Lsn } from '../postgres/lsn.ts';
import { formatSegmentName } from '../postgres/segment-name.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { walKeys } from '../repository/layout.ts';
import { nameOfIncarnation, type Incarnation } from '../repository/repository.ts';
import { sealObject } from '../repository/sealed-object.ts';
import { storeWalObject } from '../repository/wal-object.ts';
import {
  gapsOf,
  historyOf,
  newestTimeline,
  readWalInventory,
  type WalInventory,
} from './wal-inventory.ts';
import { followWal, isRecordedGap } from './wal-path.ts';

const SIZE = 1024 * 1024;
const INCARNATION: Incarnation = {
  systemIdentifier: '7711169712404804592',
  majorVersion: 18,
  walSegmentBytes: SIZE,
  firstSeenAt: '2026-11-23T00:00:00.000Z',
};
const SCOPE = { server: 'shop', incarnation: INCARNATION };

const at = (segments: number, bytes = 0): Lsn => toLsn(BigInt(segments * SIZE + bytes));
const name = (timeline: number, number: number): string =>
  formatSegmentName({ timeline: toTimelineId(timeline), number: BigInt(number) }, SIZE);
const place = (timeline: number): Parameters<typeof walKeys.segment>[0] => ({
  server: 'shop',
  incarnation: nameOfIncarnation(INCARNATION),
  timeline: toTimelineId(timeline),
});

/** Names alone make ranges, so what the objects hold does not matter here. */
async function makeStore(content: {
  readonly segments?: readonly (readonly [timeline: number, first: number, last: number])[];
  readonly pieces?: readonly (readonly [
    timeline: number,
    number: number,
    offset: number,
    length: number,
  ])[];
  readonly gaps?: readonly (readonly [timeline: number, from: Lsn, to: Lsn])[];
  readonly histories?: Readonly<Record<number, string>>;
}): Promise<ObjectStore> {
  const store = openMemoryStore();
  for (const [timeline, first, last] of content.segments ?? []) {
    for (let number = first; number <= last; number += 1) {
      await store.put(walKeys.segment(place(timeline), name(timeline, number)), Buffer.alloc(1));
    }
  }
  for (const [timeline, number, offset, length] of content.pieces ?? []) {
    const piece = { segment: name(timeline, number), offset, length };
    await store.put(walKeys.piece(place(timeline), piece), Buffer.alloc(1));
  }
  for (const [timeline, from, to] of content.gaps ?? []) {
    const gap = sealObject({ kind: 'wal-gap', plain: Buffer.from('{}'), level: 1 });
    await store.put(walKeys.gap(place(timeline), from, to), gap);
  }
  for (const [timeline, text] of Object.entries(content.histories ?? {})) {
    const file = `${Number(timeline).toString(16).toUpperCase().padStart(8, '0')}.history`;
    const key = walKeys.history('shop', nameOfIncarnation(INCARNATION), file);
    await storeWalObject(store, {
      key,
      kind: 'timeline-history',
      plain: Buffer.from(text),
      level: 1,
    });
  }
  return store;
}

async function inventoryOf(content: Parameters<typeof makeStore>[0]): Promise<WalInventory> {
  return readWalInventory(await makeStore(content), SCOPE);
}

describe('the inventory', () => {
  test('makes ranges of neighbouring segments and the gaps between them', async () => {
    const inventory = await inventoryOf({
      segments: [
        [1, 3, 5],
        [1, 8, 9],
      ],
    });
    const stored = inventory.timelines.get(toTimelineId(1));
    expect(stored?.ranges).toEqual([
      { timeline: 1, start: at(3), end: at(6) },
      { timeline: 1, start: at(8), end: at(10) },
    ]);
    expect(gapsOf(inventory)).toEqual([{ timeline: 1, start: at(6), end: at(8) }]);
  });

  test('lets pieces go on where segments end, as far as they have no hole', async () => {
    const inventory = await inventoryOf({
      segments: [[1, 3, 5]],
      pieces: [
        [1, 6, 0, 1000],
        [1, 6, 1000, 500],
        [1, 6, 2000, 10],
      ],
    });
    expect(inventory.timelines.get(toTimelineId(1))?.ranges).toEqual([
      { timeline: 1, start: at(3), end: at(6, 1500) },
    ]);
  });

  test('ignores pieces of a segment that is stored whole', async () => {
    const inventory = await inventoryOf({ segments: [[1, 3, 5]], pieces: [[1, 5, 0, 1000]] });
    expect(inventory.timelines.get(toTimelineId(1))?.open).toEqual([]);
  });

  test('knows which missing WAL does not come any more', async () => {
    const segments = [
      [1, 3, 5],
      [1, 8, 9],
    ] as const;
    const missing = { timeline: toTimelineId(1), start: at(6), end: at(8) };
    const recorded = await inventoryOf({ segments, gaps: [[1, at(7), at(8)]] });
    expect(isRecordedGap(recorded, missing)).toBe(true);
    const late = await inventoryOf({
      segments,
      gaps: [
        [1, at(8), at(9)],
        [2, at(6), at(8)],
      ],
    });
    expect(isRecordedGap(late, missing)).toBe(false);
  });

  test('shows a recorded gap until the WAL came after all', async () => {
    const gap = [1, at(6), at(8)] as const;
    const before = await inventoryOf({ segments: [[1, 3, 5]], gaps: [gap] });
    expect(gapsOf(before)).toEqual([{ timeline: 1, start: at(6), end: at(8) }]);
    const half = await inventoryOf({ segments: [[1, 3, 6]], gaps: [gap] });
    expect(gapsOf(half)).toEqual([{ timeline: 1, start: at(7), end: at(8) }]);
    const after = await inventoryOf({ segments: [[1, 3, 7]], gaps: [gap] });
    expect(gapsOf(after)).toEqual([]);
  });

  test('counts WAL before the branch point as the parent’s', async () => {
    const inventory = await inventoryOf({
      segments: [
        [1, 3, 5],
        [2, 6, 7],
      ],
      histories: { 2: '1\t0/600100\tpromoted\n' },
    });
    expect(inventory.timelines.get(toTimelineId(2))?.ranges).toEqual([
      { timeline: 2, start: at(6, 0x100), end: at(8) },
    ]);
    expect(gapsOf(inventory)).toEqual([]);
  });

  test('shows that the way to the branch point is broken', async () => {
    const inventory = await inventoryOf({
      segments: [
        [1, 3, 4],
        [2, 6, 7],
      ],
      histories: { 2: '1\t0/600100\tpromoted\n' },
    });
    expect(gapsOf(inventory)).toEqual([{ timeline: 1, start: at(5), end: at(6) }]);
  });

  test('names a history file that cannot be read, and refuses to follow its timeline', async () => {
    const inventory = await inventoryOf({ segments: [[2, 6, 7]], histories: { 2: 'nonsense\n' } });
    expect(inventory.damaged).toHaveLength(1);
    expect(newestTimeline(inventory)).toBe(2);
    expect(() => historyOf(inventory, toTimelineId(2))).toThrow(/00000002.history cannot be read/);
    expect(() => historyOf(inventory, toTimelineId(3))).toThrow(/is not in the repository/);
  });

  test('passes over what it does not know', async () => {
    const store = await makeStore({ segments: [[1, 3, 3]] });
    await store.put(`${walKeys.timeline(place(1))}0000000100000000FFFFFFFF`, Buffer.alloc(1));
    await store.put(`${walKeys.timeline(place(1))}readme.txt`, Buffer.alloc(1));
    expect((await readWalInventory(store, SCOPE)).timelines.get(toTimelineId(1))?.segments).toBe(1);
  });
});

describe('the way of a recovery', () => {
  const SWITCHED = { 2: '1\t0/600100\tpromoted\n' };

  test('takes the segment of the switch point from the new timeline', async () => {
    const inventory = await inventoryOf({
      segments: [
        [1, 3, 6],
        [2, 6, 7],
      ],
      histories: SWITCHED,
    });
    const path = followWal(inventory, { timeline: toTimelineId(2), from: at(4, 40) });
    expect(path).toMatchObject({ end: at(8), endTimeline: 2, hole: null });
    expect(path.segments.map((segment) => segment.name)).toEqual([
      name(1, 4),
      name(1, 5),
      name(2, 6),
      name(2, 7),
    ]);
  });

  test('ends at the switch point when nothing of the new timeline is there yet', async () => {
    const inventory = await inventoryOf({ segments: [[1, 3, 9]], histories: SWITCHED });
    const path = followWal(inventory, { timeline: toTimelineId(2), from: at(4) });
    expect(path).toMatchObject({ end: at(6, 0x100), endTimeline: 2, hole: null });
    expect(path.segments.at(-1)?.name).toBe(name(1, 6));
  });

  test('prefers the parent’s file to a piece of the child that ends before the branch', async () => {
    const inventory = await inventoryOf({
      segments: [[1, 3, 6]],
      pieces: [[2, 6, 0, 0x80]],
      histories: SWITCHED,
    });
    const path = followWal(inventory, { timeline: toTimelineId(2), from: at(4) });
    expect(path.segments.at(-1)?.name).toBe(name(1, 6));
  });

  test('does not go back to the old timeline behind the switch', async () => {
    const inventory = await inventoryOf({
      segments: [
        [1, 3, 9],
        [2, 6, 6],
      ],
      histories: SWITCHED,
    });
    const path = followWal(inventory, { timeline: toTimelineId(2), from: at(4) });
    expect(path).toMatchObject({ end: at(7), hole: null });
  });

  test('stops at a hole, and says how long it is', async () => {
    const inventory = await inventoryOf({
      segments: [
        [1, 3, 5],
        [1, 8, 9],
      ],
    });
    const path = followWal(inventory, { timeline: toTimelineId(1), from: at(4) });
    expect(path).toMatchObject({
      end: at(6),
      hole: { timeline: 1, start: at(6), end: at(8) },
    });
  });

  test('of which the beginning is missing holds nothing', async () => {
    const inventory = await inventoryOf({ segments: [[1, 8, 9]] });
    const path = followWal(inventory, { timeline: toTimelineId(1), from: at(4) });
    expect(path).toMatchObject({ end: at(4), segments: [], hole: { start: at(4), end: at(8) } });
  });

  test('ends with the bytes of the open segment', async () => {
    const inventory = await inventoryOf({ segments: [[1, 3, 5]], pieces: [[1, 6, 0, 777]] });
    const path = followWal(inventory, { timeline: toTimelineId(1), from: at(5) });
    expect(path).toMatchObject({ end: at(6, 777), hole: null });
    expect(path.segments.at(-1)?.open?.parts).toHaveLength(1);
  });
});
