import { appendFile, mkdtemp, open, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Spool } from './spool.ts';

const SIZE = 1024;
const NAME = '000000010000000000000005';
const NEXT = '000000010000000000000006';
const INCARNATION = '7711169712404804592-18';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'walnut-spool-'));
});
afterEach(async () => rm(folder, { recursive: true }));

const openSpool = async (): Promise<Spool> =>
  Spool.open({ folder, incarnation: INCARNATION }, SIZE);
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
