import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  expectedWal,
  fixtureSegment,
  FIXTURE_SEGMENT_BYTES,
} from '../../test/fixtures/wal/load.ts';
import { makeFixtureArchive, type FixtureArchive } from '../../test/support/stored-wal.ts';
import { readWalInventory, type WalInventory } from '../catalog/wal-inventory.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { walIdentity } from '../catalog/segment-content.ts';
import { describeSegment } from '../postgres/wal/segment-facts.ts';
import { unreliable } from '../storage/unreliable.ts';
import type { ReceiverEvent } from './receiver-event.ts';
import { SpoolStorer } from './spool-storer.ts';
import { Spool } from './spool.ts';

const MAJOR = 17;
const [FIRST = '', SECOND = ''] = expectedWal(MAJOR).segments;

let folder: string;
let archive: FixtureArchive;
let spool: Spool;
let events: ReceiverEvent[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'walnut-spool-'));
  archive = await makeFixtureArchive(MAJOR);
  const incarnation = nameOfIncarnation(archive.scope.incarnation);
  spool = await Spool.open({ folder, incarnation }, FIXTURE_SEGMENT_BYTES);
  events = [];
});
afterEach(async () => rm(folder, { recursive: true }));

async function inventory(): Promise<WalInventory> {
  return readWalInventory(archive.store, archive.scope);
}

async function makeStorer(store: ObjectStore = archive.store): Promise<SpoolStorer> {
  const storer = new SpoolStorer(
    {
      ...archive.scope,
      store,
      level: 1,
      spool,
      pieceIntervalMs: 20,
      onEvent: (event) => events.push(event),
      serverEnd: () => null,
    },
    await inventory(),
  );
  await storer.recover();
  return storer;
}

/** Lets the storer run until `isDone`, then ends it. */
async function runUntil(storer: SpoolStorer, isDone: () => boolean): Promise<void> {
  const stopping = new AbortController();
  const running = storer.run(stopping.signal);
  const deadline = Date.now() + 10_000;
  while (!isDone() && Date.now() < deadline) await new Promise((wake) => setTimeout(wake, 10));
  stopping.abort();
  await running;
}

async function spoolWhole(name: string): Promise<void> {
  await spool.begin(name);
  await spool.append([fixtureSegment(MAJOR, name)]);
  await spool.finish();
}

function oneRecordShorter(name: string): Buffer {
  const bytes = Buffer.from(fixtureSegment(MAJOR, name));
  const { lastRecordLsn, startLsn } = describeSegment(bytes, {
    name,
    ...walIdentity(archive.scope.incarnation),
  });
  return bytes.fill(0, Number((lastRecordLsn ?? startLsn) - startLsn));
}

describe('what lies in the spool', () => {
  test('is stored in order and removed', async () => {
    await spoolWhole(FIRST);
    await spoolWhole(SECOND);
    const storer = await makeStorer();
    await runUntil(storer, () => spool.completeNames.length === 0);
    const stored = events.flatMap((event) =>
      event.kind === 'segment-stored' ? [event.segment] : [],
    );
    expect(stored).toEqual([FIRST, SECOND]);
    expect((await inventory()).timelines.get(toTimelineId(1))?.segments).toBe(2);
    expect(spool.usedBytes).toBe(0);
  });

  test('of an open segment is stored as pieces, which go when the segment is whole', async () => {
    const bytes = fixtureSegment(MAJOR, FIRST);
    await spool.begin(FIRST);
    const storer = await makeStorer();
    const stopping = new AbortController();
    const running = storer.run(stopping.signal);
    const pieces = (): number => events.filter(({ kind }) => kind === 'piece-stored').length;
    for (const [round, offset] of [0, 300_000, 500_000].entries()) {
      await spool.append([bytes.subarray(offset, [300_000, 500_000, 800_000][round])]);
      await spool.sync();
      storer.wake();
      while (pieces() <= round) await new Promise((wake) => setTimeout(wake, 5));
    }
    const open = (await inventory()).timelines.get(toTimelineId(1))?.open[0];
    expect(open?.end).toBe(BigInt(`0x${FIRST.slice(16)}`) * 1_048_576n + 800_000n);
    await spool.append([bytes.subarray(800_000)]);
    await spool.finish();
    storer.wake();
    stopping.abort();
    await running;
    const after = (await inventory()).timelines.get(toTimelineId(1));
    expect(after).toMatchObject({ segments: 1, open: [] });
    const names = await archive.store.listFolder(
      `shop/wal/${nameOfIncarnation(archive.scope.incarnation)}/00000001/`,
    );
    expect(names).toEqual([FIRST]);
  });

  test('of a former life is stored up to its last whole record', async () => {
    await spool.begin(FIRST);
    await spool.append([fixtureSegment(MAJOR, FIRST).subarray(0, 500_000)]);
    await spool.append([Buffer.alloc(100_000, 0xa5)]);
    await spool.leave();
    const incarnation = nameOfIncarnation(archive.scope.incarnation);
    spool = await Spool.open({ folder, incarnation }, FIXTURE_SEGMENT_BYTES);
    await runUntil(await makeStorer(), () => events.length > 0);
    const open = (await inventory()).timelines.get(toTimelineId(1))?.open[0];
    const start = BigInt(`0x${FIRST.slice(16)}`) * 1_048_576n;
    expect(open?.end).toBeLessThanOrEqual(start + 500_000n);
    expect(open?.end).toBeGreaterThan(start + 400_000n);
  });

  test('of a former life is stored also when it ends between a record and its padding', async () => {
    const bytes = fixtureSegment(MAJOR, FIRST);
    const identity = { name: FIRST, ...walIdentity(archive.scope.incarnation) };
    const recordsUpTo = (end: number): number =>
      describeSegment(bytes.subarray(0, end), identity).recordCount;
    let cut = 100_001;
    while (cut % 8 === 0 || recordsUpTo(cut) === recordsUpTo(cut - 1)) cut += 1;
    await spool.begin(FIRST);
    await spool.append([bytes.subarray(0, cut)]);
    await spool.leave();
    const incarnation = nameOfIncarnation(archive.scope.incarnation);
    spool = await Spool.open({ folder, incarnation }, FIXTURE_SEGMENT_BYTES);
    await runUntil(await makeStorer(), () => events.length > 0);
    const open = (await inventory()).timelines.get(toTimelineId(1))?.open[0];
    expect(open?.parts[0]).toMatchObject({ offset: 0, length: cut });
  });

  test('of a timeline that was left is stored to its end and leaves the spool', async () => {
    await spool.begin(FIRST);
    await spool.append([fixtureSegment(MAJOR, FIRST).subarray(0, 123_456)]);
    await spool.leave();
    const storer = await makeStorer();
    storer.leave(FIRST);
    await runUntil(storer, () => spool.partials.length === 0);
    const open = (await inventory()).timelines.get(toTimelineId(1))?.open[0];
    expect(open?.parts).toHaveLength(1);
    expect(open?.parts[0]).toMatchObject({ offset: 0, length: 123_456 });
  });

  test('waits for a repository that is away, and says so', async () => {
    await spoolWhole(FIRST);
    const store = unreliable(archive.store, [
      { operation: 'put', call: 1 },
      { operation: 'put', call: 2, moment: 'after' },
      { operation: 'put', call: 3 },
    ]);
    const storer = await makeStorer(store);
    await runUntil(storer, () => events.some(({ kind }) => kind === 'segment-stored'));
    expect(events.filter(({ kind }) => kind === 'retrying')).toHaveLength(3);
    expect((await inventory()).timelines.get(toTimelineId(1))?.segments).toBe(1);
    expect(spool.completeNames).toEqual([]);
  });

  test('does not die with the repository: a stop leaves it for the next start', async () => {
    await spoolWhole(FIRST);
    const faults = Array.from(
      { length: 50 },
      (_, call) => ({ operation: 'put', call: call + 1 }) as const,
    );
    await runUntil(await makeStorer(unreliable(archive.store, faults)), () => events.length > 0);
    expect(spool.completeNames).toEqual([FIRST]);
  });

  test('is an alarm when other content is stored under the name, and stays', async () => {
    const last = expectedWal(MAJOR).segments.findLast((name) => name.startsWith('00000001')) ?? '';
    await archive.push(last, fixtureSegment(MAJOR, last));
    await spool.begin(last);
    await spool.append([oneRecordShorter(last)]);
    await spool.finish();
    const storer = await makeStorer();
    await expect(storer.run(new AbortController().signal)).rejects.toMatchObject({
      code: 'wal-conflict',
    });
    expect(spool.completeNames).toEqual([last]);
  });

  test('is set aside when it is no valid WAL, so that it is received again', async () => {
    await spool.begin(FIRST);
    const bytes = Buffer.from(fixtureSegment(MAJOR, FIRST));
    bytes.writeUInt8(bytes.readUInt8(70_000) ^ 1, 70_000);
    await spool.append([bytes]);
    await spool.finish();
    const storer = await makeStorer();
    await expect(storer.run(new AbortController().signal)).rejects.toMatchObject({
      code: 'object-damaged',
      hint: expect.stringContaining(`${FIRST}.damaged`) as string,
    });
    expect(spool.completeNames).toEqual([]);
  });
});
