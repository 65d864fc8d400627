import type * as FileSystem from 'node:fs/promises';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { alignedBuffer } from '../../lib/aligned-buffer.ts';
import { DirectFile, readPastCache } from '../../lib/direct-file.ts';
import { openFilesystemStore } from './filesystem-store.ts';

const MEGABYTE = 1024 * 1024;

const { failures } = vi.hoisted(() => ({ failures: [] as string[] }));

vi.mock('node:fs/promises', async (importOriginal) => {
  const actual = await importOriginal<typeof FileSystem>();
  return {
    ...actual,
    open: async (path: string, flags: string | number, mode?: number) => {
      const code = typeof flags === 'number' ? failures.shift() : undefined;
      if (code !== undefined) throw Object.assign(new Error(code), { code });
      return actual.open(path, flags, mode);
    },
  };
});

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'walnut-direct-'));
  failures.length = 0;
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function pattern(bytes: number): Uint8Array {
  const buffer = alignedBuffer(bytes);
  for (let at = 0; at < bytes; at += 1) buffer[at] = (at * 31 + (at >>> 8)) & 255;
  return buffer;
}

test('an object of aligned parts and a ragged end is read back as it was written', async () => {
  const store = await openFilesystemStore({ kind: 'filesystem', path: folder });
  const whole = pattern(5 * MEGABYTE + 777);
  const writer = await store.beginWrite('shop/pack');
  await writer.writePart(whole.subarray(0, 2 * MEGABYTE));
  await writer.writePart(whole.subarray(2 * MEGABYTE, 5 * MEGABYTE + 500));
  await writer.writePart(whole.subarray(5 * MEGABYTE + 500));
  await writer.commit();
  expect((await readFile(join(folder, 'shop/pack'))).equals(whole)).toBe(true);
  await store.close();
});

test.each(['EINVAL', 'EACCES', 'ENOTSUP'])(
  'where a file cannot be opened past the page cache (%s), all is written the ordinary way',
  async (code) => {
    failures.push(code);
    const store = await openFilesystemStore({ kind: 'filesystem', path: folder });
    const whole = pattern(3 * MEGABYTE);
    const writer = await store.beginWrite('shop/pack');
    await writer.writePart(whole);
    await writer.commit();
    expect(failures).toEqual([]);
    expect((await readFile(join(folder, 'shop/pack'))).equals(whole)).toBe(true);
    await store.close();
  },
);

test('leaves to the caller what is short, in ordinary memory, or at an odd place', async () => {
  const path = join(folder, 'file');
  await (await open(path, 'wx')).close();
  const direct = new DirectFile(path);
  const whole = pattern(2 * MEGABYTE);
  expect(await direct.write(whole.subarray(0, MEGABYTE - 1), 0)).toBe(0);
  expect(await direct.write(Buffer.alloc(2 * MEGABYTE), 0)).toBe(0);
  expect(await direct.write(whole.subarray(512), 0)).toBe(0);
  expect(await direct.write(whole, 512)).toBe(0);
  await direct.close();
  expect((await readFile(path)).length).toBe(0);
});

test.each([
  ['past the page cache', [], alignedBuffer(2 * MEGABYTE)],
  ['the ordinary way, where it cannot be opened so', ['EINVAL'], alignedBuffer(2 * MEGABYTE)],
  ['the ordinary way, into ordinary memory', [], new Uint8Array(2 * MEGABYTE)],
])('a file is read %s', async (_, refused, into) => {
  const path = join(folder, 'file');
  const whole = pattern(2 * MEGABYTE);
  await writeFile(path, whole);
  failures.push(...refused);
  expect(await readPastCache(path, into)).toBe(2 * MEGABYTE);
  expect(Buffer.compare(into, whole)).toBe(0);
  expect(failures).toEqual([]);
});

test('a file that ends early fills what it can, and one that is missing is an error', async () => {
  const path = join(folder, 'file');
  const short = pattern(MEGABYTE + 777);
  await writeFile(path, short);
  const into = alignedBuffer(2 * MEGABYTE);
  expect(await readPastCache(path, into)).toBe(short.length);
  expect(Buffer.compare(into.subarray(0, short.length), short)).toBe(0);
  await expect(readPastCache(join(folder, 'missing'), into)).rejects.toThrow('ENOENT');
});
