import type { Wait } from '../lib/wait.ts';
import { FRAME_BYTES, FRAME_PAGES, PAGE_BYTES } from '../repository/frame.ts';
import type { ByteExtent, PageExtent } from '../repository/map-chunk.ts';
import type { FrameRun } from '../repository/pack-index.ts';
import type { FramePlace, PackSequence } from './pack-sequence.ts';

const HASH_BYTES = 8;

/** Extents are handed out before their frame is written, and learn their place when it is. */
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export type PageStretch = {
  readonly path: string;
  readonly firstBlock: number;
  /** Whole pages. */
  readonly pages: Uint8Array;
  /** XXH64 per page, 8 bytes each. */
  readonly hashes: Uint8Array;
};

export type ByteStretch = {
  readonly path: string;
  readonly offset: number;
  readonly bytes: Uint8Array;
};

/**
 * Makes frames of pages and bytes. Full frames of one relation begin at multiples of {@link FRAME_PAGES}, so that an
 * unchanged one is recognised by its hash in the next backup; the rest (small files, ends of relations) is bundled.
 */
export class FrameBuilder {
  readonly #packs: PackSequence;
  /** Its pages, and behind them, when it is stored, its bytes: both together fit. */
  readonly #bundle: Buffer = Buffer.allocUnsafeSlow(FRAME_BYTES);
  readonly #bundleHashes: Buffer = Buffer.allocUnsafeSlow(FRAME_PAGES * HASH_BYTES);
  readonly #bundleBytes: Buffer = Buffer.allocUnsafeSlow(FRAME_BYTES);
  #pageCount = 0;
  #byteCount = 0;
  #pageRuns: FrameRun[] = [];
  #byteRuns: FrameRun[] = [];
  #pageExtents: Mutable<PageExtent>[] = [];
  #byteExtents: Mutable<ByteExtent>[] = [];

  constructor(packs: PackSequence) {
    this.#packs = packs;
  }

  /**
   * Stores a stretch of a relation; the extents are complete after {@link flush}. Nothing to wait for where the stretch
   * only joins the bundle: scattered pages come one by one, and a promise for each costs more than the page.
   */
  addPages(stretch: PageStretch, into: PageExtent[]): Wait {
    const pages = stretch.pages.length / PAGE_BYTES;
    const isWithinFrame = (stretch.firstBlock % FRAME_PAGES) + pages <= FRAME_PAGES;
    if (pages === FRAME_PAGES || !isWithinFrame || !this.#hasRoom(stretch.pages.length, pages)) {
      return this.#addInParts(stretch, into);
    }
    into.push(this.#bundlePages(stretch));
    return undefined;
  }

  async #addInParts(stretch: PageStretch, into: PageExtent[]): Promise<void> {
    const count = stretch.pages.length / PAGE_BYTES;
    let done = 0;
    while (done < count) {
      const block = stretch.firstBlock + done;
      const taken = Math.min(count - done, FRAME_PAGES - (block % FRAME_PAGES));
      const part = {
        path: stretch.path,
        firstBlock: block,
        pages: stretch.pages.subarray(done * PAGE_BYTES, (done + taken) * PAGE_BYTES),
        hashes: stretch.hashes.subarray(done * HASH_BYTES, (done + taken) * HASH_BYTES),
      };
      const isFull = taken === FRAME_PAGES;
      if (!isFull) await this.#makeRoom(part.pages.length, taken);
      into.push(isFull ? await this.#storePages(part) : this.#bundlePages(part));
      done += taken;
    }
  }

  /** Stores a stretch of any other file; the extents are complete after {@link flush}. */
  async addBytes(stretch: ByteStretch, into: ByteExtent[]): Promise<void> {
    for (let done = 0; done < stretch.bytes.length; done += FRAME_BYTES) {
      const bytes = stretch.bytes.subarray(
        done,
        Math.min(done + FRAME_BYTES, stretch.bytes.length),
      );
      const part = { path: stretch.path, offset: stretch.offset + done, bytes };
      const isFull = bytes.length === FRAME_BYTES;
      if (!isFull) await this.#makeRoom(bytes.length, 0);
      into.push(isFull ? await this.#storeBytes(part) : this.#bundleSome(part));
    }
  }

  /** Writes the bundle, so that every extent handed out so far knows its place. */
  async flush(): Promise<void> {
    if (this.#pageCount === 0 && this.#byteCount === 0) return;
    const pageBytes = this.#pageCount * PAGE_BYTES;
    this.#bundleBytes.copy(this.#bundle, pageBytes, 0, this.#byteCount);
    const place = await this.#packs.add({
      plain: this.#bundle.subarray(0, pageBytes + this.#byteCount),
      pageCount: this.#pageCount,
      runs: [...this.#pageRuns, ...this.#byteRuns],
      pageHashes: this.#bundleHashes.subarray(0, this.#pageCount * HASH_BYTES),
    });
    for (const extent of this.#pageExtents) {
      extent.pack = place.pack;
      extent.frame = place.frame;
    }
    for (const extent of this.#byteExtents) {
      Object.assign(extent, place, { position: pageBytes + extent.position });
    }
    this.#pageCount = 0;
    this.#byteCount = 0;
    this.#pageRuns = [];
    this.#byteRuns = [];
    this.#pageExtents = [];
    this.#byteExtents = [];
  }

  async #storePages(part: PageStretch): Promise<PageExtent> {
    const place = await this.#packs.add({
      plain: part.pages,
      pageCount: FRAME_PAGES,
      runs: [{ kind: 'pages', path: part.path, from: part.firstBlock, length: FRAME_PAGES }],
      pageHashes: part.hashes,
    });
    return { firstBlock: part.firstBlock, pages: FRAME_PAGES, position: 0, ...place };
  }

  async #storeBytes(part: ByteStretch): Promise<ByteExtent> {
    const place = await this.#packs.add({
      plain: part.bytes,
      pageCount: 0,
      runs: [{ kind: 'bytes', path: part.path, from: part.offset, length: part.bytes.length }],
      pageHashes: new Uint8Array(0),
    });
    return { bytes: part.bytes.length, position: 0, ...place };
  }

  #bundlePages(part: PageStretch): PageExtent {
    const count = part.pages.length / PAGE_BYTES;
    this.#bundle.set(part.pages, this.#pageCount * PAGE_BYTES);
    this.#bundleHashes.set(part.hashes, this.#pageCount * HASH_BYTES);
    const extent = {
      firstBlock: part.firstBlock,
      pages: count,
      position: this.#pageCount,
      ...NO_PLACE,
    };
    this.#pageRuns.push({ kind: 'pages', path: part.path, from: part.firstBlock, length: count });
    this.#pageExtents.push(extent);
    this.#pageCount += count;
    return extent;
  }

  #bundleSome(part: ByteStretch): ByteExtent {
    this.#bundleBytes.set(part.bytes, this.#byteCount);
    const extent = { bytes: part.bytes.length, position: this.#byteCount, ...NO_PLACE };
    this.#byteRuns.push({
      kind: 'bytes',
      path: part.path,
      from: part.offset,
      length: part.bytes.length,
    });
    this.#byteExtents.push(extent);
    this.#byteCount += part.bytes.length;
    return extent;
  }

  #hasRoom(bytes: number, pages: number): boolean {
    const used = this.#pageCount * PAGE_BYTES + this.#byteCount;
    return used + bytes <= FRAME_BYTES && this.#pageCount + pages <= FRAME_PAGES;
  }

  async #makeRoom(bytes: number, pages: number): Promise<void> {
    if (!this.#hasRoom(bytes, pages)) await this.flush();
  }
}

const NO_PLACE: FramePlace = { pack: '', frame: -1 };
