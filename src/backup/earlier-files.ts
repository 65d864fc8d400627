/** What the repository knows of each file of a listing, walked along with it: memory does not grow with the cluster. */
import { compareBytes } from '../lib/byte-order.ts';
import { hasCode, messageOf } from '../lib/walnut-error.ts';
import { readMapChunk } from '../repository/backup-map.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { MapEntry } from '../repository/map-chunk.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { AttemptPages, type DeadAttempt } from './attempt-pages.ts';
import type { EarlierFile } from './decide-file.ts';

export type EarlierSources = {
  readonly store: ObjectStore;
  /** The backup whose map is the ground of the new one; null when there is none. */
  readonly parent: Manifest | null;
  readonly attempts: readonly DeadAttempt[];
  readonly warn: (text: string) => void;
};

/** Asked for paths in byte order. */
export class EarlierFiles {
  readonly #chunks: AsyncGenerator<readonly MapEntry[]>;
  readonly #attempts: readonly AttemptPages[];
  /** Entries of the chunk at hand, and the first of them that is not passed. */
  #entries: readonly MapEntry[] = [];
  #next = 0;
  #isEnded = false;

  private constructor(
    chunks: AsyncGenerator<readonly MapEntry[]>,
    attempts: readonly AttemptPages[],
  ) {
    this.#chunks = chunks;
    this.#attempts = attempts;
  }

  static async open(sources: EarlierSources): Promise<EarlierFiles> {
    const opened: AttemptPages[] = [];
    for (const attempt of sources.attempts) {
      opened.push(await AttemptPages.open(sources.store, attempt));
    }
    return new EarlierFiles(chunksOf(sources), opened);
  }

  /** Waits where a chunk of the map, or a pack of an attempt, has to be read. */
  at(path: string): EarlierFile | Promise<EarlierFile> {
    const parent = this.#parentAtHand(path);
    if (parent === undefined || this.#attempts.length > 0) return this.#readAt(path);
    return { parent, attempts: [] };
  }

  async #readAt(path: string): Promise<EarlierFile> {
    const attempts = [];
    for (const attempt of this.#attempts) {
      const extents = await attempt.at(path);
      if (extents.length > 0) attempts.push(extents);
    }
    return { parent: await this.#parentAt(path), attempts };
  }

  async #parentAt(path: string): Promise<MapEntry | null> {
    for (;;) {
      const parent = this.#parentAtHand(path);
      if (parent !== undefined) return parent;
      const { value, done } = await this.#chunks.next();
      this.#isEnded = done === true;
      this.#entries = done === true ? [] : value;
      this.#next = 0;
    }
  }

  /** Undefined when the next chunk has to be read to know. */
  #parentAtHand(path: string): MapEntry | null | undefined {
    for (let entry = this.#entries[this.#next]; entry !== undefined;) {
      const order = compareBytes(entry.path, path);
      if (order >= 0) return order === 0 ? entry : null;
      this.#next += 1;
      entry = this.#entries[this.#next];
    }
    return this.#isEnded ? null : undefined;
  }
}

/** Files of a chunk that cannot be read count as new: they are read whole. */
async function* chunksOf({
  store,
  parent,
  warn,
}: EarlierSources): AsyncGenerator<readonly MapEntry[]> {
  for (const chunk of parent?.chunks ?? []) {
    try {
      yield await readMapChunk(store, chunk);
    } catch (error) {
      if (!hasCode(error, 'object-damaged', 'object-missing')) throw error;
      warn(`${messageOf(error)}: its ${chunk.files} files are read as if they were new`);
    }
  }
}
