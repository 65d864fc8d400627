import { assert } from '../lib/assert.ts';
import type { ObjectStore, ObjectWriter } from '../storage/object-store.ts';
import { encodeFrame, FRAME_HEADER_BYTES, renumberFrame } from './frame.ts';
import { encodeObjectHeader } from './object-header.ts';
import { PackIndexBuilder, type FrameRun } from './pack-index.ts';

/** A pack is closed once it holds this many bytes: few objects, yet a bounded loss when one is damaged. */
const PACK_BYTES_TARGET: number = 128 * 1024 * 1024;
/** Bytes gathered before they are handed to the store: large enough for a bucket's part. */
const PART_BYTES: number = 8 * 1024 * 1024;

export type PackContent = {
  readonly plain: Uint8Array;
  readonly pageCount: number;
  readonly runs: readonly FrameRun[];
  /** XXH64 per page, 8 bytes each. */
  readonly pageHashes: Uint8Array;
};

export type StoredFrame = Pick<PackContent, 'runs' | 'pageHashes'>;

export type FinishedPack = {
  readonly key: string;
  readonly storedBytes: number;
  readonly plainBytes: number;
  readonly frameCount: number;
};

/**
 * Writes one pack: frames end to end, then the index and the footer. Owned by one worker; an unfinished pack is
 * discarded, never continued.
 */
export class PackWriter {
  readonly key: string;
  readonly #level: number;
  readonly #writer: ObjectWriter;
  readonly #index = new PackIndexBuilder();
  readonly #part: Buffer = Buffer.allocUnsafe(PART_BYTES);
  #partBytes = 0;
  #writtenBytes = 0;
  #plainBytes = 0;

  private constructor(key: string, level: number, writer: ObjectWriter) {
    this.key = key;
    this.#level = level;
    this.#writer = writer;
  }

  static async begin(store: ObjectStore, key: string, level: number): Promise<PackWriter> {
    const pack = new PackWriter(key, level, await store.beginWrite(key));
    await pack.#append(
      encodeObjectHeader({
        kind: 'pack',
        codec: 'none',
        plainBytes: 0,
        plainHash: new Uint8Array(32),
        annexBytes: 0,
      }),
    );
    return pack;
  }

  get storedBytes(): number {
    return this.#writtenBytes + this.#partBytes;
  }

  get isFull(): boolean {
    return this.storedBytes >= PACK_BYTES_TARGET;
  }

  /** Compresses and appends one frame; answers its number in this pack. */
  async add(content: PackContent): Promise<number> {
    assert(content.pageHashes.length === content.pageCount * 8, 'one hash per page');
    // Stored content is never longer than plain. With room made before, nothing runs between encoding and copying.
    await this.#makeRoom(FRAME_HEADER_BYTES + content.plain.length);
    const frame = encodeFrame({
      plain: content.plain,
      pageCount: content.pageCount,
      number: this.#index.frameCount,
      level: this.#level,
    });
    this.#put(frame.headerBytes);
    this.#put(frame.content);
    this.#index.add(frame.header, content.runs, content.pageHashes);
    this.#plainBytes += content.plain.length;
    return frame.header.number;
  }

  /**
   * Appends a frame as it is stored in another pack, without compressing it again; answers its number in this pack.
   * @param stored the frame's header and content, checked by the caller.
   */
  async addStored(stored: Uint8Array, frame: StoredFrame): Promise<number> {
    await this.#makeRoom(stored.length);
    const moved = renumberFrame(stored, this.#index.frameCount);
    this.#put(moved.headerBytes);
    this.#put(moved.content);
    this.#index.add(moved.header, frame.runs, frame.pageHashes);
    this.#plainBytes += moved.header.plainBytes;
    return moved.header.number;
  }

  /** Writes index and footer and makes the pack durable. */
  async finish(): Promise<FinishedPack> {
    const frameCount = this.#index.frameCount;
    await this.#append(this.#index.finish(this.storedBytes));
    await this.#flush();
    await this.#writer.commit();
    return {
      key: this.key,
      storedBytes: this.#writtenBytes,
      plainBytes: this.#plainBytes,
      frameCount,
    };
  }

  async abort(): Promise<void> {
    await this.#writer.abort();
  }

  async #makeRoom(bytes: number): Promise<void> {
    if (this.#partBytes + bytes > PART_BYTES) await this.#flush();
  }

  /** Copies into the open part, which has room for it. */
  #put(bytes: Uint8Array): void {
    this.#part.set(bytes, this.#partBytes);
    this.#partBytes += bytes.length;
  }

  async #append(bytes: Uint8Array): Promise<void> {
    for (let taken = 0; taken < bytes.length;) {
      if (this.#partBytes === PART_BYTES) await this.#flush();
      const count = Math.min(bytes.length - taken, PART_BYTES - this.#partBytes);
      this.#put(bytes.subarray(taken, taken + count));
      taken += count;
    }
  }

  async #flush(): Promise<void> {
    if (this.#partBytes === 0) return;
    await this.#writer.writePart(this.#part.subarray(0, this.#partBytes));
    this.#writtenBytes += this.#partBytes;
    this.#partBytes = 0;
  }
}
