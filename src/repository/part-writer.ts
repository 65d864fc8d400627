import { alignedBuffer } from '../lib/aligned-buffer.ts';
import { assert } from '../lib/assert.ts';
import type { ObjectWriter } from '../storage/object-store.ts';

/** One write: large enough for a bucket's part, and for a disk to be worth waiting for. */
export const PART_BYTES: number = 8 * 1024 * 1024;

/** Buffers of this thread that no writer uses: a pack is begun as soon as the one before it is written. */
const spares: Uint8Array[] = [];
const SPARES_MAX = 2;

/**
 * Gathers the bytes of one object into parts and hands each to the store while the next one fills: compression and disk
 * work at the same time. Two buffers, so it never runs further ahead than one part.
 */
export class PartWriter {
  readonly #writer: ObjectWriter;
  #filling: Uint8Array = spares.pop() ?? alignedBuffer(PART_BYTES);
  #other: Uint8Array = spares.pop() ?? alignedBuffer(PART_BYTES);
  #filledBytes = 0;
  #handedBytes = 0;
  #writing: Promise<void> | null = null;

  constructor(writer: ObjectWriter) {
    this.#writer = writer;
  }

  /** Bytes taken so far. */
  get bytes(): number {
    return this.#handedBytes + this.#filledBytes;
  }

  /** Waits until {@link put} can take so many bytes at once. */
  async makeRoom(bytes: number): Promise<void> {
    assert(bytes <= PART_BYTES, 'what is put at once fits a part');
    if (this.#filledBytes + bytes >= PART_BYTES) await this.#written();
  }

  /** Copies bytes for which room was made. */
  put(bytes: Uint8Array): void {
    const fitting = Math.min(bytes.length, PART_BYTES - this.#filledBytes);
    this.#filling.set(bytes.subarray(0, fitting), this.#filledBytes);
    this.#filledBytes += fitting;
    if (this.#filledBytes < PART_BYTES) return;
    this.#hand();
    this.put(bytes.subarray(fitting));
  }

  /** Takes bytes of any length. */
  async append(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += PART_BYTES) {
      const piece = bytes.subarray(at, at + PART_BYTES);
      await this.makeRoom(piece.length);
      this.put(piece);
    }
  }

  /** Writes what is left. What was written is not durable before the object is committed. */
  async finish(): Promise<void> {
    await this.#written();
    if (this.#filledBytes > 0) this.#hand();
    await this.#written();
    this.#giveBack();
  }

  /** Waits for the write under way, whatever comes of it: until then its buffer is in use. */
  async abandon(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    this.#giveBack();
  }

  #hand(): void {
    assert(this.#writing === null, 'one part is written at a time');
    const writing = this.#writer.writePart(this.#filling.subarray(0, this.#filledBytes));
    // A failure is met when the part is waited for, which may be later.
    writing.catch(() => undefined);
    this.#writing = writing;
    [this.#filling, this.#other] = [this.#other, this.#filling];
    this.#handedBytes += this.#filledBytes;
    this.#filledBytes = 0;
  }

  async #written(): Promise<void> {
    await this.#writing;
    this.#writing = null;
  }

  #giveBack(): void {
    for (const buffer of [this.#filling, this.#other]) {
      if (spares.length < SPARES_MAX) spares.push(buffer);
    }
    this.#filling = new Uint8Array(0);
    this.#other = this.#filling;
  }
}
