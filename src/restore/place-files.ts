import { chmod, chown } from 'node:fs/promises';
import { syncFolder } from '../lib/durable-file.ts';
import type { LinkEntry } from '../repository/map-chunk.ts';
import { livePlainBytes } from '../repository/manifest.ts';
import type { FileOwner } from './file-owner.ts';
import { fileFailure } from './file-failure.ts';
import type { Locations } from './locations.ts';
import type { MapReader } from './map-reader.ts';
import { Outline } from './outline-files.ts';
import type { PlaceWorkers } from './place-workers.ts';
import { settleFiles } from './settle-files.ts';

/** How often progress is told. */
const PROGRESS_INTERVAL_MS = 200;
const FOLDERS_AT_ONCE = 16;

export type PlaceFilesOptions = {
  readonly map: MapReader;
  readonly locations: Locations;
  /** Whether files may stand there already: then only what differs is read and written. */
  readonly keepPresent: boolean;
  readonly owner: FileOwner | null;
  /** Of no use any more when all content is placed; disposed of by the caller. */
  readonly workers: PlaceWorkers;
  readonly signal: AbortSignal;
  /** Told of the bytes that are written or were found right. */
  readonly onPlaced: (placedBytes: number, totalBytes: number) => void;
  readonly onSettle: () => void;
};

export type PlacedFiles = {
  readonly writtenBytes: number;
  /** Found right and left as they were. */
  readonly keptBytes: number;
  readonly readBytes: number;
  readonly files: number;
  /** Symbolic links that the backup recorded; none of them is made here. */
  readonly links: readonly LinkEntry[];
};

/**
 * Puts every file of the backup in its place, checked against its hashes and durable, by workers in parallel, each going
 * through its parts of the target in order. Memory does not grow with the number of files. The root folders exist; unless
 * present files may be kept they are empty.
 */
export async function placeFiles(options: PlaceFilesOptions): Promise<PlacedFiles> {
  const { workers } = options;
  const outline = new Outline({ ...options, jobs: workers.jobs });
  const readBytes = await placeContent(options, outline);
  options.onSettle();
  await settleFiles(options);
  await settleFolders(options, outline.folders);
  const { files, links } = outline;
  const [writtenBytes, keptBytes] = [workers.countOf('written'), workers.countOf('kept')];
  return { writtenBytes, keptBytes, readBytes, files, links };
}

async function placeContent(options: PlaceFilesOptions, outline: Outline): Promise<number> {
  const told = tellProgress(options);
  const { pool } = options.workers;
  try {
    return await pool.run(outline.tasks(), {
      signal: options.signal,
      transfer: ({ placements }) => [placements.buffer],
    });
  } finally {
    told.stop();
    // All they had to write is written; that they have ended is waited for at the end of the restore.
    void pool.close();
  }
}

/** Several at once, because syncs that wait at the same time share a commit of the journal. */
async function settleFolders(
  { owner }: PlaceFilesOptions,
  folders: ReadonlyMap<string, number>,
): Promise<void> {
  const all = [...folders];
  for (let first = 0; first < all.length; first += FOLDERS_AT_ONCE) {
    const some = all.slice(first, first + FOLDERS_AT_ONCE);
    await Promise.all(some.map(async ([path, mode]) => settleFolder(path, mode, owner)));
  }
}

async function settleFolder(path: string, mode: number, owner: FileOwner | null): Promise<void> {
  try {
    if (owner !== null) await chown(path, owner.uid, owner.gid);
    await chmod(path, mode & 0o777);
    await syncFolder(path);
  } catch (error) {
    throw fileFailure(error, `finish folder ${path}`);
  }
}

function tellProgress({ onPlaced, map, workers }: PlaceFilesOptions): { stop(): void } {
  const totalBytes = livePlainBytes(map.manifest);
  const tell = (): void =>
    onPlaced(workers.countOf('written') + workers.countOf('kept'), totalBytes);
  const timer = setInterval(tell, PROGRESS_INTERVAL_MS);
  return {
    stop() {
      clearInterval(timer);
      tell();
    },
  };
}
