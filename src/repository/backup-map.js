/** Writes and reads the map of a backup chunk by chunk, so that memory does not grow with the number of files. */
import { assert } from '../lib/assert.js';
import { blake3 } from '../lib/hashing.js';
import { hasCode } from '../lib/walnut-error.js';
import { backupKeys } from './layout.js';
import { decodeMapChunk, encodeMapChunk } from './map-chunk.js';
import { damaged } from './object-header.js';
import { openObject, sealObject } from './sealed-object.js';
/** A chunk is closed at whichever comes first; both bound the memory of one chunk to a few megabytes. */
const CHUNK_FILES_MAX = 4096;
const CHUNK_EXTENTS_MAX = 16_384;
const CHUNK_BYTES_MAX = 64 * 1024 * 1024;
export class BackupMapWriter {
  #store;
  #server;
  #id;
  #chunks = [];
  #entries = [];
  #extents = 0;
  #lastPath = null;
  constructor(store, server, id) {
    this.#store = store;
    this.#server = server;
    this.#id = id;
  }
  /** Entries arrive in byte order of their paths. */
  async add(entry) {
    const path = Buffer.from(entry.path, 'utf8');
    assert(
      this.#lastPath === null || this.#lastPath.compare(path) < 0,
      `map entries in order: ${entry.path}`,
    );
    this.#lastPath = path;
    this.#entries.push(entry);
    if (entry.kind === 'relation' || entry.kind === 'file') this.#extents += entry.extents.length;
    if (this.#entries.length >= CHUNK_FILES_MAX || this.#extents >= CHUNK_EXTENTS_MAX) {
      await this.#flush();
    }
  }
  async finish() {
    await this.#flush();
    return this.#chunks;
  }
  async #flush() {
    const [first] = this.#entries;
    const last = this.#entries.at(-1);
    if (first === undefined || last === undefined) return;
    const plain = encodeMapChunk(this.#entries);
    const hash = blake3(plain).toString('hex');
    const key = backupKeys.map(this.#server, this.#id, hash.slice(0, 32));
    const stored = sealObject({ kind: 'map', plain, level: 3 });
    await putOnce(this.#store, key, stored);
    this.#chunks.push({
      key,
      hash,
      firstPath: first.path,
      lastPath: last.path,
      files: this.#entries.length,
      storedBytes: stored.length,
    });
    this.#entries = [];
    this.#extents = 0;
  }
}
/** The entries of a backup in byte order of their paths, one chunk in memory at a time. */
export async function* readBackupMap(store, manifest) {
  for (const chunk of manifest.chunks) yield* await readMapChunk(store, chunk);
}
/** One chunk, its hash checked against the manifest's. */
export async function readMapChunk(store, chunk) {
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
async function putOnce(store, key, stored) {
  try {
    await store.put(key, stored);
  } catch (error) {
    if (!hasCode(error, 'object-exists')) throw error;
  }
}
