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
  readonly #bundlePages: Buffer = Buffer.allocUnsafeSlow(FRAME_BYTES);
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

  /** Stores a stretch of a relation; the extents are complete after {@link flush}. */
  async addPages(stretch: PageStretch, into: PageExtent[]): Promise<void> {
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
      into.push(taken === FRAME_PAGES ? await this.#storePages(part) : await this.#bundle(part));
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
      into.push(isFull ? await this.#storeBytes(part) : await this.#bundleSome(part));
    }
  }

  /** Writes the bundle, so that every extent handed out so far knows its place. */
  async flush(): Promise<void> {
    if (this.#pageCount === 0 && this.#byteCount === 0) return;
    const pages = this.#bundlePages.subarray(0, this.#pageCount * PAGE_BYTES);
    const bytes = this.#bundleBytes.subarray(0, this.#byteCount);
    const place = await this.#packs.add({
      plain: Buffer.concat([pages, bytes]),
      pageCount: this.#pageCount,
      runs: [...this.#pageRuns, ...this.#byteRuns],
      pageHashes: this.#bundleHashes.subarray(0, this.#pageCount * HASH_BYTES),
    });
    for (const extent of this.#pageExtents) Object.assign(extent, place);
    for (const extent of this.#byteExtents) {
      Object.assign(extent, place, { position: pages.length + extent.position });
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

  async #bundle(part: PageStretch): Promise<PageExtent> {
    const count = part.pages.length / PAGE_BYTES;
    await this.#makeRoom(part.pages.length, count);
    this.#bundlePages.set(part.pages, this.#pageCount * PAGE_BYTES);
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

  async #bundleSome(part: ByteStretch): Promise<ByteExtent> {
    await this.#makeRoom(part.bytes.length, 0);
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

  async #makeRoom(bytes: number, pages: number): Promise<void> {
    const used = this.#pageCount * PAGE_BYTES + this.#byteCount;
    if (used + bytes > FRAME_BYTES || this.#pageCount + pages > FRAME_PAGES) await this.flush();
  }
}

const NO_PLACE: FramePlace = { pack: '', frame: -1 };
