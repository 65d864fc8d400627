import { readPackIndex } from '../repository/pack-reader.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { FrameTable, type TableOptions } from './frame-table.ts';

/** Frames that are held: some 3 MB, with page hashes 11, sixteen full packs or hundreds of small ones. */
const FRAMES_MAX = 32_768;
/** Indexes read at a time. */
const READS_MAX = 8;

/** The indexes of packs, as far as memory allows. */
export class PackIndexes {
  readonly #store: ObjectStore;
  readonly #options: TableOptions;
  /** The one used last stands last. */
  readonly #held = new Map<string, FrameTable>();
  #frames = 0;

  constructor(store: ObjectStore, options: TableOptions) {
    this.#store = store;
    this.#options = options;
  }

  /**
   * The indexes of all these packs.
   * @param explain makes the error of one that cannot be read.
   */
  async read(
    packs: readonly string[],
    explain: (error: unknown, pack: string) => unknown,
  ): Promise<ReadonlyMap<string, FrameTable>> {
    const found = new Map<string, FrameTable>();
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

  async #one(pack: string): Promise<FrameTable> {
    const held = this.#held.get(pack);
    if (held !== undefined) {
      this.#held.delete(pack);
      this.#held.set(pack, held);
      return held;
    }
    const table = new FrameTable(
      await readPackIndex(this.#store, pack, 'without-runs'),
      this.#options,
    );
    this.#held.set(pack, table);
    this.#frames += table.count;
    for (const [key, { count }] of this.#held) {
      if (this.#frames <= FRAMES_MAX || key === pack) break;
      this.#held.delete(key);
      this.#frames -= count;
    }
    return table;
  }
}
