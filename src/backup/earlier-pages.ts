/** Finds pages and files that the repository holds already, by their hashes. Runs in a copy worker. */
import { blake3 } from '../lib/hashing.ts';
import { hasCode } from '../lib/walnut-error.ts';
import { FRAME_PAGES } from '../repository/frame.ts';
import type { ByteExtent, PageExtent } from '../repository/map-chunk.ts';
import type { IndexedFrame } from '../repository/pack-index.ts';
import { readPackIndex } from '../repository/pack-reader.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { appendExtent, firstEndingBehind } from './page-extents.ts';

/** Pack indexes kept per worker, about 1 MB each: neighbouring files lie in few packs. */
const INDEXES_KEPT = 16;
const HASH_BYTES = 8;

/**
 * - `pages`: every page that is stored already is shared, as suits a backup of few changes
 * - `frames`: pages are shared where they fill a frame together, so that a full backup comes out in one piece again
 */
export type Sharing = 'pages' | 'frames';

/** Pages just read, and where they may be stored already: extents by source, the best source first, each list sorted. */
export type SharedStretch = {
  readonly firstBlock: number;
  readonly pageCount: number;
  /** XXH64 per page, 8 bytes each. */
  readonly hashes: Uint8Array;
  readonly earlier: readonly (readonly PageExtent[])[];
  readonly sharing: Sharing;
};

export type SplitStretch = {
  readonly shared: readonly PageExtent[];
  /** Pages to store: index in the stretch, and how many. */
  readonly fresh: readonly { readonly from: number; readonly count: number }[];
};

export class EarlierPages {
  readonly #store: ObjectStore;
  readonly #indexes = new Map<string, readonly IndexedFrame[]>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  async split(stretch: SharedStretch): Promise<SplitStretch> {
    const shared: PageExtent[] = [];
    const fresh: { from: number; count: number }[] = [];
    const { pageCount, firstBlock, sharing } = stretch;
    let from = 0;
    while (from < pageCount) {
      const untilFrame = FRAME_PAGES - ((firstBlock + from) % FRAME_PAGES);
      const count = sharing === 'pages' ? 1 : Math.min(untilFrame, pageCount - from);
      const found = await this.#find(stretch, from, count);
      const last = fresh.at(-1);
      if (found !== null) appendExtent(shared, found);
      else if (last !== undefined && last.from + last.count === from) last.count += count;
      else fresh.push({ from, count });
      from += count;
    }
    return { shared, fresh };
  }

  /** Where a piece of a large file is stored already as a frame of its own; null when it is not. */
  async findBytes(piece: Uint8Array, candidate: ByteExtent): Promise<ByteExtent | null> {
    if (candidate.bytes !== piece.length || candidate.position !== 0) return null;
    const frame = await this.#frame(candidate);
    if (frame?.pageCount !== 0 || frame.plainBytes !== piece.length) return null;
    return blake3(piece).equals(frame.hash) ? candidate : null;
  }

  async #find(stretch: SharedStretch, from: number, count: number): Promise<PageExtent | null> {
    const block = stretch.firstBlock + from;
    for (const extents of stretch.earlier) {
      const extent = extents[firstEndingBehind(extents, block)];
      if (extent === undefined || extent.firstBlock > block) continue;
      const position = extent.position + block - extent.firstBlock;
      if (extent.firstBlock + extent.pages < block + count) continue;
      const frame = await this.#frame(extent);
      if (
        frame !== null &&
        holds(
          frame,
          position,
          stretch.hashes.subarray(from * HASH_BYTES, (from + count) * HASH_BYTES),
        )
      ) {
        return {
          firstBlock: block,
          pages: count,
          pack: extent.pack,
          frame: extent.frame,
          position,
        };
      }
    }
    return null;
  }

  async #frame(place: {
    readonly pack: string;
    readonly frame: number;
  }): Promise<IndexedFrame | null> {
    let frames = this.#indexes.get(place.pack);
    if (frames === undefined) {
      frames = await this.#readIndex(place.pack);
      const [oldest] = this.#indexes.keys();
      if (oldest !== undefined && this.#indexes.size >= INDEXES_KEPT) this.#indexes.delete(oldest);
      this.#indexes.set(place.pack, frames);
    }
    return frames[place.frame] ?? null;
  }

  /** A pack that cannot be read shares nothing: what it should hold is stored again. */
  async #readIndex(pack: string): Promise<readonly IndexedFrame[]> {
    try {
      return (await readPackIndex(this.#store, pack, 'without-runs')).frames;
    } catch (error) {
      if (!hasCode(error, 'object-damaged', 'object-missing')) throw error;
      return [];
    }
  }
}

function holds(frame: IndexedFrame, position: number, hashes: Uint8Array): boolean {
  const at = position * HASH_BYTES;
  const stored = frame.pageHashes.subarray(at, at + hashes.length);
  return stored.length === hashes.length && Buffer.compare(stored, hashes) === 0;
}
