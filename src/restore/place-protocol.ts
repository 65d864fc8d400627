import type { StoreDescription } from '../storage/object-store.ts';
import type { Locations } from './locations.ts';
import type { FileOwner } from './file-owner.ts';
import type { PlaceTask } from './placement-sorter.ts';
import type { WorkerFailure } from './worker-failure.ts';

/** What a worker is given when it begins; it opens its own store. */
export type PlaceWorkerSetup = {
  readonly store: StoreDescription;
  readonly locations: Locations;
  readonly owner: FileOwner | null;
  /** Bytes a second of all workers together; null for no limit. */
  readonly rateBytesPerSecond: number | null;
  /** One 64-bit counter, shared by all workers: bytes written so far. */
  readonly writtenBytes: SharedArrayBuffer;
};

/** A file whose content is in its place: gets owner, mode and time, is checked where it came in parts, and synced. */
export type SettledFile = {
  readonly path: string;
  readonly mode: number;
  readonly modifiedMs: number;
  readonly sizeBytes: number;
  /** BLAKE3 of a file that was put together from several frames; null where nothing is left to check. */
  readonly hash: Uint8Array | null;
};

export type WorkerTask =
  | ({ readonly kind: 'place' } & PlaceTask)
  | { readonly kind: 'settle'; readonly files: readonly SettledFile[] };

export type WorkerAnswer =
  | { readonly kind: 'done'; readonly readBytes: number }
  | { readonly kind: 'failed'; readonly failure: WorkerFailure };
