import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StretchWriter } from './stretch-writer.ts';
import { TargetFiles } from './target-files.ts';

const FRAME = 256 * 1024;

let folder: string;
let files: TargetFiles;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'walnut-stretch-'));
  files = new TargetFiles({ dataDirectory: folder, walDirectory: null, tablespaces: [] });
});

afterEach(() => {
  files.close();
  rmSync(folder, { recursive: true, force: true });
});

async function place(
  stretches: StretchWriter,
  whole: Buffer,
  part: {
    readonly path: string;
    readonly at: number;
    readonly bytes: number;
    readonly isFollowed?: boolean;
  },
): Promise<void> {
  const { path, at, bytes, isFollowed = false } = part;
  // The same memory for every content, as frames are opened.
  const content = Buffer.from(whole.subarray(at, at + bytes));
  const placement = { path, fileBytes: whole.length, fileOffset: at, bytes };
  const source = { pack: 'pack', frame: 0, frameOffset: 0, hash: null, compare: false };
  await stretches.write({ ...placement, ...source }, content, isFollowed);
  content.fill(0xee);
}

function pattern(bytes: number, seed: number): Buffer {
  const whole = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4)
    whole.writeUInt32LE((at * 2654435761 + seed) >>> 0, at);
  return whole;
}

async function written(stretches: StretchWriter): Promise<void> {
  const flushed = await stretches.flush();
  await flushed.written;
}

test('files come out whole, whatever the order and length of their parts', async () => {
  const stretches = new StretchWriter(files);
  const first = pattern(37 * FRAME + 3 * 8192, 1);
  const second = pattern(9 * FRAME, 2);
  const odd = pattern(2 * FRAME + 777, 3);
  for (let at = 0; at < 20 * FRAME; at += FRAME) {
    await place(stretches, first, { path: 'first', at, bytes: FRAME });
  }
  for (let at = 8 * FRAME; at >= 0; at -= FRAME) {
    await place(stretches, second, { path: 'second', at, bytes: FRAME });
    if (at === 4 * FRAME) await place(stretches, odd, { path: 'odd', at: 0, bytes: FRAME });
  }
  await place(stretches, first, { path: 'first', at: 37 * FRAME, bytes: 3 * 8192 });
  for (let at = 20 * FRAME; at < 37 * FRAME; at += FRAME) {
    await place(stretches, first, { path: 'first', at, bytes: FRAME });
  }
  await place(stretches, odd, { path: 'odd', at: FRAME, bytes: FRAME });
  await place(stretches, odd, { path: 'odd', at: 2 * FRAME, bytes: 777 });
  await written(stretches);
  expect(readFileSync(join(folder, 'first')).equals(first)).toBe(true);
  expect(readFileSync(join(folder, 'second')).equals(second)).toBe(true);
  expect(readFileSync(join(folder, 'odd')).equals(odd)).toBe(true);
});

test('single pages that follow each other make one stretch, also what is put straight into its room', async () => {
  const writes: number[] = [];
  const writeStretch = files.writeStretch.bind(files);
  files.writeStretch = async (stretch, content) => {
    writes.push(content.length);
    await writeStretch(stretch, content);
  };
  const stretches = new StretchWriter(files);
  const whole = pattern(100 * 8192, 4);
  for (let at = 0; at < 60 * 8192; at += 8192) {
    await place(stretches, whole, { path: 'whole', at, bytes: 8192, isFollowed: true });
  }
  const rest = { path: 'whole', fileBytes: whole.length, fileOffset: 60 * 8192, bytes: 40 * 8192 };
  const source = { pack: 'pack', frame: 0, frameOffset: 0, hash: null, compare: false };
  const room = await stretches.room({ ...rest, ...source }, false);
  room?.set(whole.subarray(60 * 8192));
  await stretches.filled(40 * 8192);
  await written(stretches);
  expect(writes).toEqual([whole.length]);
  expect(readFileSync(join(folder, 'whole')).equals(whole)).toBe(true);
});

test('a stretch that cannot be written fails the flush, if not an earlier write', async () => {
  const stretches = new StretchWriter(files);
  const whole = pattern(FRAME, 1);
  await place(stretches, whole, { path: 'no/such/folder/file', at: 0, bytes: FRAME });
  await expect(written(stretches)).rejects.toMatchObject({ code: 'failed' });
});
