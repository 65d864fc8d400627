import type { StoreDescription } from '../storage/object-store.ts';
import type { Locations } from './locations.ts';
import type { FileOwner } from './file-owner.ts';
import type { SerializedError } from '../lib/serialized-error.ts';

/** What a worker is given when it begins; it opens its own store. */
export type PlaceWorkerSetup = {
  readonly store: StoreDescription;
  readonly locations: Locations;
  readonly owner: FileOwner | null;
  /** Bytes a second of all workers together; null for no limit. */
  readonly rateBytesPerSecond: number | null;
  /** 64-bit counters, shared by all workers; {@link PLACED_BYTES} says which. */
  readonly placedBytes: SharedArrayBuffer;
  /** Whether content that stands already is compared and kept. */
  readonly keepPresent: boolean;
  /** Keys of packs whose indexes are read before there is a task. */
  readonly packs: readonly string[];
};

/** Where in the shared counters what stands. */
export const PLACED_BYTES = { written: 0, kept: 1 } as const;
export const PLACED_BYTES_LENGTH = 16;

export type WorkerAnswer =
  | { readonly kind: 'done'; readonly readBytes: number }
  | { readonly kind: 'failed'; readonly failure: SerializedError };
