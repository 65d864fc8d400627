import { PAGE_BYTES } from '../repository/frame.ts';
import type { FileEntry, RelationEntry } from '../repository/map-chunk.ts';

/** Counts what a backup refers to, by pack, and how much of it the backup stored itself. */
export class LiveContent {
  readonly plainBytes: Map<string, number> = new Map();
  readonly #ownFolder: string;
  changedFiles = 0;
  changedPages = 0;

  constructor(ownFolder: string) {
    this.#ownFolder = ownFolder;
  }

  count(entry: RelationEntry | FileEntry): void {
    let isChanged = false;
    const add = (pack: string, bytes: number, pages: number): void => {
      this.plainBytes.set(pack, (this.plainBytes.get(pack) ?? 0) + bytes);
      if (!pack.startsWith(this.#ownFolder)) return;
      isChanged = true;
      this.changedPages += pages;
    };
    if (entry.kind === 'relation') {
      for (const { pack, pages } of entry.extents) add(pack, pages * PAGE_BYTES, pages);
    } else {
      for (const { pack, bytes } of entry.extents) add(pack, bytes, 0);
    }
    if (isChanged) this.changedFiles += 1;
  }
}
