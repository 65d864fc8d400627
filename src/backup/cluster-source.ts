/** The one interface to the files of a server, however Walnut reaches them. */
import type { Wait } from '../lib/wait.ts';
import type { FileIdentity } from '../repository/map-chunk.ts';

export type FolderEntry = {
  readonly name: string;
  readonly kind: 'file' | 'folder' | 'link' | 'special';
  readonly sizeBytes: number;
  /** Permission bits. */
  readonly mode: number;
  readonly modifiedMs: number;
  /** Where a symbolic link points; null for anything else, and where the source cannot tell. */
  readonly target: string | null;
  /** Last change of the inode, and which one it is; zero where the source cannot tell. */
  readonly changedMs: number;
  readonly inode: number;
  readonly device: number;
};

/** What a folder holds. A folder may hold a million files, so each is looked at when its turn comes. */
export type Folder = {
  /** Unsorted. */
  readonly names: readonly string[];
  /** Null when it is gone. */
  readonly look: (name: string) => FolderEntry | null;
};

/** A stretch of a file to read. `path` is relative to the data directory; at most {@link RANGE_BYTES_MAX}. */
export type FileRange = {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
};

/** Largest single read: large enough to keep a disk and a connection busy, small enough to hold per worker. */
export const RANGE_BYTES_MAX: number = 1024 * 1024;

/** Where read bytes go. Calls come in the order of the ranges; what `received` answers is awaited before the next one. */
export type RangeSink = {
  /** At least the range's length; valid until `received` has returned. */
  bufferFor(index: number): Uint8Array;
  /** `byteCount` is smaller than asked at the end of the file, null when the file is gone. */
  received(index: number, byteCount: number | null): Wait;
};

/** Reads file contents in a worker thread. */
export type RangeReader = {
  readRanges(ranges: readonly FileRange[], sink: RangeSink): Promise<void>;
  close(): Promise<void>;
};

/** Lists and reads the files of one cluster, from the main thread. */
export type ClusterSource = {
  /** `path` relative to the data directory, empty for itself. Null when the folder is gone. */
  readFolder(path: string): Promise<Folder | null>;
  /** What tells the file from every other and from itself after a change; null where the source cannot tell. */
  identify(entry: FolderEntry): FileIdentity;
  /** A small file as a whole, or null when it is gone. */
  readSmallFile(path: string, maxBytes: number): Promise<Buffer | null>;
  close(): Promise<void>;
};
