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
  readonly #sorted: boolean;
  readonly #kept: MapEntry[] = [];
  #open: MapEntry | null = null;
  #clusterBytes = 0;
  #readBytes = 0;
  #files = 0;
  #pages = 0;

  constructor(writer: BackupMapWriter, options: { readonly sorted: boolean }) {
    this.#writer = writer;
    this.#sorted = options.sorted;
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
    if (open?.kind === 'relation' && entry.kind === 'relation' && open.path === entry.path) {
      this.#open = joined(open, entry);
      return;
    }
    await this.#close();
    this.#open = entry;
  }

  async #close(): Promise<void> {
    const entry = this.#open;
    if (entry === null) return;
    this.#open = null;
    if (entry.kind === 'relation' || entry.kind === 'file') {
      this.#files += 1;
      this.#clusterBytes += entry.sizeBytes;
    }
    if (entry.kind === 'relation') this.#pages += entry.sizeBytes / PAGE_BYTES;
    if (this.#sorted) await this.#writer.add(entry);
    else this.#kept.push(entry);
  }
}

/** A slice that ended short read a file that was truncated meanwhile; later slices then hold nothing. */
function joined(first: RelationEntry, next: RelationEntry): RelationEntry {
  const sizeBytes = next.extents.length > 0 ? next.sizeBytes : first.sizeBytes;
  return { ...first, sizeBytes, extents: [...first.extents, ...next.extents] };
}

function byPath(first: MapEntry, second: MapEntry): number {
  return Buffer.compare(Buffer.from(first.path, 'utf8'), Buffer.from(second.path, 'utf8'));
}
