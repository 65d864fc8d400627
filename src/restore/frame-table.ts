import { BLAKE3_BYTES } from '../lib/hashing.ts';
import type { IndexedFrame } from '../repository/pack-index.ts';
import type { PackIndex } from '../repository/pack-reader.ts';

/** What a restore needs to know of a frame; which files it was made of says the backup's map. */
export type TableFrame = Omit<IndexedFrame, 'runs'>;

export type TableOptions = {
  /** Whether hashes of pages are kept, by which pages that stand already are found right; left out they are empty. */
  readonly pageHashes: boolean;
};

/** XXH64. */
const PAGE_HASH_BYTES = 8;

/** Where each kind of number of a frame stands in its row. */
const COLUMNS = {
  offset: 0,
  storedBytes: 1,
  plainBytes: 2,
  pageCount: 3,
  isZstd: 4,
  pageHashes: 5,
};
const ROW = 6;

/** A pack's index as a restore keeps it: as objects, those of a large backup's packs take most of its memory. */
export class FrameTable {
  readonly count: number;
  /** Rows of {@link COLUMNS}; offsets exceed 32 bits. */
  readonly #rows: Float64Array;
  readonly #hashes: Uint8Array;
  readonly #pageHashes: Uint8Array;

  constructor({ frames }: Pick<PackIndex, 'frames'>, { pageHashes: isHashed }: TableOptions) {
    this.count = frames.length;
    this.#rows = new Float64Array(frames.length * ROW);
    this.#hashes = new Uint8Array(frames.length * BLAKE3_BYTES);
    const hashedPages = isHashed ? frames.reduce((sum, { pageCount }) => sum + pageCount, 0) : 0;
    this.#pageHashes = new Uint8Array(hashedPages * PAGE_HASH_BYTES);
    let at = 0;
    for (const [number, frame] of frames.entries()) {
      const { offset, storedBytes, plainBytes, pageCount } = frame;
      const isZstd = frame.codec === 'zstd' ? 1 : 0;
      this.#rows.set([offset, storedBytes, plainBytes, pageCount, isZstd, at], number * ROW);
      this.#hashes.set(frame.hash, number * BLAKE3_BYTES);
      if (!isHashed) continue;
      this.#pageHashes.set(frame.pageHashes, at);
      at += frame.pageHashes.length;
    }
  }

  /** The frame of that number; undefined when the pack has none. */
  frame(number: number): TableFrame | undefined {
    if (number >= this.count) return undefined;
    const from = this.#column(number, 'pageHashes');
    const pageCount = this.#column(number, 'pageCount');
    return {
      number,
      offset: this.#column(number, 'offset'),
      storedBytes: this.#column(number, 'storedBytes'),
      plainBytes: this.#column(number, 'plainBytes'),
      pageCount,
      codec: this.#column(number, 'isZstd') === 1 ? 'zstd' : 'none',
      hash: this.#hashes.subarray(number * BLAKE3_BYTES, (number + 1) * BLAKE3_BYTES),
      pageHashes: this.#pageHashes.subarray(from, from + pageCount * PAGE_HASH_BYTES),
    };
  }

  #column(number: number, name: keyof typeof COLUMNS): number {
    return this.#rows[number * ROW + COLUMNS[name]] ?? 0;
  }
}
