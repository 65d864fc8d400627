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
    const bytesByPack = new Map<string, number>();
    const add = (pack: string, bytes: number): void => {
      bytesByPack.set(pack, (bytesByPack.get(pack) ?? 0) + bytes);
    };
    if (entry.kind === 'relation') {
      for (const { pack, pages } of entry.extents) add(pack, pages * PAGE_BYTES);
    } else {
      for (const { pack, bytes } of entry.extents) add(pack, bytes);
    }
    let isChanged = false;
    for (const [pack, bytes] of bytesByPack) {
      this.plainBytes.set(pack, (this.plainBytes.get(pack) ?? 0) + bytes);
      if (!pack.startsWith(this.#ownFolder)) continue;
      isChanged = true;
      if (entry.kind === 'relation') this.changedPages += bytes / PAGE_BYTES;
    }
    if (isChanged) this.changedFiles += 1;
  }
}
