import { readPackIndex, type PackIndex } from '../repository/pack-reader.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** Frames whose index entries are held: some 20 MB, sixteen full packs or hundreds of small ones. */
const FRAMES_MAX = 32_768;
/** Indexes read at a time. */
const READS_MAX = 8;

/** The indexes of packs, as far as memory allows. */
export class PackIndexes {
  readonly #store: ObjectStore;
  /** The one used last stands last. */
  readonly #held = new Map<string, PackIndex>();
  #frames = 0;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /**
   * The indexes of all these packs.
   * @param explain makes the error of one that cannot be read.
   */
  async read(
    packs: readonly string[],
    explain: (error: unknown, pack: string) => unknown,
  ): Promise<ReadonlyMap<string, PackIndex>> {
    const found = new Map<string, PackIndex>();
    const waiting = packs.values();
    const lane = async (): Promise<void> => {
      for (const pack of waiting) {
        const index = await this.#one(pack).catch((error: unknown) => {
          throw explain(error, pack);
        });
        found.set(pack, index);
      }
    };
    await Promise.all(Array.from({ length: READS_MAX }, lane));
    return found;
  }

  async #one(pack: string): Promise<PackIndex> {
    const held = this.#held.get(pack);
    if (held !== undefined) {
      this.#held.delete(pack);
      this.#held.set(pack, held);
      return held;
    }
    const index = await readPackIndex(this.#store, pack);
    this.#held.set(pack, index);
    this.#frames += index.frames.length;
    for (const [key, { frames }] of this.#held) {
      if (this.#frames <= FRAMES_MAX || key === pack) break;
      this.#held.delete(key);
      this.#frames -= frames.length;
    }
    return index;
  }
}
