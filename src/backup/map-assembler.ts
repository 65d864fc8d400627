import { assert } from '../lib/assert.ts';
import { compareBytes } from '../lib/byte-order.ts';
import { andThen, type Wait } from '../lib/wait.ts';
import type { BackupMapWriter, ChunkReference } from '../repository/backup-map.ts';
import { PAGE_BYTES } from '../repository/frame.ts';
import type { MapEntry, PageExtent, RelationEntry } from '../repository/map-chunk.ts';
import type { ItemResult } from './copy-messages.ts';
import { LiveContent } from './live-content.ts';
import { clipExtents, mergeExtents } from './page-extents.ts';

export type CopyTotals = {
  readonly clusterBytes: number;
  readonly readBytes: number;
  readonly files: number;
  readonly changedFiles: number;
  readonly pages: number;
  readonly changedPages: number;
};

/** How results come, and BLAKE3 of files that come in several slices. */
export type MapOrder = {
  readonly sorted: boolean;
  readonly hashes?: ReadonlyMap<string, Uint8Array>;
};

/** Where a file of the new backup comes from: taken over as it is, or the next result and what was not read for it. */
export type Outcome =
  | { readonly kind: 'known'; readonly entry: MapEntry }
  | { readonly kind: 'read'; readonly base: readonly PageExtent[] };

type OpenFile = { entry: MapEntry; readonly base: readonly PageExtent[]; cutAt: number };

/**
 * Joins the parts of sliced files with what earlier backups hold of them, and writes the map. With `sorted` the results
 * arrive in byte order of their paths and nothing is kept; otherwise (a tar stream) all entries are kept and sorted at
 * the end.
 */
export class MapAssembler {
  readonly #writer: BackupMapWriter;
  readonly #order: MapOrder;
  readonly #live: LiveContent;
  readonly #kept: MapEntry[] = [];
  #open: OpenFile | null = null;
  #clusterBytes = 0;
  #readBytes = 0;
  #files = 0;
  #pages = 0;

  /** @param ownFolder where the backup's own packs lie: what is in them has changed. */
  constructor(writer: BackupMapWriter, order: MapOrder, ownFolder: string) {
    this.#writer = writer;
    this.#order = order;
    this.#live = new LiveContent(ownFolder);
  }

  get totals(): CopyTotals {
    const { changedFiles, changedPages } = this.#live;
    return {
      clusterBytes: this.#clusterBytes,
      readBytes: this.#readBytes,
      files: this.#files,
      changedFiles,
      pages: this.#pages,
      changedPages,
    };
  }

  /** Plain bytes that the backup refers to, by pack. */
  get livePlainBytes(): ReadonlyMap<string, number> {
    return this.#live.plainBytes;
  }

  /** The outcomes of one task; each that was read takes the next result. */
  async addTask(outcomes: readonly Outcome[], results: readonly ItemResult[]): Promise<void> {
    let next = 0;
    for (const outcome of outcomes) {
      let stored: Wait;
      if (outcome.kind === 'known') {
        stored = andThen(this.#close(), () => this.#write(outcome.entry));
      } else {
        const result = results[next];
        assert(result !== undefined, 'a result for each item that was read');
        next += 1;
        stored = this.addResult(result, outcome.base);
      }
      if (stored !== undefined) await stored;
    }
    assert(next === results.length, 'an item for each result');
  }

  addResult(result: ItemResult, base: readonly PageExtent[]): Wait {
    const { entry, readBytes, cutAt } = result;
    this.#readBytes += readBytes;
    if (entry === null) return undefined;
    const open = this.#open;
    if (open?.entry.path === entry.path) {
      open.entry = joined(open.entry, entry);
      open.cutAt = Math.min(open.cutAt, cutAt ?? Infinity);
      return undefined;
    }
    const closed = this.#close();
    this.#open = { entry, base, cutAt: cutAt ?? Infinity };
    return closed;
  }

  async finish(): Promise<readonly ChunkReference[]> {
    await this.#close();
    for (const entry of this.#kept.toSorted((one, other) => compareBytes(one.path, other.path)))
      await this.#writer.add(entry);
    return this.#writer.finish();
  }

  #close(): Wait {
    const open = this.#open;
    if (open === null) return undefined;
    this.#open = null;
    const { entry } = open;
    if (entry.kind === 'relation') return this.#write(whole(entry, open));
    const hash = entry.kind === 'file' ? this.#order.hashes?.get(entry.path) : undefined;
    return this.#write(entry.kind === 'file' && hash !== undefined ? { ...entry, hash } : entry);
  }

  #write(entry: MapEntry): Wait {
    if (entry.kind === 'relation' || entry.kind === 'file') {
      this.#files += 1;
      this.#clusterBytes += entry.sizeBytes;
      this.#live.count(entry);
    }
    if (entry.kind === 'relation') this.#pages += entry.sizeBytes / PAGE_BYTES;
    if (this.#order.sorted) return this.#writer.add(entry);
    this.#kept.push(entry);
    return undefined;
  }
}

function joined(first: MapEntry, next: MapEntry): MapEntry {
  if (first.kind === 'relation' && next.kind === 'relation') {
    return { ...first, extents: [...first.extents, ...next.extents] };
  }
  const isFile = first.kind === 'file' && next.kind === 'file';
  assert(isFile, `${first.path} comes in slices of one kind`);
  return {
    ...first,
    sizeBytes: first.sizeBytes + next.sizeBytes,
    extents: [...first.extents, ...next.extents],
  };
}

/** A slice that ended short read a file that was truncated meanwhile: what lies behind is made again by WAL replay. */
function whole(entry: RelationEntry, { base, cutAt }: OpenFile): RelationEntry {
  const extents = mergeExtents(base, entry.extents);
  if (cutAt * PAGE_BYTES >= entry.sizeBytes) return { ...entry, extents };
  return { ...entry, sizeBytes: cutAt * PAGE_BYTES, extents: clipExtents(extents, 0, cutAt) };
}
