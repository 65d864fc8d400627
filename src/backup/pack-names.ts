import type { ItemResult } from './copy-messages.ts';

type Named = { pack: string };

/**
 * One string for each pack's key. What comes from a worker has one of its own for every extent, to be kept, hashed and
 * compared one by one.
 */
export class PackNames {
  readonly #names = new Map<string, string>();

  /** Changes the extents in place: they were made for this thread by the message that brought them. */
  unite(results: readonly ItemResult[]): void {
    for (const { entry } of results) {
      if (entry?.kind !== 'relation' && entry?.kind !== 'file') continue;
      const extents: readonly Named[] = entry.extents;
      for (const extent of extents) extent.pack = this.#one(extent.pack);
    }
  }

  #one(name: string): string {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    this.#names.set(name, name);
    return name;
  }
}
