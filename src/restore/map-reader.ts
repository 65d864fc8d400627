import { readMapChunk, type ChunkReference } from '../repository/backup-map.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { MapEntry } from '../repository/map-chunk.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** A small cluster has no more; of a large one the first, with which the workers are waiting to begin. */
const CHUNKS_KEPT = 4;

/**
 * The map of a backup, through which a restore goes three times: to plan, to place and to settle. Some chunks stay in
 * memory, a few megabytes each, whatever the number of files.
 */
export class MapReader {
  readonly manifest: Manifest;
  readonly #store: ObjectStore;
  readonly #kept = new Map<string, readonly MapEntry[]>();

  constructor(store: ObjectStore, manifest: Manifest) {
    this.#store = store;
    this.manifest = manifest;
  }

  /** All entries in byte order of their paths. */
  async *entries(): AsyncGenerator<MapEntry, void> {
    for await (const chunk of this.chunks()) yield* chunk;
  }

  async *chunks(): AsyncGenerator<readonly MapEntry[], void> {
    for (const chunk of this.manifest.chunks) {
      yield this.#kept.get(chunk.key) ?? (await this.#read(chunk));
    }
  }

  async #read(chunk: ChunkReference): Promise<readonly MapEntry[]> {
    const entries = await readMapChunk(this.#store, chunk);
    if (this.#kept.size < CHUNKS_KEPT) this.#kept.set(chunk.key, entries);
    return entries;
  }
}
