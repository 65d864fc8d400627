/** Writes and reads the map of a backup chunk by chunk, so that memory does not grow with the number of files. */
import { assert } from '../lib/assert.ts';
import { compareBytes } from '../lib/byte-order.ts';
import { blake3 } from '../lib/hashing.ts';
import { hasCode } from '../lib/walnut-error.ts';
import type { Wait } from '../lib/wait.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { BackupId } from './backup-id.ts';
import { backupKeys } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { decodeMapChunk, MapChunkEncoder, type MapEntry } from './map-chunk.ts';
import { damaged } from './object-header.ts';
import { openObject, sealObject } from './sealed-object.ts';

/** A chunk is closed at whichever comes first; both bound the memory of one chunk to a few megabytes. */
const CHUNK_FILES_MAX = 4096;
const CHUNK_EXTENTS_MAX = 16_384;
/** At the end of an earlier chunk a smaller one is left open, so that a growing cluster does not crumble its map. */
const CHUNK_FILES_MIN = 2048;
const CHUNK_EXTENTS_MIN = 8192;
/** A stored chunk of fewer files is large all the same when it has this many bytes. */
const CHUNK_STORED_MIN: number = 16 * 1024;
const EARLIER_ROOM = 1.5;
const CHUNK_BYTES_MAX: number = 64 * 1024 * 1024;

export type ChunkReference = Manifest['chunks'][number];

/**
 * Writes the chunks of one map. Where an earlier backup's chunks are given, its boundaries are kept, and a chunk in which
 * nothing changed is named again instead of stored: by its hash, so that nothing rests on how it came about.
 */
export class BackupMapWriter {
  readonly #store: ObjectStore;
  readonly #server: string;
  readonly #id: BackupId;
  readonly #earlier: readonly ChunkReference[];
  readonly #chunks: ChunkReference[] = [];
  readonly #chunk = new MapChunkEncoder();
  #lastPath: string | null = null;
  /** The earlier chunk in whose range of paths the last entry lies, or behind it. */
  #earlierAt = 0;
  #earlierEnd: string | null = null;

  constructor(
    store: ObjectStore,
    backup: { readonly server: string; readonly id: BackupId },
    earlier: readonly ChunkReference[] = [],
  ) {
    this.#store = store;
    this.#server = backup.server;
    this.#id = backup.id;
    this.#earlier = earlier;
    this.#earlierEnd = earlier[0]?.lastPath ?? null;
  }

  /** Entries arrive in byte order of their paths. Waits where a chunk is stored. */
  add(entry: MapEntry): Wait {
    const { path } = entry;
    const isInOrder = this.#lastPath === null || compareBytes(this.#lastPath, path) < 0;
    assert(isInOrder, `map entries in order: ${path}`);
    this.#lastPath = path;
    return this.#isPastEarlierEnd(path)
      ? this.#passEarlierEnds(path).then(async () => this.#take(entry))
      : this.#take(entry);
  }

  #take(entry: MapEntry): Wait {
    this.#chunk.add(entry);
    return this.#isFull() ? this.#flush() : undefined;
  }

  #isPastEarlierEnd(path: string): boolean {
    return this.#earlierEnd !== null && compareBytes(path, this.#earlierEnd) > 0;
  }

  async finish(): Promise<readonly ChunkReference[]> {
    await this.#flush();
    return this.#chunks;
  }

  /** Inside the range of an earlier chunk there is room to grow, so that both end at the same path again. */
  #isFull(): boolean {
    const room = this.#earlierEnd === null ? 1 : EARLIER_ROOM;
    const { entries, extents } = this.#chunk;
    return entries >= CHUNK_FILES_MAX * room || extents >= CHUNK_EXTENTS_MAX * room;
  }

  /** Closes the chunk at hand where one of the earlier backup ends, when it is the same or large enough. */
  async #passEarlierEnds(path: string): Promise<void> {
    while (this.#isPastEarlierEnd(path)) {
      const { entries, extents } = this.#chunk;
      if (entries >= CHUNK_FILES_MIN || extents >= CHUNK_EXTENTS_MIN) await this.#flush();
      else this.#shareIfEqual();
      this.#earlierAt += 1;
      this.#earlierEnd = this.#earlier[this.#earlierAt]?.lastPath ?? null;
    }
  }

  /** A small chunk is not shared beside another one: both become one. */
  #shareIfEqual(): void {
    const earlier = this.#earlier[this.#earlierAt];
    const next = this.#earlier[this.#earlierAt + 1];
    if (next === undefined || !isLarge(next)) return;
    if (earlier?.files !== this.#chunk.entries || !this.#spansSame(earlier)) return;
    const hash = blake3(this.#chunk.encode()).toString('hex');
    if (hash === earlier.hash) this.#close(earlier);
  }

  #spansSame({ firstPath, lastPath }: ChunkReference): boolean {
    return this.#chunk.firstPath === firstPath && this.#chunk.lastPath === lastPath;
  }

  #close(chunk: ChunkReference): void {
    this.#chunks.push(chunk);
    this.#chunk.clear();
  }

  async #flush(): Promise<void> {
    const { firstPath, lastPath, entries } = this.#chunk;
    if (firstPath === null || lastPath === null) return;
    const plain = this.#chunk.encode();
    const hash = blake3(plain).toString('hex');
    const earlier = this.#earlier[this.#earlierAt];
    if (earlier?.hash === hash) return this.#close(earlier);
    const key = backupKeys.map(this.#server, this.#id, hash.slice(0, 32));
    const stored = sealObject({ kind: 'map', plain, level: 3 });
    await putOnce(this.#store, key, stored);
    return this.#close({
      key,
      hash,
      firstPath,
      lastPath,
      files: entries,
      storedBytes: stored.length,
    });
  }
}

function isLarge({ files, storedBytes }: ChunkReference): boolean {
  return files >= CHUNK_FILES_MIN || storedBytes >= CHUNK_STORED_MIN;
}

/** The entries of a backup in byte order of their paths, one chunk in memory at a time. */
export async function* readBackupMap(
  store: ObjectStore,
  manifest: Manifest,
): AsyncGenerator<MapEntry> {
  for (const chunk of manifest.chunks) yield* await readMapChunk(store, chunk);
}

/** One chunk, its hash checked against the manifest's. */
export async function readMapChunk(
  store: ObjectStore,
  chunk: Pick<ChunkReference, 'key' | 'hash'>,
): Promise<MapEntry[]> {
  const { plain, header } = openObject(
    await store.get(chunk.key, CHUNK_BYTES_MAX),
    'map',
    chunk.key,
  );
  if (Buffer.from(header.plainHash).toString('hex') !== chunk.hash) {
    throw damaged(chunk.key, 'it is not the chunk that the manifest names');
  }
  return decodeMapChunk(plain, chunk.key);
}

/** A key made of the content's hash that is taken already holds the same content. */
async function putOnce(store: ObjectStore, key: string, stored: Buffer): Promise<void> {
  try {
    await store.put(key, stored);
  } catch (error) {
    if (!hasCode(error, 'object-exists')) throw error;
  }
}
