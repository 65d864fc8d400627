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

/** The packs of one worker: one open, and at most the one before it still on its way to the disk. */
export class PackSequence {
  readonly #options: PackSequenceOptions;
  readonly #finished: FinishedPack[] = [];
  #current: PackWriter | null = null;
  #finishedBytes = 0;
  #committing: Promise<void> | null = null;

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
    await this.#committed();
    return this.#finished;
  }

  async abort(): Promise<void> {
    await this.#current?.abort();
    this.#current = null;
    await this.#committing?.catch(() => undefined);
  }

  async #begin(): Promise<PackWriter> {
    const { store, server, id, level, nextNumber } = this.#options;
    return PackWriter.begin(store, backupKeys.pack(server, id, nextNumber()), level);
  }

  async #finishCurrent(): Promise<void> {
    const pack = this.#current;
    if (pack === null) return;
    await pack.seal();
    this.#current = null;
    this.#finishedBytes += pack.storedBytes;
    await this.#committed();
    const committing = pack.commit().then((finished) => void this.#finished.push(finished));
    // A failure is met when the next pack is finished, or at the end.
    committing.catch(() => undefined);
    this.#committing = committing;
  }

  async #committed(): Promise<void> {
    await this.#committing;
    this.#committing = null;
  }
}
