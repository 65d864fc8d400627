/**
 * Pages that an interrupted backup had copied. They are taken over only where the page, read again, has the same hash:
 * so nothing rests on what the dead attempt knew or when it died.
 */
import { compareBytes } from '../lib/byte-order.ts';
import { hasCode } from '../lib/walnut-error.ts';
import type { BackupId } from '../repository/backup-id.ts';
import type { PageExtent } from '../repository/map-chunk.ts';
import { readPackIndex } from '../repository/pack-reader.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { appendExtent } from './page-extents.ts';

export type DeadAttempt = { readonly id: BackupId; readonly packs: readonly string[] };

/** The files of one pack: workers take files in order, so packs written at the same time cover neighbouring paths. */
type PackRange = { readonly key: string; readonly first: string; readonly last: string };

/** Asked for paths in byte order; holds the packs around the present path only. */
export class AttemptPages {
  readonly #store: ObjectStore;
  readonly #waiting: PackRange[];
  readonly #open = new Map<PackRange, ReadonlyMap<string, readonly PageExtent[]>>();

  private constructor(store: ObjectStore, ranges: readonly PackRange[]) {
    this.#store = store;
    this.#waiting = ranges.toSorted((one, other) => compareBytes(one.first, other.first));
  }

  static async open(store: ObjectStore, { packs }: DeadAttempt): Promise<AttemptPages> {
    const ranges: PackRange[] = [];
    for (const key of packs) {
      const paths = [...(await pagesOf(store, key)).keys()].toSorted(compareBytes);
      const [first] = paths;
      const last = paths.at(-1);
      if (first !== undefined && last !== undefined) ranges.push({ key, first, last });
    }
    return new AttemptPages(store, ranges);
  }

  /** Sorted, without overlaps; empty when the attempt had not copied the file. */
  async at(path: string): Promise<readonly PageExtent[]> {
    for (const range of this.#open.keys()) {
      if (compareBytes(range.last, path) < 0) this.#open.delete(range);
    }
    for (let next = this.#waiting[0]; next !== undefined && compareBytes(next.first, path) <= 0;) {
      this.#waiting.shift();
      if (compareBytes(next.last, path) >= 0) {
        this.#open.set(next, await pagesOf(this.#store, next.key));
      }
      next = this.#waiting[0];
    }
    const found = [...this.#open.values()].flatMap((pages) => pages.get(path) ?? []);
    return withoutOverlaps(found.toSorted((one, other) => one.firstBlock - other.firstBlock));
  }
}

async function pagesOf(
  store: ObjectStore,
  key: string,
): Promise<ReadonlyMap<string, readonly PageExtent[]>> {
  const pages = new Map<string, PageExtent[]>();
  try {
    for (const { number, runs } of (await readPackIndex(store, key)).frames) {
      let position = 0;
      for (const { kind, path, from, length } of runs) {
        if (kind !== 'pages') continue;
        const extents = pages.get(path) ?? [];
        pages.set(path, extents);
        appendExtent(extents, {
          firstBlock: from,
          pages: length,
          pack: key,
          frame: number,
          position,
        });
        position += length;
      }
    }
  } catch (error) {
    if (!hasCode(error, 'object-damaged', 'object-missing')) throw error;
    return new Map();
  }
  return pages;
}

function withoutOverlaps(sorted: readonly PageExtent[]): PageExtent[] {
  let end = 0;
  return sorted.filter(({ firstBlock, pages }) => {
    if (firstBlock < end) return false;
    end = firstBlock + pages;
    return true;
  });
}
