import type { BackupId } from '../repository/backup-id.ts';
import { backupKeys } from '../repository/layout.ts';
import { PackWriter, type FinishedPack, type PackContent } from '../repository/pack-writer.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export type PackSequenceOptions = {
  readonly store: ObjectStore;
  readonly server: string;
  readonly id: BackupId;
  readonly level: number;
  /** Answers the next number that no other worker of this backup has. */
  readonly nextNumber: () => number;
};

/** Where a frame has been put. */
export type FramePlace = { readonly pack: string; readonly frame: number };

/** The packs of one worker, one open at a time. */
export class PackSequence {
  readonly #options: PackSequenceOptions;
  readonly #finished: FinishedPack[] = [];
  #current: PackWriter | null = null;
  #finishedBytes = 0;

  constructor(options: PackSequenceOptions) {
    this.#options = options;
  }

  get storedBytes(): number {
    return this.#finishedBytes + (this.#current?.storedBytes ?? 0);
  }

  async add(content: PackContent): Promise<FramePlace> {
    if (this.#current?.isFull === true) await this.#finishCurrent();
    this.#current ??= await this.#begin();
    return { pack: this.#current.key, frame: await this.#current.add(content) };
  }

  /** Makes everything durable and names the packs. */
  async finish(): Promise<readonly FinishedPack[]> {
    await this.#finishCurrent();
    return this.#finished;
  }

  async abort(): Promise<void> {
    await this.#current?.abort();
    this.#current = null;
  }

  async #begin(): Promise<PackWriter> {
    const { store, server, id, level, nextNumber } = this.#options;
    return PackWriter.begin(store, backupKeys.pack(server, id, nextNumber()), level);
  }

  async #finishCurrent(): Promise<void> {
    if (this.#current === null) return;
    const pack = await this.#current.finish();
    this.#current = null;
    this.#finished.push(pack);
    this.#finishedBytes += pack.storedBytes;
  }
}
