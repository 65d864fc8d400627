import { PAGE_BYTES } from '../repository/frame.ts';
import type { FileEntry, RelationEntry } from '../repository/map-chunk.ts';

type CountedPack = { readonly pack: string; readonly isOwn: boolean; bytes: number };

/** Counts what a backup refers to, by pack, and how much of it the backup stored itself. */
export class LiveContent {
  readonly #ownFolder: string;
  readonly #packs = new Map<string, CountedPack>();
  /** Extents of one pack follow each other. */
  #last: CountedPack | undefined;
  changedFiles = 0;
  changedPages = 0;

  constructor(ownFolder: string) {
    this.#ownFolder = ownFolder;
  }

  get plainBytes(): ReadonlyMap<string, number> {
    return new Map([...this.#packs.values()].map(({ pack, bytes }) => [pack, bytes]));
  }

  count(entry: RelationEntry | FileEntry): void {
    let isChanged = false;
    if (entry.kind === 'relation') {
      for (const { pack, pages } of entry.extents) {
        if (!this.#add(pack, pages * PAGE_BYTES)) continue;
        isChanged = true;
        this.changedPages += pages;
      }
    } else {
      for (const { pack, bytes } of entry.extents) isChanged = this.#add(pack, bytes) || isChanged;
    }
    if (isChanged) this.changedFiles += 1;
  }

  /** Answers whether the pack is the backup's own. */
  #add(pack: string, bytes: number): boolean {
    let counted = this.#last;
    if (counted?.pack !== pack) {
      counted = this.#packs.get(pack);
      if (counted === undefined) {
        counted = { pack, isOwn: pack.startsWith(this.#ownFolder), bytes: 0 };
        this.#packs.set(pack, counted);
      }
      this.#last = counted;
    }
    counted.bytes += bytes;
    return counted.isOwn;
  }
}
