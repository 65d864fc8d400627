import { assert } from '../lib/assert.ts';
import type { ObjectStore, ObjectWriter } from '../storage/object-store.ts';
import { encodeFrame, FRAME_HEADER_BYTES, renumberFrame } from './frame.ts';
import { encodeObjectHeader } from './object-header.ts';
import { PackIndexBuilder, type FrameRun } from './pack-index.ts';
import { PartWriter } from './part-writer.ts';

/** A pack is closed once it holds this many bytes: few objects, yet a bounded loss when one is damaged. */
const PACK_BYTES_TARGET: number = 128 * 1024 * 1024;

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
  readonly #parts: PartWriter;
  #plainBytes = 0;

  private constructor(key: string, level: number, writer: ObjectWriter) {
    this.key = key;
    this.#level = level;
    this.#writer = writer;
    this.#parts = new PartWriter(writer);
  }

  static async begin(store: ObjectStore, key: string, level: number): Promise<PackWriter> {
    const pack = new PackWriter(key, level, await store.beginWrite(key));
    await pack.#parts.append(
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
    return this.#parts.bytes;
  }

  get isFull(): boolean {
    return this.storedBytes >= PACK_BYTES_TARGET;
  }

  /** Compresses and appends one frame; answers its number in this pack. */
  async add(content: PackContent): Promise<number> {
    assert(content.pageHashes.length === content.pageCount * 8, 'one hash per page');
    // Stored content is never longer than plain. With room made before, nothing runs between encoding and copying.
    await this.#parts.makeRoom(FRAME_HEADER_BYTES + content.plain.length);
    const frame = encodeFrame({
      plain: content.plain,
      pageCount: content.pageCount,
      number: this.#index.frameCount,
      level: this.#level,
    });
    this.#parts.put(frame.headerBytes);
    this.#parts.put(frame.content);
    this.#index.add(frame.header, content.runs, content.pageHashes);
    this.#plainBytes += content.plain.length;
    return frame.header.number;
  }

  /**
   * Appends a frame as it is stored in another pack, without compressing it again; answers its number in this pack.
   * @param stored the frame's header and content, checked by the caller.
   */
  async addStored(stored: Uint8Array, frame: StoredFrame): Promise<number> {
    await this.#parts.makeRoom(stored.length);
    const moved = renumberFrame(stored, this.#index.frameCount);
    this.#parts.put(moved.headerBytes);
    this.#parts.put(moved.content);
    this.#index.add(moved.header, frame.runs, frame.pageHashes);
    this.#plainBytes += moved.header.plainBytes;
    return moved.header.number;
  }

  /** Writes index and footer and makes the pack durable. */
  async finish(): Promise<FinishedPack> {
    await this.seal();
    return this.commit();
  }

  /** The first half of {@link finish}: writes everything, and needs no buffer after it. */
  async seal(): Promise<void> {
    await this.#parts.append(this.#index.finish(this.storedBytes));
    await this.#parts.finish();
  }

  /** The second half: makes a sealed pack durable, which waits for the disk and needs no processor. */
  async commit(): Promise<FinishedPack> {
    await this.#writer.commit();
    return {
      key: this.key,
      storedBytes: this.storedBytes,
      plainBytes: this.#plainBytes,
      frameCount: this.#index.frameCount,
    };
  }

  async abort(): Promise<void> {
    await this.#parts.abandon();
    await this.#writer.abort();
  }
}
