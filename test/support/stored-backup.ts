/** Builds a small stored backup with the repository's own writers, for tests that need one without a server. */
import { blake3 } from '../../src/lib/hashing.ts';
import { xxh64 } from '../../src/postgres/cluster/page-hash.ts';
import { BackupMapWriter } from '../../src/repository/backup-map.ts';
import type { BackupId } from '../../src/repository/backup-id.ts';
import { PAGE_BYTES } from '../../src/repository/frame.ts';
import { backupKeys } from '../../src/repository/layout.ts';
import { storeManifest, type Manifest } from '../../src/repository/manifest.ts';
import type { MapEntry } from '../../src/repository/map-chunk.ts';
import { PackWriter } from '../../src/repository/pack-writer.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';

type StoredFile = {
  readonly path: string;
  readonly content: Uint8Array;
  readonly kind?: 'relation' | 'file';
  readonly mode?: number;
};

export type StoredBackupOptions = {
  readonly store: ObjectStore;
  readonly files: readonly StoredFile[];
  /** Entries that hold no content, and hostile ones. */
  readonly entries?: readonly MapEntry[];
  readonly manifest?: Partial<Manifest>;
  /** Whether the pack's index holds the hashes of pages; without them packs of equal shape are equally long. */
  readonly hashPages?: boolean;
  /** Bytes of a `file` per frame. */
  readonly frameBytes?: number;
};

const MODIFIED_MS = 1_700_000_000_000;

export const STORED_BACKUP_ID = '20261122T191500Z-F' as BackupId;

/** Stores the files in one pack, one frame per stretch, and commits the backup. */
export async function storeBackup(options: StoredBackupOptions): Promise<Manifest> {
  const { store } = options;
  const server = options.manifest?.server ?? 'shop';
  const id = options.manifest?.id ?? STORED_BACKUP_ID;
  const pack = await PackWriter.begin(store, backupKeys.pack(server, id, 1), 1);
  const entries: MapEntry[] = [...(options.entries ?? [])];
  for (const file of options.files) entries.push(await storeFile(pack, file, options));
  await pack.finish();
  const map = new BackupMapWriter(store, { server, id });
  const inOrder = entries.toSorted((first, second) =>
    Buffer.compare(Buffer.from(first.path), Buffer.from(second.path)),
  );
  for (const entry of inOrder) await map.add(entry);
  const chunks = [...(await map.finish())];
  const plainBytes = options.files.reduce((sum, { content }) => sum + content.length, 0);
  const { key, storedBytes } = pack;
  const packs = [{ key, storedBytes, plainBytes, livePlainBytes: placedBytesOf(entries) }];
  const manifest = exampleManifest({ ...options.manifest, server, id, chunks, packs });
  await storeManifest(store, manifest, 1);
  return manifest;
}

async function storeFile(
  pack: PackWriter,
  { path, content, kind = 'file', mode = 0o600 }: StoredFile,
  { frameBytes = 256 * 1024, hashPages = false }: StoredBackupOptions,
): Promise<MapEntry> {
  const sizeBytes = content.length;
  const facts = { path, mode, sizeBytes, modifiedMs: MODIFIED_MS, identity: null };
  if (kind === 'file') {
    const extents = [];
    for (let at = 0; at < content.length; at += frameBytes) {
      const plain = content.subarray(at, at + frameBytes);
      const run = { kind: 'bytes' as const, path, from: at, length: plain.length };
      const none = { pageCount: 0, pageHashes: new Uint8Array(0) };
      const frame = await pack.add({ plain, runs: [run], ...none });
      extents.push({ bytes: plain.length, pack: pack.key, frame, position: 0 });
    }
    return { ...facts, kind, hash: blake3(content), extents };
  }
  const extents = [];
  for (const [firstBlock, pages] of runsOfPages(content)) {
    const plain = content.subarray(firstBlock * PAGE_BYTES, (firstBlock + pages) * PAGE_BYTES);
    const run = { kind: 'pages' as const, path, from: firstBlock, length: pages };
    const pageHashes = hashPages ? hashesOf(plain) : new Uint8Array(pages * 8);
    const frame = await pack.add({ plain, runs: [run], pageCount: pages, pageHashes });
    extents.push({ firstBlock, pages, pack: pack.key, frame, position: 0 });
  }
  return { ...facts, kind, extents };
}

/** As the page scanner makes them. */
export function hashesOf(pages: Uint8Array): Buffer {
  const hashes = Buffer.alloc((pages.length / PAGE_BYTES) * 8);
  for (let page = 0; page * PAGE_BYTES < pages.length; page += 1) {
    const hash = xxh64(pages.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES));
    hashes.writeBigUInt64LE(hash, page * 8);
  }
  return hashes;
}

/** Runs of at most 32 pages that are not zero: first block and length. */
function* runsOfPages(content: Uint8Array): Generator<[number, number]> {
  const count = content.length / PAGE_BYTES;
  let first = 0;
  for (let block = 0; block <= count; block += 1) {
    const page = content.subarray(block * PAGE_BYTES, (block + 1) * PAGE_BYTES);
    const isGap = block === count || page.every((byte) => byte === 0);
    if (isGap || block - first === 32) {
      if (block > first) yield [first, block - first];
      first = isGap ? block + 1 : block;
    }
  }
}

/** A manifest head that parses, of a backup of PostgreSQL 18 with 1 MB WAL segments. */
export function exampleManifest(parts: Partial<Manifest>): Manifest {
  return {
    version: 1,
    id: STORED_BACKUP_ID,
    type: 'full',
    server: 'shop',
    name: null,
    parent: null,
    source: 'local',
    changeSource: null,
    fromStandby: false,
    walnutVersion: '0.1.0',
    systemIdentifier: '7432109876543210987',
    majorVersion: 18,
    serverVersionNum: 180_004,
    timeline: 1,
    startLsn: '0/2000028',
    stopLsn: '0/2000150',
    stopTimeline: 1,
    startedAt: '2026-11-22T19:15:00.000Z',
    finishedAt: '2026-11-22T19:16:00.000Z',
    durationMs: 60_000,
    cluster: {
      blockBytes: 8192,
      segmentBlocks: 131_072,
      walSegmentBytes: 1024 * 1024,
      dataChecksumVersion: 1,
      dataDirectory: '/var/lib/postgresql/18/main',
      dataDirectoryMode: 0o700,
    },
    controlFile: Buffer.alloc(8192, 7).toString('base64'),
    backupLabel: Buffer.from('START WAL LOCATION: 0/2000028\n').toString('base64'),
    tablespaceMap: '',
    settings: {},
    tablespaces: [],
    databases: [{ oid: 5, name: 'postgres' }],
    externalFiles: [],
    totals: {
      clusterBytes: 0,
      readBytes: 0,
      storedBytes: 0,
      files: 0,
      changedFiles: 0,
      pages: 0,
      changedPages: 0,
      damagedPages: 0,
    },
    damage: [],
    warnings: [],
    chunks: [],
    packs: [],
    ...parts,
  };
}

function placedBytesOf(entries: readonly MapEntry[]): number {
  const lengths = entries.flatMap((entry) => {
    if (entry.kind === 'relation') return entry.extents.map(({ pages }) => pages * PAGE_BYTES);
    return entry.kind === 'file' ? entry.extents.map(({ bytes }) => bytes) : [];
  });
  return lengths.reduce((sum, length) => sum + length, 0);
}
