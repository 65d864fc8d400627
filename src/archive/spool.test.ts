import { appendFile, mkdtemp, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { must } from '../lib/assert.ts';
import { toLsn } from '../postgres/lsn.ts';
import type { WalMemory } from '../postgres/replication/batch-memory.ts';
import { formatSegmentName } from '../postgres/segment-name.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { Spool } from './spool.ts';

const SIZE = 1024;
const NAME = '000000010000000000000005';
const NEXT = '000000010000000000000006';
const INCARNATION = '7711169712404804592-18';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'walnut-spool-'));
});
afterEach(async () => {
  // Those of lives that ended without closing it.
  for (const spool of opened.splice(0)) await spool.abandon();
  await rm(folder, { recursive: true });
});

// oxlint-disable-next-line max-params -- those of FileHandle.write
type Write = (
  this: unknown,
  bytes: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => Promise<{ bytesWritten: number }>;

const opened: Spool[] = [];
async function openSpool(segmentBytes = SIZE): Promise<Spool> {
  const spool = await Spool.open({ folder, incarnation: INCARNATION }, segmentBytes);
  opened.push(spool);
  return spool;
}
const filled = (byte: number, length = SIZE): Buffer => Buffer.alloc(length, byte);

describe('the spool', () => {
  test('keeps a whole segment under its own name until it is removed', async () => {
    const spool = await openSpool();
    await spool.begin(NAME);
    await spool.append([filled(1, 1000)]);
    await spool.append([filled(2, 24)]);
    await spool.finish();
    expect(spool.completeNames).toEqual([NAME]);
    expect(await readdir(spool.folder)).toEqual([NAME]);
    const content = await spool.readComplete(NAME);
    expect(content.equals(Buffer.concat([filled(1, 1000), filled(2, 24)]))).toBe(true);
    await spool.remove(NAME);
    expect(await readdir(spool.folder)).toEqual([]);
    expect(spool.usedBytes).toBe(0);
  });

  test('goes on behind a short write, wherever it ends', async () => {
    const parts = [filled(1, 3), filled(2, 0), filled(3, 4), filled(4, SIZE - 7)];
    for (let short = 1; short <= 9; short += 1) {
      const spool = await openSpool();
      const handle = await open(folder, 'r');
      const writing = vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, 'writev');
      await handle.close();
      writing.mockImplementationOnce(async function (this: typeof handle, buffers, position) {
        const bytes = Buffer.concat(buffers as Uint8Array[]).subarray(0, short);
        await this.write(bytes, 0, short, position);
        return { bytesWritten: short, buffers };
      });
      await spool.begin(NAME);
      await spool.append(parts);
      await spool.finish();
      expect(await spool.readComplete(NAME)).toEqual(Buffer.concat(parts));
      await spool.remove(NAME);
      writing.mockRestore();
    }
  });

  describe('of segments that are held in memory', () => {
    const LARGE = 16 * 1024 * 1024;
    const TIMELINE = toTimelineId(1);

    /** Receives from the start of a segment as many bytes as it has, in parts that end anywhere. */
    async function receive(spool: Spool, memory: WalMemory, number: bigint): Promise<string> {
      const name = formatSegmentName({ timeline: TIMELINE, number }, LARGE);
      let at = 0;
      for (const length of [5, 4091, 3_000_000, 2_000_001, LARGE]) {
        const content = filled(Number(number) + length, Math.min(length, LARGE - at));
        const part = memory.copy(toLsn(number * BigInt(LARGE) + BigInt(at)), content);
        if (at === 0) await spool.begin(name);
        await spool.append([part]);
        at += part.length;
      }
      await spool.finish();
      return name;
    }

    test('writes to the file what it holds, and reads back what it does not', async () => {
      const spool = await openSpool(LARGE);
      const memory = must(spool.memoryFor(TIMELINE), 'such segments are held');
      const names: string[] = [];
      for (const number of [5n, 6n, 7n, 8n]) names.push(await receive(spool, memory, number));
      for (const name of names) {
        const read = await spool.readComplete(name);
        expect(read.equals(await readFile(join(spool.folder, name)))).toBe(true);
        expect(read[0]).toBe(Number.parseInt(name.slice(-2), 16) + 5);
        await spool.remove(name);
      }
    });

    test('goes on behind a short write, past the page cache or not', async () => {
      const spool = await openSpool(LARGE);
      const memory = must(spool.memoryFor(TIMELINE), 'such segments are held');
      const handle = await open(folder, 'r');
      const prototype = Object.getPrototypeOf(handle) as { write: Write };
      await handle.close();
      const { write } = prototype;
      let calls = 0;
      const cutting = vi.spyOn(prototype, 'write').mockImplementation(async function (
        this: unknown,
        ...[bytes, offset, length, position]
      ) {
        calls += 1;
        // Of a direct write as much as keeps it direct, then as much as does not.
        const cut =
          length < 8192 ? Math.ceil(length / 2) : length - (calls % 2 === 0 ? 4096 : 4097);
        return write.call(this, bytes, offset, cut, position);
      });
      const name = await receive(spool, memory, 5n);
      cutting.mockRestore();
      const held = await spool.readComplete(name);
      expect(held.equals(await readFile(join(spool.folder, name)))).toBe(true);
      expect(calls).toBeGreaterThan(20);
    });
  });

  test('counts as durable only what was synced', async () => {
    const spool = await openSpool();
    await spool.begin(NAME);
    await spool.append([filled(1, 100)]);
    expect(spool.partials).toEqual([{ name: NAME, length: 100, durable: 0 }]);
    await spool.sync();
    await spool.append([filled(1, 50)]);
    expect(spool.partials).toEqual([{ name: NAME, length: 150, durable: 100 }]);
    await spool.leave();
    expect(spool.partials).toEqual([{ name: NAME, length: 150, durable: 150 }]);
  });

  test('finds in a new life what the former left, and trusts only what was checked', async () => {
    const former = await openSpool();
    await former.begin(NAME);
    await former.append([filled(1)]);
    await former.finish();
    await former.begin(NEXT);
    await former.append([filled(2, 300)]);
    await former.leave();
    const spool = await openSpool();
    expect(spool.completeNames).toEqual([NAME]);
    expect(spool.partials).toEqual([{ name: NEXT, length: 300, durable: 0 }]);
    spool.trust(NEXT, 200);
    expect(spool.partials).toEqual([{ name: NEXT, length: 300, durable: 200 }]);
  });

  test('keeps the bytes of a former life until they are written over', async () => {
    const former = await openSpool();
    await former.begin(NAME);
    await former.append([filled(7, 500)]);
    await former.leave();
    const spool = await openSpool();
    await spool.begin(NAME);
    await spool.append([filled(8, 100)]);
    await spool.sync();
    const content = await spool.readPartial(NAME, 0, 500);
    expect(content.equals(Buffer.concat([filled(8, 100), filled(7, 400)]))).toBe(true);
    expect(spool.syncedBytes).toBe(100);
  });

  test('throws away a file that has the name of a whole segment and not its size', async () => {
    const former = await openSpool();
    await appendFile(join(former.folder, NAME), 'cut');
    const spool = await openSpool();
    expect(spool.completeNames).toEqual([]);
    expect(await readdir(spool.folder)).toEqual([]);
  });

  test('leaves files of others alone', async () => {
    const former = await openSpool();
    await appendFile(join(former.folder, 'notes.txt'), 'mine');
    const spool = await openSpool();
    expect(spool.usedBytes).toBe(0);
    expect((await stat(join(spool.folder, 'notes.txt'))).size).toBe(4);
  });

  test('is for its owner alone', async () => {
    const spool = await openSpool();
    await spool.begin(NAME);
    expect((await stat(join(spool.folder, `${NAME}.partial`))).mode & 0o777).toBe(0o600);
    await spool.leave();
  });
});
