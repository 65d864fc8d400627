/** Placing files where some stand already: what is right stays, and only what differs is read and written. */
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hashesOf, storeBackup } from '../../test/support/stored-backup.ts';
import { blake3 } from '../lib/hashing.ts';
import { BackupMapWriter, readBackupMap } from '../repository/backup-map.ts';
import { backupKeys } from '../repository/layout.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { MapEntry } from '../repository/map-chunk.ts';
import { PackWriter } from '../repository/pack-writer.ts';
import { createFilesystemFolder } from '../storage/filesystem/filesystem-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { openStore } from '../storage/open-store.ts';
import { MapReader } from './map-reader.ts';
import { placeFiles, type PlacedFiles, type PlaceFilesOptions } from './place-files.ts';
import { PlaceWorkers, type PlaceWorkersOptions } from './place-workers.ts';

const PAGE = 8192;
const FRAME = 32 * PAGE;
const RELATION = 'base/5/16384';
const SPARSE = 'base/5/16385';
const SMALL = 'pg_xact/0000';
const LARGE = 'log/large';

let folder: string;
let target: string;
let store: ObjectStore;
let manifest: Manifest;
const contents = new Map<string, Buffer>();

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'walnut-delta-'));
  target = join(folder, 'target');
  mkdirSync(target);
  const description = { kind: 'filesystem' as const, path: join(folder, 'repository') };
  await createFilesystemFolder(description);
  store = await openStore(description);
  const sparse = pages(100, 11);
  sparse.fill(0, 10 * PAGE, 70 * PAGE);
  sparse.fill(0, 95 * PAGE);
  contents.set(RELATION, pages(200, 7));
  contents.set(SPARSE, sparse);
  contents.set(SMALL, pages(1, 5));
  contents.set(LARGE, pages(100, 3).subarray(0, 700_001));
  contents.set('base/5/empty', Buffer.alloc(0));
  const files = [...contents].map(([path, content]) => {
    const kind = path.startsWith('base') ? ('relation' as const) : ('file' as const);
    return { path, content, kind };
  });
  manifest = await storeBackup({ store, files, hashPages: true });
  await place();
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function pages(count: number, seed: number): Buffer {
  const content = Buffer.alloc(count * PAGE);
  for (let index = 0; index < content.length; index += 1) {
    content[index] = (index * seed + (index >> 8) + 1) % 256;
  }
  return content;
}

async function place(
  overrides: Partial<PlaceFilesOptions & PlaceWorkersOptions> = {},
): Promise<PlacedFiles> {
  const options = {
    store,
    manifest,
    map: new MapReader(store, manifest),
    locations: { dataDirectory: target, tablespaces: [], walDirectory: null },
    keepPresent: true,
    owner: null,
    jobs: 2,
    rateBytesPerSecond: null,
    signal: new AbortController().signal,
    onPlaced: () => {},
    onSettle: () => {},
    ...overrides,
  };
  return await placeFiles({ ...options, workers: new PlaceWorkers(options) });
}

function at(path: string): string {
  return join(target, path);
}

function edit(path: string, act: (content: Buffer) => Buffer | void): void {
  const content = readFileSync(at(path));
  writeFileSync(at(path), act(content) ?? content);
}

/** Name, device and times of everything but `except`. */
function traces(...except: string[]): Record<string, string> {
  const entries = [...contents.keys()]
    .filter((path) => !except.includes(path))
    .map((path): [string, string] => {
      const { ino, mtimeNs, ctimeNs, mode } = statSync(at(path), { bigint: true });
      return [path, `${ino} ${mtimeNs} ${ctimeNs} ${mode}`];
    });
  return Object.fromEntries(entries);
}

function expectRestored(): void {
  for (const [path, content] of contents) {
    expect(readFileSync(at(path)).equals(content) ? path : 'other content').toBe(path);
    expect(statSync(at(path)).mode & 0o777).toBe(0o600);
    expect(Math.abs(statSync(at(path)).mtimeMs - 1_700_000_000_000)).toBeLessThanOrEqual(1);
  }
}

const KEPT_BYTES = (200 + 35 + 1) * PAGE + 700_001;

describe('placing files over present ones', () => {
  test('that are right reads and writes nothing and touches no file', async () => {
    const before = traces();
    const told: number[][] = [];
    const placed = await place({ onPlaced: (...figures) => told.push(figures) });
    expect(placed).toMatchObject({ writtenBytes: 0, readBytes: 0, keptBytes: KEPT_BYTES });
    expect(traces()).toEqual(before);
    expect(told.at(-1)).toEqual([KEPT_BYTES, KEPT_BYTES]);
    expectRestored();
  });

  test('writes the pages that differ and reads their frames, no others', async () => {
    const before = traces(RELATION);
    edit(RELATION, (content) => {
      content.writeUInt8(content.readUInt8(3 * PAGE + 100) ^ 1, 3 * PAGE + 100);
      content.fill(1, 100 * PAGE, 102 * PAGE);
    });
    const placed = await place();
    expect(placed).toMatchObject({ writtenBytes: 3 * PAGE, keptBytes: KEPT_BYTES - 3 * PAGE });
    expect(placed.readBytes).toBeGreaterThan(0);
    expect(placed.readBytes).toBeLessThan(4 * FRAME);
    expect(traces(RELATION)).toEqual(before);
    expectRestored();
  });

  test('finds a change that leaves size, LSN and times as they were', async () => {
    const { atime, mtime } = statSync(at(RELATION));
    edit(RELATION, (content) => content.fill(9, 5 * PAGE + 8, 6 * PAGE));
    utimesSync(at(RELATION), atime, mtime);
    expect(await place()).toMatchObject({ writtenBytes: PAGE });
    expectRestored();
  });

  test.each([
    ['cut in mid-page', { path: RELATION, length: 33 * PAGE + 5, written: 167 * PAGE }],
    ['empty', { path: RELATION, length: 0, written: 200 * PAGE }],
    ['cut inside a hole', { path: SPARSE, length: 40 * PAGE, written: 25 * PAGE }],
    ['small and empty', { path: SMALL, length: 0, written: PAGE }],
    ['large and cut', { path: LARGE, length: FRAME + 7, written: 700_001 - FRAME }],
  ])('fills up a file that is %s', async (_, { path, length, written }) => {
    truncateSync(at(path), length);
    expect(await place()).toMatchObject({ writtenBytes: written });
    expectRestored();
  });

  test.each([RELATION, SPARSE, SMALL, LARGE, 'base/5/empty'])(
    'cuts %s where it is too long, and keeps the rest',
    async (path) => {
      edit(path, (content) => Buffer.concat([content, Buffer.alloc(3 * PAGE + 1, 7)]));
      expect(await place()).toMatchObject({ writtenBytes: 0, readBytes: 0 });
      expectRestored();
    },
  );

  test('makes pages zero that the backup holds as zero', async () => {
    edit(SPARSE, (content) =>
      content
        .fill(7, 69 * PAGE, 70 * PAGE)
        .fill(7, 20 * PAGE, 20 * PAGE + 1)
        .fill(7, 97 * PAGE, 98 * PAGE),
    );
    expect(await place()).toMatchObject({ writtenBytes: 3 * PAGE, readBytes: 0 });
    expectRestored();
  });

  test('compares other files by the hash of the file, or of each frame of a large one', async () => {
    edit(SMALL, (content) => void content.writeUInt8(0, 17));
    edit(LARGE, (content) => void content.writeUInt8(content.readUInt8(FRAME + 9) ^ 1, FRAME + 9));
    expect(await place()).toMatchObject({ writtenBytes: PAGE + FRAME });
    expectRestored();
  });

  test('makes missing files and folders, and mends modes that forbid it', async () => {
    rmSync(at('base'), { recursive: true });
    chmodSync(at(SMALL), 0o000);
    chmodSync(at(dirname(SMALL)), 0o500);
    expect(await place()).toMatchObject({ writtenBytes: 235 * PAGE });
    expect(statSync(at(dirname(SMALL))).mode & 0o777).toBe(0o700);
    expectRestored();
  });

  test('follows no symbolic link and writes to no file that has another name', async () => {
    const other = join(folder, 'other');
    writeFileSync(other, 'precious');
    rmSync(at(SMALL));
    symlinkSync(other, at(SMALL));
    await expect(place()).rejects.toThrow('it changed while it was restored');
    rmSync(at(SMALL));
    linkSync(other, at(SMALL));
    await expect(place()).rejects.toThrow('it changed while it was restored');
    rmSync(at(SMALL));
    rmSync(at('base'), { recursive: true });
    symlinkSync(folder, at('base'));
    await expect(place()).rejects.toThrow(/make folder .*base/);
    expect(readFileSync(other, 'utf8')).toBe('precious');
    expect(readdirSync(folder).toSorted()).toEqual(['other', 'repository', 'target']);
  });

  test('a damaged frame hits only a restore that needs it', async () => {
    const pack = join(folder, 'repository', manifest.packs[0]?.key ?? '');
    const bytes = readFileSync(pack);
    bytes.writeUInt8(bytes.readUInt8(200) ^ 1, 200);
    writeFileSync(pack, bytes);
    expect(await place()).toMatchObject({ writtenBytes: 0 });
    edit(RELATION, (content) => content.fill(1, 0, PAGE));
    await expect(place()).rejects.toMatchObject({
      code: 'object-damaged',
      details: { files: [RELATION] },
    });
  });

  test('pages of one relation may lie in packs of several backups, out of order', async () => {
    const content = contents.get(RELATION) ?? Buffer.alloc(0);
    const newer = pages(40, 13);
    const pack = await PackWriter.begin(store, backupKeys.pack('shop', manifest.id, 2), 1);
    const run = { kind: 'pages' as const, path: RELATION, from: 100, length: 40 };
    const frame = { plain: newer, runs: [run], pageCount: 40, pageHashes: hashesOf(newer) };
    const number = await pack.add(frame);
    await pack.finish();
    const map = new BackupMapWriter(store, { server: 'shop', id: manifest.id });
    const older = { pack: manifest.packs[0]?.key ?? '', pages: 4 };
    const extents = [
      // Blocks 0 to 3 and 6 to 9 from one frame of the new pack, what lies between from the old one.
      { firstBlock: 0, pages: 4, pack: pack.key, frame: number, position: 30 },
      { ...older, firstBlock: 4, pages: 2, frame: 0, position: 4 },
      { firstBlock: 6, pages: 4, pack: pack.key, frame: number, position: 2 },
    ];
    const facts = { path: RELATION, mode: 0o600, modifiedMs: 1_700_000_000_000, identity: null };
    const entry: MapEntry = { ...facts, kind: 'relation', sizeBytes: 10 * PAGE, extents };
    await map.add(entry);
    const shared = { ...manifest, chunks: [...(await map.finish())] };
    const wanted = Buffer.concat([
      newer.subarray(30 * PAGE, 34 * PAGE),
      content.subarray(4 * PAGE, 6 * PAGE),
      newer.subarray(2 * PAGE, 6 * PAGE),
    ]);
    expect(await place({ map: new MapReader(store, shared) })).toMatchObject({
      writtenBytes: 8 * PAGE,
      keptBytes: 2 * PAGE,
    });
    expect(readFileSync(at(RELATION)).equals(wanted)).toBe(true);
    expect(await place({ map: new MapReader(store, shared) })).toMatchObject({
      writtenBytes: 0,
      readBytes: 0,
    });
  });

  test('a whole file that does not come out as its hash says is refused', async () => {
    const map = new BackupMapWriter(store, { server: 'shop', id: manifest.id });
    for await (const entry of readBackupMap(store, manifest)) {
      const isLarge = entry.path === LARGE;
      await map.add(isLarge ? ({ ...entry, hash: blake3(Buffer.from('x')) } as MapEntry) : entry);
    }
    const chunks = [...(await map.finish())];
    await expect(place({ map: new MapReader(store, { ...manifest, chunks }) })).rejects.toThrow(
      /restore log\/large: the hash of the file does not match/,
    );
  });
});
