/** What the main thread and its copy workers say to each other; everything is structured-cloneable. */
import type { RunningServer } from '../postgres/connection/running-server.ts';
import type { FileEntry, FileIdentity, MapEntry, PageExtent } from '../repository/map-chunk.ts';
import type { FinishedPack } from '../repository/pack-writer.ts';
import type { BackupId } from '../repository/backup-id.ts';
import type { Sharing } from './earlier-pages.ts';
import type { BlockRun } from './page-extents.ts';
import type { SerializedError } from '../lib/serialized-error.ts';
import type { StoreDescription } from '../storage/object-store.ts';

/** How a worker reads files; `pushed` receives them from the main thread. */
export type WorkerSource =
  | { readonly kind: 'local'; readonly dataDirectory: string }
  | { readonly kind: 'connection'; readonly server: RunningServer }
  | { readonly kind: 'pushed' };

export type CopyWorkerData = {
  readonly store: StoreDescription;
  readonly server: string;
  readonly id: BackupId;
  readonly level: number;
  readonly source: WorkerSource;
  readonly verifyChecksums: boolean;
  /** How pages that are stored already are shared. */
  readonly sharing: Sharing;
  /** Pages changed after this LSN are not judged: WAL replay rewrites them. */
  readonly startLsn: bigint;
  /** One Int32: the number of the pack taken last. */
  readonly packNumbers: SharedArrayBuffer;
  /** Bytes per second for this worker, or null. */
  readonly rateBytesPerSecond: number | null;
};

/** One file, or a stretch of a large relation file, to be copied. */
export type CopyItem = {
  readonly path: string;
  readonly kind: 'relation' | 'file' | 'directory' | 'link';
  /** For links: where they point. */
  readonly target: string | null;
  readonly mode: number;
  readonly modifiedMs: number;
  /** Size of the whole file when it was listed. */
  readonly sizeBytes: number;
  readonly identity: FileIdentity;
  /** The stretch to copy: a multiple of 8192 for relations. */
  readonly offset: number;
  readonly length: number;
  /** Within the stretch, the only blocks to copy, ascending; null for all of it. */
  readonly runs: readonly BlockRun[] | null;
  /** Where pages of the stretch may be stored already: lists of sorted extents, the best source first. */
  readonly earlier: readonly (readonly PageExtent[])[];
  /** For a file that is no relation: the one that the parent has. */
  readonly earlierFile: FileEntry | null;
};

export type CopyTask = { readonly number: number; readonly items: readonly CopyItem[] };

export type ToWorker =
  /** The first message, unless there is nothing to do. */
  | { readonly kind: 'begin'; readonly data: CopyWorkerData }
  | { readonly kind: 'task'; readonly task: CopyTask }
  | {
      readonly kind: 'pushed';
      readonly task: CopyTask;
      /** The content of the items, one after the other, transferred. */
      readonly bytes: Uint8Array;
    }
  | { readonly kind: 'finish' }
  /** Discard what is unfinished and end. */
  | { readonly kind: 'abort' };

export type BlockDamage = { readonly path: string; readonly block: number };

/** The copied part of one item; null entry when the file was gone. Of a sliced file each part is a result. */
export type ItemResult = {
  readonly path: string;
  readonly entry: MapEntry | null;
  readonly readBytes: number;
  /** For a relation: the block at which the file ended before it should have; null when it did not. */
  readonly cutAt: number | null;
};

export type FromWorker =
  | { readonly kind: 'progress'; readonly readBytes: number; readonly storedBytes: number }
  | {
      readonly kind: 'done';
      readonly task: number;
      readonly results: readonly ItemResult[];
      readonly damage: readonly BlockDamage[];
    }
  | { readonly kind: 'finished'; readonly packs: readonly FinishedPack[] }
  | { readonly kind: 'failed'; readonly error: SerializedError };
