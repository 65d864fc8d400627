import type { ObjectStore } from '../storage/object-store.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { FrameRange } from './frame-ranges.ts';

/** Stored bytes held, or being read, at a time. */
const HELD_BYTES_MAX: number = 8 * 1024 * 1024;
/** Reads under way ahead of their turn: a repository may be slower than its reader. */
const AHEAD = 2;

export type PackRange = { readonly pack: string; readonly range: FrameRange };

/** Bytes of a pack. */
export type PackBytes = {
  /** Where in the pack they begin. */
  readonly offset: number;
  /** Cut where the pack ends. */
  readonly bytes: Buffer;
};

type Held = {
  readonly buffer: Buffer;
  /** What of the range the pack has, which may be less. */
  readonly bytes: Promise<Buffer>;
  isRead: boolean;
};

/** The stretches of packs that one task needs, read a little ahead of their turn. */
export class RangeShelf {
  readonly #store: ObjectStore;
  /** In the order in which they are needed first, with the number of their frames that are not opened yet. */
  readonly #ranges: (PackRange & { unopened: number })[];
  readonly #pool: BufferPool;
  readonly #held = new Map<number, Held>();
  #heldBytes = 0;
  #readBytes = 0;

  constructor(store: ObjectStore, ranges: readonly PackRange[], pool: BufferPool) {
    this.#store = store;
    this.#ranges = ranges.map((each) => ({ ...each, unopened: each.range.frames.length }));
    this.#pool = pool;
  }

  get readBytes(): number {
    return this.#readBytes;
  }

  /** One more range; answers its number. */
  add(range: PackRange): number {
    this.#ranges.push({ ...range, unopened: range.range.frames.length });
    return this.#ranges.length - 1;
  }

  /** The bytes of a range; valid until the next range is taken, or all its frames are opened. */
  async take(number: number): Promise<PackBytes> {
    const { range } = this.#rangeAt(number);
    if (!this.#held.has(number)) this.#makeRoom(range.length);
    const { bytes } = this.#held.get(number) ?? this.#begin(number);
    this.#readAhead(number);
    return { offset: range.offset, bytes: await bytes };
  }

  /** Says that one frame of a range is opened; with the last one its bytes are let go. */
  opened(number: number): void {
    const range = this.#rangeAt(number);
    range.unopened -= 1;
    if (range.unopened <= 0) this.#release(number);
  }

  /** Waits for reads that nobody wants any more: until they end their memory is in use. */
  async close(): Promise<void> {
    const reading = [...this.#held.values()].map(async ({ bytes }) => bytes);
    await Promise.allSettled(reading);
    for (const number of this.#held.keys()) this.#release(number);
  }

  #release(number: number): void {
    const held = this.#held.get(number);
    if (held === undefined || !held.isRead) return;
    this.#held.delete(number);
    this.#heldBytes -= this.#rangeAt(number).range.length;
    this.#pool.give(held.buffer);
  }

  #readAhead(from: number): void {
    let ahead = 0;
    for (let number = from + 1; number < this.#ranges.length && ahead < AHEAD; number += 1) {
      const held = this.#held.get(number);
      if (held?.isRead === true) continue;
      ahead += 1;
      if (held !== undefined) continue;
      if (this.#heldBytes + this.#rangeAt(number).range.length > HELD_BYTES_MAX) return;
      this.#begin(number);
    }
  }

  /** What is let go here is read again when its turn comes. */
  #makeRoom(bytes: number): void {
    for (const number of this.#held.keys()) {
      if (this.#heldBytes + bytes <= HELD_BYTES_MAX) return;
      this.#release(number);
    }
  }

  #begin(number: number): Held {
    const { pack, range } = this.#rangeAt(number);
    const buffer = this.#pool.take(range.length);
    const held: Held = { buffer, bytes: this.#read(pack, range, buffer), isRead: false };
    const settle = (): void => {
      held.isRead = true;
    };
    // A failure is met when the range is due.
    held.bytes.then(settle, settle);
    this.#held.set(number, held);
    this.#heldBytes += range.length;
    return held;
  }

  async #read(pack: string, range: FrameRange, buffer: Buffer): Promise<Buffer> {
    const count = await this.#store.read(pack, range.offset, buffer.subarray(0, range.length));
    this.#readBytes += count;
    // What is missing at the end of a cut pack must not be what an earlier read left in the buffer.
    return buffer.subarray(0, count);
  }

  #rangeAt(number: number): PackRange & { unopened: number } {
    const range = this.#ranges[number];
    if (range === undefined) throw new RangeError(`no range ${number}`);
    return range;
  }
}
