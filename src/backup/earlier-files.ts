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
  readonly #entries: AsyncGenerator<MapEntry>;
  readonly #attempts: readonly AttemptPages[];
  #next: MapEntry | null = null;
  #isEnded = false;

  private constructor(entries: AsyncGenerator<MapEntry>, attempts: readonly AttemptPages[]) {
    this.#entries = entries;
    this.#attempts = attempts;
  }

  static async open(sources: EarlierSources): Promise<EarlierFiles> {
    const opened: AttemptPages[] = [];
    for (const attempt of sources.attempts) {
      opened.push(await AttemptPages.open(sources.store, attempt));
    }
    return new EarlierFiles(entriesOf(sources), opened);
  }

  async at(path: string): Promise<EarlierFile> {
    const attempts = [];
    for (const attempt of this.#attempts) {
      const extents = await attempt.at(path);
      if (extents.length > 0) attempts.push(extents);
    }
    return { parent: await this.#parentAt(path), attempts };
  }

  async #parentAt(path: string): Promise<MapEntry | null> {
    while (!this.#isEnded && (this.#next === null || compareBytes(this.#next.path, path) < 0)) {
      const { value, done } = await this.#entries.next();
      if (done === true) this.#isEnded = true;
      this.#next = done === true ? null : value;
    }
    return this.#next?.path === path ? this.#next : null;
  }
}

/** Files of a chunk that cannot be read count as new: they are read whole. */
async function* entriesOf({ store, parent, warn }: EarlierSources): AsyncGenerator<MapEntry> {
  for (const chunk of parent?.chunks ?? []) {
    try {
      yield* await readMapChunk(store, chunk);
    } catch (error) {
      if (!hasCode(error, 'object-damaged', 'object-missing')) throw error;
      warn(`${messageOf(error)}: its ${chunk.files} files are read as if they were new`);
    }
  }
}
