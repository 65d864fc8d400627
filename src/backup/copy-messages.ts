/** What the main thread and its copy workers say to each other; everything is structured-cloneable. */
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import type { MapEntry } from '../repository/map-chunk.ts';
import type { FinishedPack } from '../repository/pack-writer.ts';
import type { BackupId } from '../repository/backup-id.ts';
import type { SerializedError } from '../lib/serialized-error.ts';
import type { StoreDescription } from '../storage/object-store.ts';

/** How a worker reads files; `pushed` receives them from the main thread. */
export type WorkerSource =
  | { readonly kind: 'local'; readonly dataDirectory: string }
  | { readonly kind: 'connection'; readonly settings: ConnectionSettings }
  | { readonly kind: 'pushed' };

export type CopyWorkerData = {
  readonly store: StoreDescription;
  readonly server: string;
  readonly id: BackupId;
  readonly level: number;
  readonly source: WorkerSource;
  readonly verifyChecksums: boolean;
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
  /** The stretch to copy: a multiple of 8192 for relations. */
  readonly offset: number;
  readonly length: number;
};

export type CopyTask = { readonly number: number; readonly items: readonly CopyItem[] };

export type ToWorker =
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
