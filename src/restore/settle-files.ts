import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsync,
  futimesSync,
  openSync,
  read,
} from 'node:fs';
import { promisify } from 'node:util';
import { Blake3 } from '../lib/hashing.ts';
import type { FileEntry, RelationEntry } from '../repository/map-chunk.ts';
import type { FileOwner } from './file-owner.ts';
import { changedMeanwhile, fileFailure } from './file-failure.ts';
import { locate, type Locations } from './locations.ts';
import type { MapReader } from './map-reader.ts';
import { isLeftOut, isWholeInOneExtent } from './placed-entries.ts';
import { contentDiffers } from './target-files.ts';

/**
 * Files settled together, each with an open descriptor, while those before are synced. Syncs that wait at the same time
 * share one commit of the journal and one flush of the disk: 2000 files take a tenth of the time they take one by one.
 */
const BATCH_FILES = 200;
const READ_BACK_BYTES: number = 1024 * 1024;
const PERMISSION_BITS = 0o777;
const MODE_BITS = 0o7777;
/** The map holds whole milliseconds, cut off. */
const TIME_TOLERANCE_MS = 1;

const { O_NOFOLLOW, O_RDONLY } = constants;
const syncDescriptor = promisify(fsync);
const readDescriptor = promisify(read);

export type SettleOptions = {
  readonly map: MapReader;
  readonly locations: Locations;
  readonly owner: FileOwner | null;
  readonly signal: AbortSignal;
};

/** Checks the files that came in parts, gives all files owner, mode and time, and makes them durable. */
export async function settleFiles(options: SettleOptions): Promise<void> {
  let syncing: Promise<void> = Promise.resolve();
  try {
    for await (const files of batchesOf(options)) {
      const descriptors = await openBatch(files, options);
      const before = syncing;
      syncing = syncBatch(descriptors, options);
      // A failure is met when it is waited for.
      syncing.catch(() => undefined);
      await before;
    }
  } finally {
    await syncing;
  }
}

async function* batchesOf({
  map,
  signal,
}: SettleOptions): AsyncGenerator<readonly (RelationEntry | FileEntry)[], void> {
  for await (const entries of map.chunks()) {
    const files = entries.filter((entry) => entry.kind === 'relation' || entry.kind === 'file');
    for (let first = 0; first < files.length; first += BATCH_FILES) {
      signal.throwIfAborted();
      yield files.slice(first, first + BATCH_FILES);
    }
  }
}

/** Checks and finishes files, which stay open to be synced. */
async function openBatch(
  files: readonly (RelationEntry | FileEntry)[],
  options: SettleOptions,
): Promise<number[]> {
  const descriptors: number[] = [];
  try {
    for (const file of files) {
      if (isLeftOut(file.path)) continue;
      const descriptor = openFile(file, options.locations);
      descriptors.push(descriptor);
      await settleContent(file, descriptor, options);
    }
    return descriptors;
  } catch (error) {
    for (const descriptor of descriptors) closeSync(descriptor);
    throw fileFailure(error, `finish files of ${options.locations.dataDirectory}`);
  }
}

async function syncBatch(
  descriptors: readonly number[],
  { locations }: SettleOptions,
): Promise<void> {
  const syncs = descriptors.map((descriptor) => syncDescriptor(descriptor));
  try {
    await Promise.all(syncs);
  } catch (error) {
    throw fileFailure(error, `sync files of ${locations.dataDirectory}`);
  } finally {
    // Of those that are still under way when one fails, too: a number that is closed may be another file's soon.
    await Promise.allSettled(syncs);
    for (const descriptor of descriptors) closeSync(descriptor);
  }
}

function openFile({ path }: RelationEntry | FileEntry, locations: Locations): number {
  const place = locate(locations, path);
  try {
    return openSync(place, O_RDONLY | O_NOFOLLOW);
  } catch (error) {
    throw fileFailure(error, `finish ${place}`);
  }
}

async function settleContent(
  file: RelationEntry | FileEntry,
  descriptor: number,
  { owner, signal }: SettleOptions,
): Promise<void> {
  const info = fstatSync(descriptor);
  if (info.size !== file.sizeBytes) throw changedMeanwhile(file.path);
  if (file.kind === 'file' && file.extents.length > 0 && !isWholeInOneExtent(file)) {
    await checkContent(descriptor, file, signal);
  }
  // What is as it shall be is not touched: a kept file keeps its times too.
  const isOwned = owner === null || (info.uid === owner.uid && info.gid === owner.gid);
  if (!isOwned) fchownSync(descriptor, owner.uid, owner.gid);
  const mode = file.mode & PERMISSION_BITS;
  if ((info.mode & MODE_BITS) !== mode) fchmodSync(descriptor, mode);
  if (Math.abs(info.mtimeMs - file.modifiedMs) > TIME_TOLERANCE_MS) {
    futimesSync(descriptor, file.modifiedMs / 1000, file.modifiedMs / 1000);
  }
}

async function checkContent(
  descriptor: number,
  file: FileEntry,
  signal: AbortSignal,
): Promise<void> {
  const hash = new Blake3();
  const buffer = Buffer.allocUnsafe(Math.min(READ_BACK_BYTES, file.sizeBytes));
  for (let at = 0; at < file.sizeBytes;) {
    signal.throwIfAborted();
    const { bytesRead } = await readDescriptor(descriptor, buffer, 0, buffer.length, at);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  if (!hash.digest().equals(file.hash)) throw contentDiffers(file.path);
}
