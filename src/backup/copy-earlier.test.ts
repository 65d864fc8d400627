/** Copies on top of earlier ones: real files, real packs, read back page by page. */
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ChangeMap } from '../postgres/wal/change-map.ts';
import { readBackupMap } from '../repository/backup-map.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { PAGE_BYTES } from '../repository/frame.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { MapEntry } from '../repository/map-chunk.ts';
import { openIndexedFrame, readPackIndex } from '../repository/pack-reader.ts';
import { openFilesystemStore } from '../storage/filesystem/filesystem-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { copyFiles, type CopyResult } from './copy-files.ts';
import { CopyWorkers } from './copy-workers.ts';
import type { CopyRules } from './decide-file.ts';
import type { EarlierSources } from './earlier-files.ts';
import type { Sharing } from './earlier-pages.ts';
import { listFiles } from './list-files.ts';
import { LocalClusterSource } from './local-source.ts';
import { SILENT_PROGRESS } from './progress.ts';

const FULL = '20261122T191500Z-F' as BackupId;
const NEXT = '20261122T201500Z-I' as BackupId;
const TABLE = 'base/5/16384';
const LARGE = 'pg_xact/0001';
const LONG_AGO = new Date('2020-01-01T00:00:00Z');

let folder: string;
let cluster: string;
let store: ObjectStore;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'walnut-earlier-'));
  cluster = join(folder, 'data');
  mkdirSync(join(folder, 'repository'));
  store = await openFilesystemStore({ kind: 'filesystem', path: join(folder, 'repository') });
  put(TABLE, pages(300, 1));
  put(`${TABLE}_vm`, pages(1, 2));
  put('base/5/PG_VERSION', '18\n');
  put(LARGE, Buffer.alloc(600_000, 'x'));
});

afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Pages that pass the check of a cluster without checksums. */
function pages(count: number, seed: number): Buffer {
  const bytes = Buffer.alloc(count * PAGE_BYTES);
  for (let page = 0; page < count; page += 1) bytes.set(onePage(seed, page), page * PAGE_BYTES);
  return bytes;
}

function onePage(seed: number, page: number): Buffer {
  const bytes = Buffer.alloc(PAGE_BYTES);
  bytes.writeUInt16LE(24, 12);
  bytes.writeUInt16LE(8000, 14);
  bytes.writeUInt16LE(8192, 16);
  bytes.writeUInt16LE(0x2004, 18);
  bytes.write(`row ${seed} of page ${page}`, 8100);
  return bytes;
}

function put(path: string, content: Buffer | string): void {
  mkdirSync(dirname(join(cluster, path)), { recursive: true });
  writeFileSync(join(cluster, path), content);
  utimesSync(join(cluster, path), LONG_AGO, LONG_AGO);
}

function setPages(path: string, blocks: readonly number[], seed: number): void {
  const bytes = readFileSync(join(cluster, path));
  for (const block of blocks) bytes.set(onePage(seed, block), block * PAGE_BYTES);
  put(path, bytes);
}

type Copy = {
  readonly id?: BackupId;
  readonly parent?: CopyResult | null;
  readonly attempts?: EarlierSources['attempts'];
  readonly rules?: Partial<CopyRules>;
  readonly sharing?: Sharing;
};

async function copy(wish: Copy = {}): Promise<CopyResult> {
  const { id = NEXT, parent = null, attempts = [], rules = {}, sharing = 'pages' } = wish;
  // Files written a moment ago have an identity only for a backup that begins later.
  const source = new LocalClusterSource(cluster, Date.now() + 60_000);
  const chunks = [...(parent?.chunks ?? [])];
  const { signal } = new AbortController();
  await using workers = new CopyWorkers(2, signal);
  return await copyFiles(
    listFiles({ source, majorVersion: 18, innerTablespaces: new Set(), warn: fail }),
    {
      earlier: { store, parent: manifestOf(parent), attempts, warn: fail },
      rules: { changes: null, paranoid: false, damage: new Map(), ...rules },
    },
    {
      store,
      server: 'shop',
      id,
      source: { kind: 'local', dataDirectory: cluster },
      workers,
      level: 1,
      rateBytesPerSecond: null,
      verifyChecksums: false,
      startLsn: 2n ** 60n,
      sharing,
      earlierChunks: chunks,
      progress: SILENT_PROGRESS,
      signal,
    },
  );
}

function manifestOf(copied: CopyResult | null): Manifest | null {
  return copied === null ? null : ({ chunks: [...copied.chunks] } as unknown as Manifest);
}

function fail(text: string): never {
  throw new Error(text);
}

function changed(blocks: readonly number[], limit: number | null = null): ChangeMap {
  const map = new ChangeMap();
  const fork = { tablespaceOid: 1663, databaseOid: 5, relfilenode: 16_384, fork: 0 };
  for (const block of blocks) map.mark(fork, block);
  if (limit !== null) map.limit(fork, limit);
  return map;
}

async function entriesOf(result: CopyResult): Promise<Map<string, MapEntry>> {
  const entries = await Array.fromAsync(readBackupMap(store, manifestOf(result) as Manifest));
  return new Map(entries.map((entry) => [entry.path, entry]));
}

/** What a restore would write. */
async function restored(result: CopyResult, path: string): Promise<Buffer> {
  const entry = (await entriesOf(result)).get(path);
  if (entry?.kind !== 'relation' && entry?.kind !== 'file') throw new Error(`no ${path}`);
  const bytes = Buffer.alloc(entry.sizeBytes);
  let at = 0;
  for (const extent of entry.extents) {
    const { frames } = await readPackIndex(store, extent.pack);
    const frame = frames[extent.frame];
    if (frame === undefined) throw new Error('no such frame');
    const pack = readFileSync(join(folder, 'repository', extent.pack));
    const plain = openIndexedFrame(pack, 0, { key: extent.pack, frame });
    const isPages = 'pages' in extent;
    const [from, length] = isPages
      ? [extent.position * PAGE_BYTES, extent.pages * PAGE_BYTES]
      : [extent.position, extent.bytes];
    bytes.set(plain.subarray(from, from + length), isPages ? extent.firstBlock * PAGE_BYTES : at);
    at += length;
  }
  return bytes;
}

async function expectRestored(result: CopyResult): Promise<void> {
  for (const [path, entry] of await entriesOf(result)) {
    if (entry.kind !== 'relation' && entry.kind !== 'file') continue;
    const isSame = (await restored(result, path)).equals(readFileSync(join(cluster, path)));
    expect(`${path} ${isSame}`).toBe(`${path} true`);
  }
}

describe('a copy with known changes', () => {
  test('reads and stores only the changed pages, and is whole all the same', async () => {
    const parent = await copy({ id: FULL });
    setPages(TABLE, [3, 4, 170], 9);
    const next = await copy({ parent, rules: { changes: changed([3, 4, 170]) } });
    expect(next.totals).toMatchObject({
      readBytes: 3 * PAGE_BYTES,
      changedPages: 3,
      changedFiles: 1,
    });
    expect(next.packs).toHaveLength(1);
    await expectRestored(next);
  });

  test('stores nothing at all, not even a map chunk, when nothing changed', async () => {
    const parent = await copy({ id: FULL });
    const next = await copy({ parent, rules: { changes: changed([]) } });
    expect(next.totals).toMatchObject({ readBytes: 0, changedPages: 0, changedFiles: 0 });
    expect(next.packs).toEqual([]);
    expect(next.chunks).toEqual(parent.chunks);
    await expectRestored(next);
  });

  test('follows a relation that shrank, grew and was made anew behind its limit', async () => {
    const parent = await copy({ id: FULL });
    truncateSync(join(cluster, TABLE), 100 * PAGE_BYTES);
    put(TABLE, Buffer.concat([readFileSync(join(cluster, TABLE)), pages(50, 7)]));
    const next = await copy({ parent, rules: { changes: changed([], 100) } });
    expect(next.totals).toMatchObject({ readBytes: 50 * PAGE_BYTES, changedPages: 50 });
    await expectRestored(next);
  });

  test('reads with --paranoid what looks untouched, and stores none of it again', async () => {
    const parent = await copy({ id: FULL });
    const next = await copy({ parent, rules: { changes: changed([]), paranoid: true } });
    expect(next.totals.readBytes).toBe(PAGE_BYTES + 3 + 600_000);
    expect(next.totals.changedFiles).toBeLessThanOrEqual(1);
    await expectRestored(next);
  });
});

describe('a copy that compares', () => {
  test('reads everything and stores only pages that differ', async () => {
    const parent = await copy({ id: FULL });
    setPages(TABLE, [5, 250], 9);
    const next = await copy({ parent });
    expect(next.totals).toMatchObject({ changedPages: 2, changedFiles: 1 });
    expect(next.totals.readBytes).toBeGreaterThanOrEqual(300 * PAGE_BYTES);
    await expectRestored(next);
  });

  test('of a full backup stores whole frames, so that it comes out in one piece', async () => {
    const parent = await copy({ id: FULL });
    setPages(TABLE, [5], 9);
    const next = await copy({ id: NEXT, parent, sharing: 'frames' });
    expect(next.totals).toMatchObject({ changedPages: 32, changedFiles: 1 });
    await expectRestored(next);
  });

  test('shares the pieces of a large file that did not change', async () => {
    const parent = await copy({ id: FULL });
    const content = Buffer.alloc(600_000, 'x');
    content.write('changed', 300_000);
    put(LARGE, content);
    const next = await copy({ parent, rules: { changes: changed([]) } });
    const entry = (await entriesOf(next)).get(LARGE);
    const packs = entry?.kind === 'file' ? entry.extents.map(({ pack }) => pack) : [];
    expect(packs.map((pack) => pack.includes(FULL))).toEqual([true, false, false]);
    await expectRestored(next);
  });

  test('stores again what lies in a pack that is gone', async () => {
    const parent = await copy({ id: FULL });
    const [pack] = parent.packs;
    rmSync(join(folder, 'repository', pack?.key ?? ''));
    const next = await copy({ parent, rules: { paranoid: true } });
    expect(next.totals.changedPages).toBeGreaterThan(0);
  });
});

describe('an interrupted copy', () => {
  test('gives its pages to the next one only where they are still the same', async () => {
    const dead = await copy({ id: FULL });
    setPages(TABLE, [10, 11], 9);
    const attempts = [{ id: FULL, packs: dead.packs.map(({ key }) => key) }];
    const next = await copy({ attempts, sharing: 'frames' });
    expect(next.totals.changedPages).toBe(32);
    await expectRestored(next);
  });

  test('helps an incremental too, and is never taken unread', async () => {
    const parent = await copy({ id: FULL });
    setPages(TABLE, [10, 11, 12], 9);
    const dead = await copy({ parent, rules: { changes: changed([10, 11, 12]) } });
    setPages(TABLE, [11], 8);
    const attempts = [{ id: NEXT, packs: dead.packs.map(({ key }) => key) }];
    const id = '20261122T211500Z-I' as BackupId;
    const next = await copy({ id, parent, attempts, rules: { changes: changed([10, 11, 12]) } });
    expect(next.totals).toMatchObject({ readBytes: 3 * PAGE_BYTES, changedPages: 1 });
    await expectRestored(next);
  });
});
