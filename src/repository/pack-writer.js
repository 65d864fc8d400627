import { assert } from '../lib/assert.js';
import { encodeFrame, FRAME_HEADER_BYTES } from './frame.js';
import { encodeObjectHeader, OBJECT_HEADER_BYTES } from './object-header.js';
import { PackIndexBuilder } from './pack-index.js';
/** A pack is closed once it holds this many bytes: few objects, yet a bounded loss when one is damaged. */
export const PACK_BYTES_TARGET = 128 * 1024 * 1024;
/** Bytes gathered before they are handed to the store: large enough for a bucket's part. */
const PART_BYTES = 8 * 1024 * 1024;
/**
 * Writes one pack: frames end to end, then the index and the footer. Owned by one worker; an unfinished pack is
 * discarded, never continued.
 */
export class PackWriter {
  key;
  #level;
  #writer;
  #index = new PackIndexBuilder();
  /** The part that is filled, and the one that is being written meanwhile. */
  #part = Buffer.allocUnsafeSlow(PART_BYTES);
  #writtenPart = Buffer.allocUnsafeSlow(PART_BYTES);
  #writing = Promise.resolve();
  #partBytes = 0;
  #writtenBytes = 0;
  #plainBytes = 0;
  constructor(key, level, writer) {
    this.key = key;
    this.#level = level;
    this.#writer = writer;
  }
  static async begin(store, key, level) {
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
  get storedBytes() {
    return this.#writtenBytes + this.#partBytes;
  }
  get isFull() {
    return this.storedBytes >= PACK_BYTES_TARGET;
  }
  /** Compresses and appends one frame; answers its number in this pack. */
  async add(content) {
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
  /** Writes index and footer and makes the pack durable. */
  async finish() {
    const frameCount = this.#index.frameCount;
    await this.#append(this.#index.finish(this.storedBytes));
    await this.#flush();
    await this.#writing;
    await this.#writer.commit();
    return {
      key: this.key,
      storedBytes: this.#writtenBytes,
      plainBytes: this.#plainBytes,
      frameCount,
    };
  }
  async abort() {
    await this.#writing.catch(() => undefined);
    await this.#writer.abort();
  }
  async #makeRoom(bytes) {
    if (this.#partBytes + bytes > PART_BYTES) await this.#flush();
  }
  /** Copies into the open part, which has room for it. */
  #put(bytes) {
    this.#part.set(bytes, this.#partBytes);
    this.#partBytes += bytes.length;
  }
  async #append(bytes) {
    for (let taken = 0; taken < bytes.length;) {
      if (this.#partBytes === PART_BYTES) await this.#flush();
      const count = Math.min(bytes.length - taken, PART_BYTES - this.#partBytes);
      this.#put(bytes.subarray(taken, taken + count));
      taken += count;
    }
  }
  /** Hands the part over and goes on; a failure of its writing is thrown by the next call. */
  async #flush() {
    if (this.#partBytes === 0) return;
    await this.#writing;
    const part = this.#part.subarray(0, this.#partBytes);
    this.#writing = this.#writer.writePart(part);
    this.#writing.catch(() => undefined);
    [this.#part, this.#writtenPart] = [this.#writtenPart, this.#part];
    this.#writtenBytes += this.#partBytes;
    this.#partBytes = 0;
  }
}
/** Smallest possible pack: header, no frames, footer. Anything shorter is cut. */
export const PACK_BYTES_MIN = OBJECT_HEADER_BYTES + FRAME_HEADER_BYTES;
