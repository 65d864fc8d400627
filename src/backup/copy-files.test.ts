import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readBackupMap } from '../repository/backup-map.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { PAGE_BYTES } from '../repository/frame.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { MapEntry } from '../repository/map-chunk.ts';
import { openIndexedFrame, readPackIndex } from '../repository/pack-reader.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import { openFilesystemStore } from '../storage/filesystem/filesystem-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { copyFiles, type CopyGround, type CopyResult } from './copy-files.ts';
import { ABORT_MS_MAX, CopyWorkers } from './copy-workers.ts';
import { listFiles } from './list-files.ts';
import { LocalClusterSource } from './local-source.ts';
import { SILENT_PROGRESS, type BackupProgress } from './progress.ts';

const ID = '20261122T191500Z-F' as BackupId;

let folder: string;
let cluster: string;
let store: ObjectStore;
let warnings: string[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'walnut-copy-'));
  cluster = join(folder, 'data');
  mkdirSync(join(folder, 'repository'));
  store = await openFilesystemStore({ kind: 'filesystem', path: join(folder, 'repository') });
  warnings = [];
});

afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Pages that pass the check of a cluster without checksums: pd_lower, pd_upper, pd_special, size and version. */
function pages(count: number, seed: number): Buffer {
  const bytes = Buffer.alloc(count * PAGE_BYTES);
  for (let page = 0; page < count; page += 1) {
    const at = page * PAGE_BYTES;
    bytes.writeUInt32LE(seed, at + 4);
    bytes.writeUInt16LE(24, at + 12);
    bytes.writeUInt16LE(8000, at + 14);
    bytes.writeUInt16LE(8192, at + 16);
    bytes.writeUInt16LE(0x2004, at + 18);
    bytes.write(`row ${seed} of page ${page}`, at + 8100);
  }
  return bytes;
}

function put(path: string, content: Buffer | string): void {
  mkdirSync(dirname(join(cluster, path)), { recursive: true });
  writeFileSync(join(cluster, path), content);
}

/** Nothing earlier to rest on. */
const ALONE: CopyGround = {
  earlier: {
    store: openMemoryStore(),
    parent: null,
    attempts: [],
    warn: (text) => warnings.push(text),
  },
  rules: { changes: null, paranoid: false, damage: new Map() },
};

async function copy(
  signal = new AbortController().signal,
  progress: BackupProgress = SILENT_PROGRESS,
): Promise<CopyResult> {
  const files = listFiles({
    source: new LocalClusterSource(cluster),
    majorVersion: 18,
    innerTablespaces: new Set(),
    warn: (text) => warnings.push(text),
  });
  await using workers = new CopyWorkers(2, signal);
  return await copyFiles(files, ALONE, {
    store,
    server: 'shop',
    id: ID,
    source: { kind: 'local', dataDirectory: cluster },
    workers,
    level: 1,
    rateBytesPerSecond: null,
    verifyChecksums: false,
    startLsn: 2n ** 60n,
    sharing: 'frames',
    earlierChunks: [],
    progress,
    signal,
  });
}

async function entriesOf(result: CopyResult): Promise<MapEntry[]> {
  return Array.fromAsync(
    readBackupMap(store, { chunks: [...result.chunks] } as unknown as Manifest),
  );
}

/** What a restore would write: every extent at its place, zeros elsewhere. */
async function contentOf(entry: MapEntry): Promise<Buffer> {
  const bytes = Buffer.alloc(entry.sizeBytes);
  if (entry.kind !== 'relation' && entry.kind !== 'file') return bytes;
  let end = 0;
  for (const extent of entry.extents) {
    const { frames } = await readPackIndex(store, extent.pack);
    const frame = frames[extent.frame];
    if (frame === undefined) throw new Error('no such frame');
    const pack = readFileSync(join(folder, 'repository', extent.pack));
    const plain = openIndexedFrame(pack, 0, { key: extent.pack, frame });
    if ('pages' in extent) {
      const from = extent.position * PAGE_BYTES;
      bytes.set(
        plain.subarray(from, from + extent.pages * PAGE_BYTES),
        extent.firstBlock * PAGE_BYTES,
      );
    } else {
      bytes.set(plain.subarray(extent.position, extent.position + extent.bytes), end);
      end += extent.bytes;
    }
  }
  return bytes;
}

describe('copyFiles', () => {
  test('every file comes back as it was: large and small relations, empty ones, large and small files', async () => {
    put('base/5/16384', pages(5000, 1));
    put('base/5/16384.1', pages(40, 2));
    put('base/5/16385', pages(3, 3));
    put('base/5/16386', Buffer.alloc(0));
    put('base/5/PG_VERSION', '18\n');
    put('pg_xact/0000', Buffer.alloc(700_000, 'x'));
    put('empty', '');
    const entries = await entriesOf(await copy());
    for (const entry of entries.filter(({ kind }) => kind === 'relation' || kind === 'file')) {
      const original = readFileSync(join(cluster, entry.path));
      expect((await contentOf(entry)).equals(original)).toBe(true);
      expect(entry.mode).toBe(statSync(join(cluster, entry.path)).mode & 0o777);
    }
    expect(entries.map(({ path }) => path)).toEqual([
      'base',
      'base/5',
      'base/5/16384',
      'base/5/16384.1',
      'base/5/16385',
      'base/5/16386',
      'base/5/PG_VERSION',
      'empty',
      'pg_xact',
      'pg_xact/0000',
    ]);
  });

  test('what PostgreSQL leaves out is left out: unlogged and temporary relations, WAL, lock files', async () => {
    for (const name of ['16384', '16384_init', '16384_fsm', '16384.1', 't3_16390', '16391']) {
      put(`base/5/${name}`, pages(1, 1));
    }
    put('pg_wal/000000010000000000000001', 'wal');
    put('pg_replslot/shop/state', 'slot');
    put('postmaster.pid', '1');
    put('global/pg_control', 'copied last');
    put('backup_label', 'old');
    const paths = (await entriesOf(await copy())).map(({ path }) => path);
    expect(paths).toEqual([
      'base',
      'base/5',
      'base/5/16384_init',
      'base/5/16391',
      'global',
      'pg_replslot',
      'pg_wal',
      'pg_wal/archive_status',
      'pg_wal/summaries',
    ]);
  });

  test('a symbolic link outside pg_tblspc is recorded and reported, its content is not copied', async () => {
    put('PG_VERSION', '18');
    mkdirSync(join(folder, 'elsewhere'));
    writeFileSync(join(folder, 'elsewhere', 'secret'), 'x');
    symlinkSync(join(folder, 'elsewhere'), join(cluster, 'log'));
    const entries = await entriesOf(await copy());
    expect(entries.find(({ path }) => path === 'log')).toMatchObject({
      kind: 'link',
      target: join(folder, 'elsewhere'),
    });
    expect(warnings).toEqual([expect.stringContaining('log is a symbolic link')]);
  });

  test('a tablespace is read through its link, only the folder of this version', async () => {
    const space = join(folder, 'space');
    mkdirSync(join(space, 'PG_18_202506291', '5'), { recursive: true });
    mkdirSync(join(space, 'PG_17_202406281', '5'), { recursive: true });
    writeFileSync(join(space, 'PG_18_202506291', '5', '16400'), pages(2, 4));
    writeFileSync(join(space, 'PG_17_202406281', '5', '16400'), pages(2, 4));
    mkdirSync(join(cluster, 'pg_tblspc'), { recursive: true });
    symlinkSync(space, join(cluster, 'pg_tblspc', '16399'));
    const entries = await entriesOf(await copy());
    expect(entries.filter(({ kind }) => kind === 'relation').map(({ path }) => path)).toEqual([
      'pg_tblspc/16399/PG_18_202506291/5/16400',
    ]);
  });

  test('a page that is wrong on disk is copied as it is and named', async () => {
    const bytes = pages(100, 5);
    bytes.writeUInt16LE(9000, 37 * PAGE_BYTES + 12);
    put('base/5/16384', bytes);
    const result = await copy();
    expect(result.damage).toEqual([{ path: 'base/5/16384', block: 37 }]);
    const [entry] = (await entriesOf(result)).filter(({ kind }) => kind === 'relation');
    expect(entry && (await contentOf(entry)).equals(bytes)).toBe(true);
  });

  test('an abort in mid-copy ends it with the reason of the signal and leaves nothing behind', async () => {
    put('base/5/16384', pages(20_000, 6));
    const controller = new AbortController();
    const copied = (): void => controller.abort(new Error('enough'));
    const begun = performance.now();
    const copying = copy(controller.signal, { ...SILENT_PROGRESS, copied });
    await expect(copying).rejects.toThrow('enough');
    // By themselves, and not because the wait for workers that hang was over.
    expect(performance.now() - begun).toBeLessThan(ABORT_MS_MAX);
    expect(readdirSync(join(folder, 'repository', 'tmp'))).toEqual([]);
  });
});
