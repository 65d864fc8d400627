import { chmodSync, closeSync, lstatSync, mkdirSync, truncateSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import { blake3 } from '../lib/hashing.ts';
import { readBackupMap } from '../repository/backup-map.ts';
import { FRAME_BYTES, PAGE_BYTES } from '../repository/frame.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { FileEntry, LinkEntry, RelationEntry } from '../repository/map-chunk.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { changedMeanwhile, fileFailure, systemCodeOf } from './file-failure.ts';
import { locate, rootFolders, type Locations } from './locations.ts';
import { ZERO_PAGES } from './placement.ts';
import type { PlacementSorter } from './placement-sorter.ts';
import { isLeftOut, isWholeInOneExtent } from './placed-entries.ts';
import { contentDiffers, makeFile } from './target-files.ts';

const FOLDER_MODE_DEFAULT = 0o700;
/** What this process needs to write a file or folder of its own until it is settled. */
const FILE_ACCESS = 0o600;
const FOLDER_ACCESS = 0o700;

export type OutlineOptions = {
  readonly store: ObjectStore;
  readonly manifest: Manifest;
  readonly locations: Locations;
  /** Whether files may stand there already, whose content is kept where it is right. */
  readonly keepPresent: boolean;
  readonly signal: AbortSignal;
};

export type Outline = {
  readonly totalBytes: number;
  readonly files: number;
  readonly links: readonly LinkEntry[];
  /** Mode by absolute path. */
  readonly folders: ReadonlyMap<string, number>;
};

/** Makes the folders and the files without content, cuts what is too long, and hands the rest to the sorter. */
export async function outlineFiles(
  options: OutlineOptions,
  sorter: PlacementSorter,
): Promise<Outline> {
  const { store, manifest, locations, keepPresent, signal } = options;
  const folders = new Folders(locations, keepPresent);
  const placements = new Placements(sorter);
  folders.set(locations.dataDirectory, manifest.cluster.dataDirectoryMode);
  const links: LinkEntry[] = [];
  let totalBytes = 0;
  let files = 0;
  for await (const entry of readBackupMap(store, manifest)) {
    signal.throwIfAborted();
    const path = locate(locations, entry.path);
    if (entry.kind === 'directory') {
      folders.ensure(path);
      folders.set(path, entry.mode);
    } else if (entry.kind === 'link') {
      links.push(entry);
    } else if (!isLeftOut(entry.path)) {
      folders.ensure(dirname(path));
      const presentBytes = keepPresent ? fitPresentFile(path, entry) : 0;
      if (entry.extents.length === 0) makeFileWithoutExtents(entry, path);
      placements.add(entry, presentBytes);
      totalBytes += placedBytes(entry);
      files += 1;
    }
  }
  return { totalBytes, files, links, folders: folders.modes };
}

/** The folders of the target that are known to be there, and the modes they will have. */
class Folders {
  readonly modes = new Map<string, number>();
  readonly #mayBePresent: boolean;

  constructor(locations: Locations, mayBePresent: boolean) {
    for (const root of rootFolders(locations)) this.modes.set(root, FOLDER_MODE_DEFAULT);
    this.#mayBePresent = mayBePresent;
  }

  set(path: string, mode: number): void {
    this.modes.set(path, mode);
  }

  ensure(path: string): void {
    if (this.modes.has(path)) return;
    this.ensure(dirname(path));
    try {
      if (!(this.#mayBePresent && isPresentFolder(path))) {
        mkdirSync(path, { mode: FOLDER_MODE_DEFAULT });
      }
    } catch (error) {
      throw fileFailure(error, `make folder ${path}`);
    }
    this.modes.set(path, FOLDER_MODE_DEFAULT);
  }
}

/** What stands there and is no folder was removed by plan; what came since is an error of the `mkdir` that follows. */
function isPresentFolder(path: string): boolean {
  const info = infoOf(path);
  if (info === null || !info.isDirectory()) return false;
  if ((info.mode & FOLDER_ACCESS) !== FOLDER_ACCESS) chmodSync(path, info.mode | FOLDER_ACCESS);
  return true;
}

/** Cuts a file that is longer than it shall be; answers how many of its bytes stand already, right or wrong. */
function fitPresentFile(path: string, { sizeBytes }: RelationEntry | FileEntry): number {
  try {
    const info = infoOf(path);
    if (info === null) return 0;
    if (!info.isFile() || info.nlink > 1) throw changedMeanwhile(path);
    if ((info.mode & FILE_ACCESS) !== FILE_ACCESS) chmodSync(path, info.mode | FILE_ACCESS);
    if (info.size > sizeBytes) truncateSync(path, sizeBytes);
    return Math.min(info.size, sizeBytes);
  } catch (error) {
    throw fileFailure(error, `look at ${path}`);
  }
}

function infoOf(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return null;
    throw error;
  }
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

/** Tells the sorter where the content of files goes. */
class Placements {
  readonly #sorter: PlacementSorter;
  #zeroParts = 0;

  constructor(sorter: PlacementSorter) {
    this.#sorter = sorter;
  }

  /** @param presentBytes how much of the file stands already and is to be compared. */
  add(entry: RelationEntry | FileEntry, presentBytes: number): void {
    if (entry.kind === 'relation') this.#addRelation(entry, presentBytes);
    else this.#addFile(entry, presentBytes);
  }

  #addRelation(entry: RelationEntry, presentBytes: number): void {
    const file = { path: entry.path, fileBytes: entry.sizeBytes, hash: null };
    let end = 0;
    for (const { pack, frame, position, firstBlock, pages } of entry.extents) {
      const fileOffset = firstBlock * PAGE_BYTES;
      this.#addZeros(entry, end, Math.min(fileOffset, presentBytes));
      const bytes = pages * PAGE_BYTES;
      const compare = fileOffset < presentBytes;
      const frameOffset = position * PAGE_BYTES;
      this.#sorter.add(pack, { ...file, frame, frameOffset, fileOffset, bytes, compare });
      end = fileOffset + bytes;
    }
    this.#addZeros(entry, end, presentBytes);
  }

  /** Beyond what is present a file is made longer, and so is zero already. */
  #addZeros(entry: RelationEntry, from: number, to: number): void {
    const file = { path: entry.path, fileBytes: entry.sizeBytes, frameOffset: 0, hash: null };
    const end = Math.min(Math.ceil(to / PAGE_BYTES) * PAGE_BYTES, entry.sizeBytes);
    for (let fileOffset = from; fileOffset < end; fileOffset += FRAME_BYTES) {
      const bytes = Math.min(FRAME_BYTES, end - fileOffset);
      const frame = this.#zeroParts;
      this.#sorter.add(ZERO_PAGES, { ...file, frame, fileOffset, bytes, compare: true });
      this.#zeroParts += 1;
    }
  }

  #addFile(entry: FileEntry, presentBytes: number): void {
    const file = { path: entry.path, fileBytes: entry.sizeBytes };
    let fileOffset = 0;
    for (const { pack, frame, position, bytes } of entry.extents) {
      const hash = isWholeInOneExtent(entry) ? entry.hash : null;
      const place = { frame, frameOffset: position, fileOffset, bytes };
      this.#sorter.add(pack, { ...file, ...place, hash, compare: fileOffset < presentBytes });
      fileOffset += bytes;
    }
  }
}

function placedBytes(entry: RelationEntry | FileEntry): number {
  if (entry.kind === 'file') return entry.sizeBytes;
  return entry.extents.reduce((sum, { pages }) => sum + pages * PAGE_BYTES, 0);
}
