import { alignedBuffer } from '../lib/aligned-buffer.ts';
import type { FileStretch, Placement } from './placement.ts';
import type { TargetFiles } from './target-files.ts';

/** One write: sixteen full frames, enough for a disk to be worth waiting for. */
const STRETCH_BYTES: number = 4 * 1024 * 1024;
/** What is shorter and continues nothing is a small file or the end of a relation: it is written at once. */
const GATHERED_BYTES_MIN: number = 64 * 1024;

type Gathered = FileStretch & { bytes: number };

/**
 * Gathers the content of neighbouring frames, which mostly belong to neighbouring blocks of one file, and writes it in
 * long stretches: one is written while the next is decompressed. For one worker.
 */
export class StretchWriter {
  readonly #files: TargetFiles;
  #filling: Uint8Array = alignedBuffer(STRETCH_BYTES);
  #other: Uint8Array = alignedBuffer(STRETCH_BYTES);
  #gathered: Gathered | null = null;
  #writing: Promise<void> | null = null;

  constructor(files: TargetFiles) {
    this.#files = files;
  }

  /** Takes the content of a placement; it is copied before the promise resolves. */
  async write(placement: Placement, content: Uint8Array): Promise<void> {
    if (!this.#continues(placement)) {
      if (content.length < GATHERED_BYTES_MIN || content.length > STRETCH_BYTES) {
        this.#files.write(placement, content);
        return;
      }
      await this.#hand();
    }
    const { path, fileBytes, fileOffset } = placement;
    this.#gathered ??= { path, fileBytes, fileOffset, bytes: 0 };
    this.#filling.set(content, this.#gathered.bytes);
    this.#gathered.bytes += content.length;
    if (this.#gathered.bytes === STRETCH_BYTES) await this.#hand();
  }

  /** Resolves when everything taken is written; making it durable is for later. */
  async flush(): Promise<void> {
    await this.#hand();
    await this.#written();
  }

  #continues({ path, fileOffset, bytes }: Placement): boolean {
    const gathered = this.#gathered;
    return (
      gathered !== null &&
      gathered.path === path &&
      gathered.fileOffset + gathered.bytes === fileOffset &&
      gathered.bytes + bytes <= STRETCH_BYTES
    );
  }

  async #hand(): Promise<void> {
    const gathered = this.#gathered;
    if (gathered === null) return;
    await this.#written();
    this.#gathered = null;
    const writing = this.#files.writeStretch(gathered, this.#filling.subarray(0, gathered.bytes));
    // A failure is met when the stretch is waited for, which may be later.
    writing.catch(() => undefined);
    this.#writing = writing;
    [this.#filling, this.#other] = [this.#other, this.#filling];
  }

  async #written(): Promise<void> {
    await this.#writing;
    this.#writing = null;
  }
}
