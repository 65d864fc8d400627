import { chmodSync, closeSync, lstatSync, mkdirSync, truncateSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import { blake3 } from '../lib/hashing.ts';
import { FRAME_BYTES, PAGE_BYTES } from '../repository/frame.ts';
import { livePlainBytes } from '../repository/manifest.ts';
import type { FileEntry, LinkEntry, RelationEntry } from '../repository/map-chunk.ts';
import { changedMeanwhile, fileFailure, systemCodeOf } from './file-failure.ts';
import { locate, rootFolders, type Locations } from './locations.ts';
import type { MapReader } from './map-reader.ts';
import { TaskCutter, type PlaceTask } from './place-tasks.ts';
import { ZERO_PAGES, type Placement } from './placement.ts';
import { isLeftOut, isWholeInOneExtent } from './placed-entries.ts';
import { contentDiffers, makeFile } from './target-files.ts';

const FOLDER_MODE_DEFAULT = 0o700;
/** What this process needs to write a file or folder of its own until it is settled. */
const FILE_ACCESS = 0o600;
const FOLDER_ACCESS = 0o700;

export type OutlineOptions = {
  readonly map: MapReader;
  readonly locations: Locations;
  /** Whether files may stand there already, whose content is kept where it is right. */
  readonly keepPresent: boolean;
  /** Workers that place. */
  readonly jobs: number;
  readonly signal: AbortSignal;
};

/** Goes once through the backup's map; memory does not grow with the number of files. */
export class Outline {
  readonly #options: OutlineOptions;
  readonly #folders: Folders;
  readonly #links: LinkEntry[] = [];
  #files = 0;

  constructor(options: OutlineOptions) {
    const { locations, map, keepPresent } = options;
    this.#options = options;
    this.#folders = new Folders(locations, keepPresent);
    this.#folders.set(locations.dataDirectory, map.manifest.cluster.dataDirectoryMode);
  }

  /** Files so far. */
  get files(): number {
    return this.#files;
  }

  /** Symbolic links so far; none of them is made. */
  get links(): readonly LinkEntry[] {
    return this.#links;
  }

  /** Mode by absolute path, of those so far. */
  get folders(): ReadonlyMap<string, number> {
    return this.#folders.modes;
  }

  /** Makes the folders and the files without content, cuts what is too long, and answers what is to be placed. */
  async *tasks(): AsyncGenerator<PlaceTask, void> {
    const { map, locations, jobs, signal } = this.#options;
    const cutter = new TaskCutter(livePlainBytes(map.manifest), jobs);
    for await (const entry of map.entries()) {
      signal.throwIfAborted();
      const path = locate(locations, entry.path);
      if (entry.kind === 'directory') {
        this.#folders.ensure(path);
        this.#folders.set(path, entry.mode);
      } else if (entry.kind === 'link') {
        this.#links.push(entry);
      } else if (!isLeftOut(entry.path)) {
        for (const placement of this.#outline(entry, path)) {
          cutter.add(placement);
          const task = cutter.isFull ? cutter.take() : null;
          if (task !== null) yield task;
        }
      }
    }
    const last = cutter.take();
    if (last !== null) yield last;
  }

  #outline(entry: RelationEntry | FileEntry, path: string): Iterable<Placement> {
    this.#folders.ensure(dirname(path));
    const presentBytes = this.#options.keepPresent ? fitPresentFile(path, entry) : 0;
    if (entry.extents.length === 0) makeFileWithoutExtents(entry, path);
    this.#files += 1;
    return entry.kind === 'relation'
      ? placementsOfRelation(entry, presentBytes)
      : placementsOfFile(entry, presentBytes);
  }
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

/** @param presentBytes how much of the file stands already and is to be compared. */
function* placementsOfRelation(entry: RelationEntry, presentBytes: number): Generator<Placement> {
  const file = { path: entry.path, fileBytes: entry.sizeBytes, hash: null };
  let end = 0;
  for (const { pack, frame, position, firstBlock, pages } of entry.extents) {
    const fileOffset = firstBlock * PAGE_BYTES;
    yield* zeros(entry, end, Math.min(fileOffset, presentBytes));
    const bytes = pages * PAGE_BYTES;
    const compare = fileOffset < presentBytes;
    const frameOffset = position * PAGE_BYTES;
    yield { ...file, pack, frame, frameOffset, fileOffset, bytes, compare };
    end = fileOffset + bytes;
  }
  yield* zeros(entry, end, presentBytes);
}

/** Beyond what is present a file is made longer, and so is zero already. */
function* zeros(entry: RelationEntry, from: number, to: number): Generator<Placement> {
  const file = { path: entry.path, fileBytes: entry.sizeBytes, hash: null, compare: true };
  const end = Math.min(Math.ceil(to / PAGE_BYTES) * PAGE_BYTES, entry.sizeBytes);
  for (let fileOffset = from; fileOffset < end; fileOffset += FRAME_BYTES) {
    const bytes = Math.min(FRAME_BYTES, end - fileOffset);
    yield { ...file, pack: ZERO_PAGES, frame: 0, frameOffset: 0, fileOffset, bytes };
  }
}

function* placementsOfFile(entry: FileEntry, presentBytes: number): Generator<Placement> {
  const file = { path: entry.path, fileBytes: entry.sizeBytes };
  const hash = isWholeInOneExtent(entry) ? entry.hash : null;
  let fileOffset = 0;
  for (const { pack, frame, position, bytes } of entry.extents) {
    const compare = fileOffset < presentBytes;
    yield { ...file, pack, frame, frameOffset: position, fileOffset, bytes, hash, compare };
    fileOffset += bytes;
  }
}
