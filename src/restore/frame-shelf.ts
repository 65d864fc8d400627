import type { BufferPool } from './buffer-pool.ts';

/**
 * Opened frames held at a time: 8 MB. As many backups of a chain can have pages in one stretch of a file before a frame
 * is opened more often than once.
 */
const SLOTS_MAX = 32;

type Held = { readonly slot: Buffer; readonly plain: Uint8Array };

/** Opened frames that are needed again, in memory that is used again. For one worker. */
export class FrameShelf {
  /** The one used last stands last. */
  readonly #held = new Map<string, Held>();
  readonly #pool: BufferPool;
  readonly #slotsMax: number;

  constructor(pool: BufferPool, slotsMax: number = SLOTS_MAX) {
    this.#pool = pool;
    this.#slotsMax = slotsMax;
  }

  /** A view that is valid until the next {@link open}. */
  find(key: string): Uint8Array | null {
    const held = this.#held.get(key);
    if (held === undefined) return null;
    this.#held.delete(key);
    this.#held.set(key, held);
    return held.plain;
  }

  /** Opens a frame into memory of the shelf; where that is full, the frame used longest ago makes room. */
  open(key: string, plainBytes: number, openInto: (slot: Uint8Array) => Uint8Array): Uint8Array {
    if (this.#held.size >= this.#slotsMax) {
      const [oldest] = this.#held.keys();
      if (oldest !== undefined) this.drop(oldest);
    }
    const slot = this.#pool.take(plainBytes);
    const plain = openInto(slot);
    this.#held.set(key, { slot, plain });
    return plain;
  }

  drop(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    this.#pool.give(held.slot);
  }
}
