import { assert } from '../lib/assert.ts';
import type { BackupMapWriter, ChunkReference } from '../repository/backup-map.ts';
import type { MapEntry, RelationEntry } from '../repository/map-chunk.ts';
import type { ItemResult } from './copy-messages.ts';

export type CopyTotals = {
  readonly clusterBytes: number;
  readonly readBytes: number;
  readonly files: number;
  readonly pages: number;
};

const PAGE_BYTES = 8192;

/**
 * Joins the parts of sliced files and writes the map. With `sorted` the results arrive in byte order of their paths and
 * nothing is kept; otherwise (a tar stream) all entries are kept and sorted at the end.
 */
export class MapAssembler {
  readonly #writer: BackupMapWriter;
  readonly #order: MapOrder;
  readonly #kept: MapEntry[] = [];
  #open: MapEntry | null = null;
  #clusterBytes = 0;
  #readBytes = 0;
  #files = 0;
  #pages = 0;

  constructor(writer: BackupMapWriter, order: MapOrder) {
    this.#writer = writer;
    this.#order = order;
  }

  get totals(): CopyTotals {
    return {
      clusterBytes: this.#clusterBytes,
      readBytes: this.#readBytes,
      files: this.#files,
      pages: this.#pages,
    };
  }

  async addResults(results: readonly ItemResult[]): Promise<void> {
    for (const { entry, readBytes } of results) {
      this.#readBytes += readBytes;
      if (entry !== null) await this.#add(entry);
    }
  }

  async finish(): Promise<readonly ChunkReference[]> {
    await this.#close();
    for (const entry of this.#kept.toSorted(byPath)) await this.#writer.add(entry);
    return this.#writer.finish();
  }

  async #add(entry: MapEntry): Promise<void> {
    const open = this.#open;
    if (open?.path === entry.path) {
      this.#open = this.#joined(open, entry);
      return;
    }
    await this.#close();
    this.#open = entry;
  }

  #joined(first: MapEntry, next: MapEntry): MapEntry {
    if (first.kind === 'relation' && next.kind === 'relation') return joinedRelation(first, next);
    const isFile = first.kind === 'file' && next.kind === 'file';
    assert(isFile, `${first.path} comes in slices of one kind`);
    return {
      ...first,
      sizeBytes: first.sizeBytes + next.sizeBytes,
      extents: [...first.extents, ...next.extents],
    };
  }

  async #close(): Promise<void> {
    const open = this.#open;
    if (open === null) return;
    this.#open = null;
    const hash = open.kind === 'file' ? this.#order.hashes?.get(open.path) : undefined;
    const entry = open.kind === 'file' && hash !== undefined ? { ...open, hash } : open;
    if (entry.kind === 'relation' || entry.kind === 'file') {
      this.#files += 1;
      this.#clusterBytes += entry.sizeBytes;
    }
    if (entry.kind === 'relation') this.#pages += entry.sizeBytes / PAGE_BYTES;
    if (this.#order.sorted) await this.#writer.add(entry);
    else this.#kept.push(entry);
  }
}

/** How results come, and BLAKE3 of files that come in several slices. */
export type MapOrder = {
  readonly sorted: boolean;
  readonly hashes?: ReadonlyMap<string, Uint8Array>;
};

/** A slice that ended short read a file that was truncated meanwhile; later slices then hold nothing. */
function joinedRelation(first: RelationEntry, next: RelationEntry): RelationEntry {
  const sizeBytes = next.extents.length > 0 ? next.sizeBytes : first.sizeBytes;
  return { ...first, sizeBytes, extents: [...first.extents, ...next.extents] };
}

function byPath(first: MapEntry, second: MapEntry): number {
  return Buffer.compare(Buffer.from(first.path, 'utf8'), Buffer.from(second.path, 'utf8'));
}
