import type { BufferPool } from './buffer-pool.ts';

/**
 * Opened frames held at a time: 8 MB. As many backups of a chain can have pages in one stretch of a file before a frame
 * is opened more often than once.
 */
const SLOTS_MAX = 32;

/** An opened frame that may be needed again. */
export type HeldFrame = {
  readonly key: string;
  readonly slot: Buffer;
  /** Its content, valid until the next frame is opened; null when it has made room. */
  plain: Uint8Array | null;
  /** Grows with every use, whichever frame's. */
  lastUse: number;
};

/** Opened frames that are needed again, in memory that is used again. For one worker. */
export class FrameShelf {
  readonly #held = new Map<string, HeldFrame>();
  readonly #pool: BufferPool;
  readonly #slotsMax: number;
  #uses = 0;

  constructor(pool: BufferPool, slotsMax: number = SLOTS_MAX) {
    this.#pool = pool;
    this.#slotsMax = slotsMax;
  }

  find(key: string): HeldFrame | null {
    return this.#held.get(key) ?? null;
  }

  /** The content of a frame that was found here; null when it had to make room since. */
  use(held: HeldFrame): Uint8Array | null {
    this.#uses += 1;
    held.lastUse = this.#uses;
    return held.plain;
  }

  /** Opens a frame into memory of the shelf; where that is full, the frame used longest ago makes room. */
  open(
    key: string,
    plainBytes: number,
    openInto: (slot: Uint8Array) => Uint8Array,
  ): HeldFrame & { readonly plain: Uint8Array } {
    if (this.#held.size >= this.#slotsMax) this.#dropOldest();
    const slot = this.#pool.take(plainBytes);
    this.#uses += 1;
    const held = { key, slot, plain: openInto(slot), lastUse: this.#uses };
    this.#held.set(key, held);
    return held;
  }

  drop(held: HeldFrame): void {
    if (held.plain === null) return;
    held.plain = null;
    this.#held.delete(held.key);
    this.#pool.give(held.slot);
  }

  #dropOldest(): void {
    let oldest: HeldFrame | null = null;
    for (const held of this.#held.values()) {
      if (oldest === null || held.lastUse < oldest.lastUse) oldest = held;
    }
    if (oldest !== null) this.drop(oldest);
  }
}
