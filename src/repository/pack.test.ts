import { mkdtempSync, rmSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openFilesystemStore } from '../storage/filesystem/filesystem-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { FRAME_PAGES, PAGE_BYTES } from './frame.ts';
import { frameSpan, openIndexedFrame, readPackIndex } from './pack-reader.ts';
import { PackWriter, type PackContent } from './pack-writer.ts';

let folder: string;
let store: ObjectStore;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'walnut-pack-'));
  store = await openFilesystemStore({ kind: 'filesystem', path: folder });
});

afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

function pagesOf(count: number, seed: number): Buffer {
  const pages = Buffer.alloc(count * PAGE_BYTES);
  for (let at = 0; at < pages.length; at += PAGE_BYTES)
    pages.writeUInt32LE(((at + 1) * seed) >>> 0, at);
  return pages;
}

function content(path: string, pages: number, bytes: Buffer): PackContent {
  const runs = [
    { kind: 'pages' as const, path, from: 64, length: pages },
    { kind: 'bytes' as const, path: `${path}.conf`, from: 0, length: bytes.length },
  ];
  return {
    plain: Buffer.concat([pagesOf(pages, 7), bytes]),
    pageCount: pages,
    runs,
    pageHashes: Buffer.alloc(pages * 8, 0xab),
  };
}

const KEY = 'shop/backup/20261122T191500Z-F/pack-000001';

async function writePack(contents: readonly PackContent[]): Promise<void> {
  const pack = await PackWriter.begin(store, KEY, 1);
  for (const part of contents) await pack.add(part);
  await pack.finish();
}

describe('a pack', () => {
  test('gives back every frame with its runs and page hashes', async () => {
    const contents = [
      content('base/5/16384', FRAME_PAGES, Buffer.alloc(0)),
      content('base/5/16385', 3, Buffer.from('max_connections = 100\n')),
    ];
    await writePack(contents);
    const index = await readPackIndex(store, KEY);
    const bytes = readFileSync(join(folder, KEY));
    expect(index.frames.map(({ runs }) => runs)).toEqual(contents.map(({ runs }) => runs));
    const frames = index.frames.map((frame) => ({ ...frame, runs: [] }));
    expect(await readPackIndex(store, KEY, 'without-runs')).toEqual({ ...index, frames });
    for (const [number, frame] of index.frames.entries()) {
      const plain = openIndexedFrame(bytes, 0, { key: KEY, frame });
      expect(Buffer.from(plain).equals(contents[number]?.plain as Buffer)).toBe(true);
      expect(Buffer.from(frame.pageHashes)).toEqual(contents[number]?.pageHashes);
    }
  });

  test('opens a frame from a ranged read that begins in the middle of the pack', async () => {
    await writePack([content('a', 4, Buffer.alloc(9)), content('b', 2, Buffer.alloc(5))]);
    const { frames } = await readPackIndex(store, KEY);
    const frame = frames[1];
    if (frame === undefined) throw new Error('two frames expected');
    const bytes = Buffer.alloc(frameSpan(frame));
    await store.read(KEY, frame.offset, bytes);
    expect(openIndexedFrame(bytes, frame.offset, { key: KEY, frame }).length).toBe(
      2 * PAGE_BYTES + 5,
    );
  });

  test('any flipped bit is found: in the header, a frame, the index or the footer', async () => {
    await writePack([content('a', 2, Buffer.from('x')), content('b', 1, Buffer.from('yy'))]);
    const path = join(folder, KEY);
    const good = readFileSync(path);
    const unnoticed: number[] = [];
    for (let at = 0; at < good.length; at += 1) {
      const bad = Buffer.from(good);
      bad.writeUInt8(bad.readUInt8(at) ^ (1 << (at % 8)), at);
      rmSync(path);
      writeFileSync(path, bad);
      if (!(await isRefused(bad))) unnoticed.push(at);
    }
    expect(unnoticed).toEqual([]);
  });

  test('a pack that was cut is refused', async () => {
    await writePack([content('a', 2, Buffer.from('x'))]);
    const path = join(folder, KEY);
    const good = readFileSync(path);
    for (const length of [0, 50, 96, 159, good.length - 1]) {
      rmSync(path);
      writeFileSync(path, good.subarray(0, length));
      await expect(readPackIndex(store, KEY)).rejects.toThrow(KEY);
    }
  });

  test('two swapped frames of equal length are refused', async () => {
    const one = content('a', 1, Buffer.alloc(0));
    await writePack([one, { ...one, plain: pagesOf(1, 9) }]);
    const [first, second] = (await readPackIndex(store, KEY)).frames;
    if (first === undefined || second === undefined) throw new Error('two frames expected');
    const bytes = readFileSync(join(folder, KEY));
    const moved = { ...first, offset: second.offset };
    expect(() => openIndexedFrame(bytes, 0, { key: KEY, frame: moved })).toThrow('wrong place');
  });

  test('an aborted pack leaves nothing behind', async () => {
    const pack = await PackWriter.begin(store, KEY, 1);
    await pack.add(content('a', 2, Buffer.from('x')));
    await pack.abort();
    expect(await store.stat(KEY)).toBeNull();
    expect(await Array.fromAsync(store.list(''))).toEqual([]);
  });
});

async function isRefused(bytes: Buffer): Promise<boolean> {
  try {
    const { frames } = await readPackIndex(store, KEY);
    for (const frame of frames) openIndexedFrame(bytes, 0, { key: KEY, frame });
    return false;
  } catch {
    return true;
  }
}
