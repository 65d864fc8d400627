import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readWalInventory } from '../catalog/wal-inventory.ts';
import { parseLsn } from '../postgres/lsn.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { incarnationName, walKeys } from '../repository/layout.ts';
import { storeWalObject } from '../repository/wal-object.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { copyWal } from './copy-wal.ts';
import type { PlannedWal } from './plan-wal.ts';

const MEGABYTE = 1024 * 1024;
const NAME = incarnationName(7_432_109_876_543_210_987n, 18);
const PLACE = { server: 'shop', incarnation: NAME, timeline: toTimelineId(1) };
const WHOLE = '000000010000000000000002';
const OPEN = '000000010000000000000003';

let folder: string;
let store: ObjectStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'walnut-wal-'));
  await mkdir(join(folder, 'archive_status'));
  store = openMemoryStore();
});

afterEach(() => rm(folder, { recursive: true, force: true }));

async function copy(plan: Partial<PlannedWal>): Promise<number> {
  const incarnation = {
    systemIdentifier: '7432109876543210987',
    majorVersion: 18,
    walSegmentBytes: MEGABYTE,
    firstSeenAt: '2026-11-22T00:00:00.000Z',
  };
  const inventory = await readWalInventory(store, { server: 'shop', incarnation });
  const wal: PlannedWal = {
    mode: 'copy',
    segments: [],
    firstSegment: null,
    lastSegment: null,
    segmentBytes: MEGABYTE,
    historyFiles: [],
    ...plan,
  };
  const signal = new AbortController().signal;
  return await copyWal({ store, inventory, wal, walFolder: folder, owner: null, signal });
}

async function storePiece(offset: number, bytes: Uint8Array): Promise<string> {
  const key = walKeys.piece(PLACE, { segment: OPEN, offset, length: bytes.length });
  await storeWalObject(store, { key, kind: 'wal-piece', plain: bytes, level: 1 });
  return key;
}

describe('laying WAL into pg_wal', () => {
  test('segments and history files come with a mark that they are archived', async () => {
    const content = Buffer.alloc(MEGABYTE, 7);
    const key = walKeys.segment(PLACE, WHOLE);
    await storeWalObject(store, { key, kind: 'wal-segment', plain: content, level: 1 });
    const history = Buffer.from('1\t0/3000000\tno recovery target specified\n');
    await storeWalObject(store, {
      key: walKeys.history('shop', NAME, '00000002.history'),
      kind: 'timeline-history',
      plain: history,
      level: 1,
    });
    const written = await copy({
      segments: [{ number: 2n, name: WHOLE, timeline: PLACE.timeline, open: null }],
      historyFiles: ['00000002.history'],
    });
    expect(written).toBe(MEGABYTE + history.length);
    expect((await readFile(join(folder, WHOLE))).equals(content)).toBe(true);
    expect(await readFile(join(folder, '00000002.history'))).toEqual(history);
    expect((await readdir(join(folder, 'archive_status'))).toSorted()).toEqual([
      '000000010000000000000002.done',
      '00000002.history.done',
    ]);
  });

  test('a segment that is stored in pieces is put together and filled up with zeros', async () => {
    const first = Buffer.alloc(20_000, 1);
    const second = Buffer.alloc(30_000, 2).fill(1, 0, 10_000);
    const parts = [
      { key: await storePiece(0, first), kind: 'wal-piece' as const, offset: 0, length: 20_000 },
      {
        key: await storePiece(10_000, second),
        kind: 'wal-piece' as const,
        offset: 10_000,
        length: 30_000,
      },
    ];
    const open = { number: 3n, parts, end: parseLsn('0/309C40') };
    await copy({ segments: [{ number: 3n, name: OPEN, timeline: PLACE.timeline, open }] });
    const laid = await readFile(join(folder, OPEN));
    expect(laid).toHaveLength(MEGABYTE);
    expect([laid[0], laid[19_999], laid[20_000], laid[39_999], laid[40_000]]).toEqual([
      1, 1, 2, 2, 0,
    ]);
  });

  describe('a segment whose pieces a receiver replaced since the plan was made', () => {
    /** Two pieces that are not stored any more. */
    const parts = [0, 10_000].map((offset) => ({
      key: walKeys.piece(PLACE, { segment: OPEN, offset, length: 10_000 }),
      kind: 'wal-piece' as const,
      offset,
      length: 10_000,
    }));
    const open = { number: 3n, parts, end: parseLsn('0/304E20') };
    const segments = [{ number: 3n, name: OPEN, timeline: PLACE.timeline, open }];

    async function laid(): Promise<(number | undefined)[]> {
      await copy({ segments });
      const content = await readFile(join(folder, OPEN));
      expect(content).toHaveLength(MEGABYTE);
      return [content[0], content[19_999], content[20_000]];
    }

    test('is put together from the new ones, as far as planned', async () => {
      await storePiece(0, Buffer.alloc(30_000, 5));
      expect(await laid()).toEqual([5, 5, 0]);
    });

    test('is cut from the whole segment, as far as planned', async () => {
      const content = Buffer.alloc(MEGABYTE, 6);
      const key = walKeys.segment(PLACE, OPEN);
      await storeWalObject(store, { key, kind: 'wal-segment', plain: content, level: 1 });
      expect(await laid()).toEqual([6, 6, 0]);
    });

    test('is refused when less is left of it', async () => {
      await storePiece(0, Buffer.alloc(15_000, 5));
      await expect(copy({ segments })).rejects.toMatchObject({
        code: 'object-damaged',
        message: expect.stringContaining('15000 of 20000 bytes'),
      });
    });
  });

  test('a segment of another size is refused', async () => {
    const key = walKeys.segment(PLACE, WHOLE);
    await storeWalObject(store, { key, kind: 'wal-segment', plain: Buffer.alloc(100), level: 1 });
    const segments = [{ number: 2n, name: WHOLE, timeline: PLACE.timeline, open: null }];
    await expect(copy({ segments })).rejects.toMatchObject({ code: 'object-damaged' });
  });
});
