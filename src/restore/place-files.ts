import { mkdirSync, closeSync } from 'node:fs';
import { chmod, chown } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../lib/durable-file.ts';
import { blake3 } from '../lib/hashing.ts';
import { PAGE_BYTES } from '../repository/frame.ts';
import { readBackupMap } from '../repository/backup-map.ts';
import type { FileEntry, LinkEntry, RelationEntry } from '../repository/map-chunk.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { FileOwner } from './file-owner.ts';
import { fileFailure } from './file-failure.ts';
import { locate, rootFolders, type Locations } from './locations.ts';
import type { PlaceWorkerSetup } from './place-protocol.ts';
import { PlacementSorter, type PlaceTask } from './placement-sorter.ts';
import { isLeftOut, isWholeInOneExtent } from './placed-entries.ts';
import { settleFiles } from './settle-files.ts';
import { contentDiffers, makeFile } from './target-files.ts';
import { WorkerPool } from './worker-pool.ts';

/** How often progress is told. */
const PROGRESS_INTERVAL_MS = 200;
const FOLDER_MODE_DEFAULT = 0o700;

export type PlaceFilesOptions = {
  readonly store: ObjectStore;
  readonly manifest: Manifest;
  readonly locations: Locations;
  readonly owner: FileOwner | null;
  readonly jobs: number;
  readonly rateBytesPerSecond: number | null;
  /** A file that may be made for a while, on the target's file system. */
  readonly spillPath: string;
  readonly signal: AbortSignal;
  readonly onPlaced: (placedBytes: number, totalBytes: number) => void;
  readonly onSettle: () => void;
};

export type PlacedFiles = {
  readonly writtenBytes: number;
  readonly readBytes: number;
  readonly files: number;
  /** Symbolic links that the backup recorded; none of them is made here. */
  readonly links: readonly LinkEntry[];
};

/**
 * Puts every file of the backup in its place, checked against its hashes and durable: each live frame is read once, by
 * workers in parallel. Memory does not grow with the number of files. The root folders exist and are empty.
 */
export async function placeFiles(options: PlaceFilesOptions): Promise<PlacedFiles> {
  const sorter = new PlacementSorter({ spillPath: options.spillPath });
  let outline: Outline;
  let readBytes: number;
  try {
    outline = await outlineFiles(options, sorter);
    readBytes = await placeContent(options, sorter, outline.totalBytes);
  } finally {
    sorter.close();
  }
  options.onSettle();
  await settleFiles(options);
  await settleFolders(options, outline.folders);
  const { totalBytes, files, links } = outline;
  return { writtenBytes: totalBytes, readBytes, files, links };
}

async function placeContent(
  options: PlaceFilesOptions,
  sorter: PlacementSorter,
  totalBytes: number,
): Promise<number> {
  const writtenBytes = new SharedArrayBuffer(8);
  const setup: PlaceWorkerSetup = { ...workerSetup(options), writtenBytes };
  const pool = new WorkerPool<PlaceTask>({ module: 'place-worker', workers: options.jobs, setup });
  const told = tellProgress(options, writtenBytes, totalBytes);
  try {
    return await pool.run(sorter.tasks(), {
      signal: options.signal,
      transfer: ({ placements }) => [placements.buffer],
    });
  } finally {
    told.stop();
    await pool.close();
  }
}

type Outline = {
  readonly totalBytes: number;
  readonly files: number;
  readonly links: readonly LinkEntry[];
  /** Mode by absolute path. */
  readonly folders: ReadonlyMap<string, number>;
};

/** Makes the folders and the files without content, and hands the rest to the sorter. */
async function outlineFiles(
  { store, manifest, locations, signal }: PlaceFilesOptions,
  sorter: PlacementSorter,
): Promise<Outline> {
  const folders = new Map<string, number>();
  for (const root of rootFolders(locations)) folders.set(root, FOLDER_MODE_DEFAULT);
  folders.set(locations.dataDirectory, manifest.cluster.dataDirectoryMode);
  const links: LinkEntry[] = [];
  let totalBytes = 0;
  let files = 0;
  for await (const entry of readBackupMap(store, manifest)) {
    signal.throwIfAborted();
    const path = locate(locations, entry.path);
    if (entry.kind === 'directory') {
      ensureFolder(path, folders);
      folders.set(path, entry.mode);
    } else if (entry.kind === 'link') {
      links.push(entry);
    } else if (!isLeftOut(entry.path)) {
      ensureFolder(dirname(path), folders);
      if (entry.extents.length === 0) makeFileWithoutExtents(entry, path);
      else addPlacements(entry, sorter);
      totalBytes += placedBytes(entry);
      files += 1;
    }
  }
  return { totalBytes, files, links, folders };
}

function ensureFolder(path: string, known: Map<string, number>): void {
  if (known.has(path)) return;
  ensureFolder(dirname(path), known);
  try {
    mkdirSync(path, { mode: FOLDER_MODE_DEFAULT });
  } catch (error) {
    throw fileFailure(error, `make folder ${path}`);
  }
  known.set(path, FOLDER_MODE_DEFAULT);
}

function makeFileWithoutExtents(entry: RelationEntry | FileEntry, path: string): void {
  if (entry.kind === 'file') {
    const isEmpty = entry.sizeBytes === 0 && blake3(new Uint8Array(0)).equals(entry.hash);
    if (!isEmpty) throw contentDiffers(entry.path);
  }
  try {
    closeSync(makeFile(path, entry.sizeBytes));
  } catch (error) {
    throw fileFailure(error, `make ${path}`);
  }
}

function addPlacements(entry: RelationEntry | FileEntry, sorter: PlacementSorter): void {
  const file = { path: entry.path, fileBytes: entry.sizeBytes };
  if (entry.kind === 'relation') {
    for (const { pack, frame, position, firstBlock, pages } of entry.extents) {
      sorter.add(pack, {
        ...file,
        frame,
        frameOffset: position * PAGE_BYTES,
        fileOffset: firstBlock * PAGE_BYTES,
        bytes: pages * PAGE_BYTES,
        hash: null,
      });
    }
    return;
  }
  let fileOffset = 0;
  for (const { pack, frame, position, bytes } of entry.extents) {
    const hash = isWholeInOneExtent(entry) ? entry.hash : null;
    sorter.add(pack, { ...file, frame, frameOffset: position, fileOffset, bytes, hash });
    fileOffset += bytes;
  }
}

function placedBytes(entry: RelationEntry | FileEntry): number {
  if (entry.kind === 'file') return entry.sizeBytes;
  return entry.extents.reduce((sum, { pages }) => sum + pages * PAGE_BYTES, 0);
}

async function settleFolders(
  { owner }: PlaceFilesOptions,
  folders: ReadonlyMap<string, number>,
): Promise<void> {
  for (const [path, mode] of folders) {
    try {
      if (owner !== null) await chown(path, owner.uid, owner.gid);
      await chmod(path, mode & 0o777);
      await syncFolder(path);
    } catch (error) {
      throw fileFailure(error, `finish folder ${path}`);
    }
  }
}

function workerSetup(options: PlaceFilesOptions): Omit<PlaceWorkerSetup, 'writtenBytes'> {
  const { store, locations, owner, rateBytesPerSecond } = options;
  return { store: store.description, locations, owner, rateBytesPerSecond };
}

function tellProgress(
  { onPlaced }: PlaceFilesOptions,
  shared: SharedArrayBuffer,
  totalBytes: number,
): { stop(): void } {
  const counter = new BigInt64Array(shared);
  const tell = (): void => onPlaced(Number(Atomics.load(counter, 0)), totalBytes);
  const timer = setInterval(tell, PROGRESS_INTERVAL_MS);
  return {
    stop() {
      clearInterval(timer);
      tell();
    },
  };
}
