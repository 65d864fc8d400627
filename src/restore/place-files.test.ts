import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  hashesOf,
  storeBackup,
  type StoredBackupOptions,
} from '../../test/support/stored-backup.ts';
import { blake3 } from '../lib/hashing.ts';
import { createFilesystemFolder } from '../storage/filesystem/filesystem-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { openStore } from '../storage/open-store.ts';
import { BackupMapWriter, readBackupMap } from '../repository/backup-map.ts';
import type { Manifest } from '../repository/manifest.ts';
import { backupKeys } from '../repository/layout.ts';
import type { MapEntry, PageExtent } from '../repository/map-chunk.ts';
import { PackWriter } from '../repository/pack-writer.ts';
import { MapReader } from './map-reader.ts';
import { placeFiles, type PlacedFiles, type PlaceFilesOptions } from './place-files.ts';
import { PlaceWorkers, type PlaceWorkersOptions } from './place-workers.ts';

let folder: string;
let target: string;
let store: ObjectStore;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'walnut-place-'));
  target = join(folder, 'target');
  mkdirSync(target);
  const description = { kind: 'filesystem' as const, path: join(folder, 'repository') };
  await createFilesystemFolder(description);
  store = await openStore(description);
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function pages(count: number, seed: number): Buffer {
  const content = Buffer.alloc(count * 8192);
  for (let at = 0; at < content.length; at += 1) content[at] = (at * seed + (at >> 8) + 1) % 256;
  return content;
}

async function place(
  backup: Omit<StoredBackupOptions, 'store'>,
  overrides: Partial<PlaceFilesOptions & PlaceWorkersOptions> = {},
): Promise<PlacedFiles> {
  return await placeStored(await storeBackup({ store, ...backup }), overrides);
}

async function placeStored(
  manifest: Manifest,
  overrides: Partial<PlaceFilesOptions & PlaceWorkersOptions> = {},
): Promise<PlacedFiles> {
  const options = {
    store,
    manifest,
    map: new MapReader(store, manifest),
    locations: { dataDirectory: target, tablespaces: [], walDirectory: null },
    keepPresent: false,
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

const file = { mode: 0o600, modifiedMs: 0 };

describe('placing files', () => {
  test('relations, large files, empty files and folders come back byte for byte, with mode and time', async () => {
    const relation = pages(300, 7);
    relation.fill(0, 40 * 8192, 90 * 8192);
    const large = pages(100, 3).subarray(0, 700_001);
    const files = [
      { path: 'base/5/16384', content: relation, kind: 'relation' as const, mode: 0o640 },
      { path: 'base/5/16385', content: Buffer.alloc(3 * 8192), kind: 'relation' as const },
      { path: 'base/5/16386', content: Buffer.alloc(0), kind: 'relation' as const },
      { path: 'log/large.log', content: large },
      { path: 'PG_VERSION', content: Buffer.from('18\n') },
      { path: 'log/empty', content: Buffer.alloc(0) },
    ];
    const entries: MapEntry[] = [
      { kind: 'directory', path: 'pg_notify', mode: 0o750, sizeBytes: 0, modifiedMs: 0 },
    ];
    const placed = await place({ files, entries });
    for (const { path, content } of files) {
      expect(readFileSync(join(target, path)).equals(content)).toBe(true);
    }
    expect(statSync(join(target, 'base/5/16384')).mode & 0o777).toBe(0o640);
    expect(statSync(join(target, 'PG_VERSION')).mtimeMs).toBe(1_700_000_000_000);
    expect(statSync(join(target, 'pg_notify')).mode & 0o777).toBe(0o750);
    expect(placed).toMatchObject({ files: 6, writtenBytes: 250 * 8192 + large.length + 3 });
    expect(readdirSync(folder)).toEqual(['repository', 'target']);
  });

  test('paths of a tablespace and of pg_wal lead to their own folders', async () => {
    const tablespace = join(folder, 'fast');
    const wal = join(folder, 'wal');
    mkdirSync(tablespace);
    mkdirSync(wal);
    const content = pages(2, 5);
    const path = 'pg_tblspc/16400/PG_18_202506291/5/16401';
    const folders = ['pg_wal', 'pg_wal/archive_status'].map((name): MapEntry => ({
      kind: 'directory',
      path: name,
      mode: 0o700,
      sizeBytes: 0,
      modifiedMs: 0,
    }));
    const locations = {
      dataDirectory: target,
      tablespaces: [{ oid: 16_400, name: 'fast', directory: tablespace }],
      walDirectory: wal,
    };
    await place({ files: [{ path, content, kind: 'relation' }], entries: folders }, { locations });
    expect(readFileSync(join(tablespace, 'PG_18_202506291/5/16401')).equals(content)).toBe(true);
    expect(readdirSync(wal)).toEqual(['archive_status']);
    expect(readdirSync(target)).toEqual([]);
  });

  test('pg_control, backup_label and tablespace_map of the map are left to the last step', async () => {
    const names = ['global/pg_control', 'backup_label', 'tablespace_map'];
    const content = Buffer.from('x');
    await place({ files: names.map((path) => ({ path, content })) });
    expect(readdirSync(target)).toEqual([]);
  });

  test('symbolic links are reported and not made', async () => {
    const entries: MapEntry[] = [
      { ...file, kind: 'link', path: 'conf.d', sizeBytes: 0, target: '/etc' },
    ];
    const placed = await place({ files: [], entries });
    expect(placed.links.map(({ path }) => path)).toEqual(['conf.d']);
    expect(readdirSync(target)).toEqual([]);
  });

  test.each(['../escaped', '/etc/escaped', 'base/../../escaped', 'pg_tblspc/16400/../../escaped'])(
    'the hostile path %s is refused before anything is written',
    async (path) => {
      const hash = blake3(Buffer.alloc(0));
      const entries: MapEntry[] = [
        { ...file, kind: 'file', path, sizeBytes: 0, identity: null, hash, extents: [] },
      ];
      await expect(place({ files: [], entries })).rejects.toMatchObject({ code: 'object-damaged' });
      expect(readdirSync(target)).toEqual([]);
      expect(readdirSync(folder)).toEqual(['repository', 'target']);
    },
  );

  test('a damaged frame stops the restore and names the files in it', async () => {
    const content = pages(10, 7);
    const manifest = await storeBackup({
      store,
      files: [{ path: 'base/5/16384', content, kind: 'relation' }],
    });
    const pack = join(folder, 'repository', manifest.packs[0]?.key ?? '');
    const bytes = readFileSync(pack);
    bytes.writeUInt8(bytes.readUInt8(200) ^ 1, 200);
    writeFileSync(pack, bytes);
    const failure = await placeStored(manifest).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 'object-damaged',
      details: { files: ['base/5/16384'] },
      hint: expect.stringContaining('walnut verify'),
    });
    expect(String(failure)).toContain('base/5/16384');
  });

  test('a pack that is gone names the files it held', async () => {
    const options = {
      files: [{ path: 'base/5/16384', content: pages(10, 7), kind: 'relation' as const }],
    };
    const manifest = await storeBackup({ store, ...options });
    await store.delete(manifest.packs[0]?.key ?? '');
    await expect(placeStored(manifest)).rejects.toMatchObject({
      code: 'object-missing',
      details: { files: ['base/5/16384'] },
    });
  });

  test.each([700_001, 1000])('a file of %d bytes whose hash differs is refused', async (size) => {
    const content = pages(100, 3).subarray(0, size);
    const manifest = await storeBackup({ store, files: [{ path: 'log/x', content }] });
    const map = new BackupMapWriter(store, { server: 'shop', id: manifest.id });
    for await (const entry of readBackupMap(store, manifest)) {
      await map.add({ ...entry, hash: blake3(Buffer.from('other')) } as MapEntry);
    }
    const chunks = [...(await map.finish())];
    await expect(placeStored({ ...manifest, chunks })).rejects.toThrow(
      /restore log\/x: the hash of the file does not match/,
    );
  });

  test('pages that are scattered over more backups than frames are held come together', async () => {
    const packs = 60;
    const content = pages(packs * 4, 7);
    const manifest = await storeBackup({ store, files: [] });
    const extents: PageExtent[] = [];
    for (let number = 0; number < packs; number += 1) {
      // Every sixtieth page: each frame is needed four times, and the others all come between.
      const blocks = [0, 1, 2, 3].map((round) => round * packs + number);
      const plain = Buffer.concat(
        blocks.map((block) => content.subarray(block * 8192, (block + 1) * 8192)),
      );
      const pack = await PackWriter.begin(
        store,
        backupKeys.pack('shop', manifest.id, number + 2),
        1,
      );
      const runs = blocks.map((from) => ({
        kind: 'pages' as const,
        path: 'base/5/1',
        from,
        length: 1,
      }));
      const frame = await pack.add({ plain, runs, pageCount: 4, pageHashes: hashesOf(plain) });
      await pack.finish();
      for (const [position, firstBlock] of blocks.entries()) {
        extents.push({ firstBlock, pages: 1, pack: pack.key, frame, position });
      }
    }
    extents.sort((first, second) => first.firstBlock - second.firstBlock);
    const map = new BackupMapWriter(store, { server: 'shop', id: manifest.id });
    const sizeBytes = content.length;
    await map.add({
      ...file,
      kind: 'relation',
      path: 'base/5/1',
      sizeBytes,
      identity: null,
      extents,
    });
    const chunks = [...(await map.finish())];
    const placed = await placeStored({ ...manifest, chunks }, { jobs: 1 });
    expect(placed.writtenBytes).toBe(sizeBytes);
    expect(readFileSync(join(target, 'base/5/1')).equals(content)).toBe(true);
  });

  test('an abort ends it with the reason of the signal', async () => {
    const abort = new AbortController();
    const reason = new Error('stop it');
    const placing = place(
      { files: [{ path: 'base/5/16384', content: pages(300, 7), kind: 'relation' }] },
      { signal: abort.signal, rateBytesPerSecond: 1000 },
    );
    setTimeout(() => abort.abort(reason), 300);
    await expect(placing).rejects.toBe(reason);
  });
});
