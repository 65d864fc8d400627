import { alignedBuffer } from '../lib/aligned-buffer.ts';
import { assert } from '../lib/assert.ts';
import type { FileStretch, Placement } from './placement.ts';
import type { TargetFiles } from './target-files.ts';

/** One write: sixteen full frames, enough for a disk to be worth waiting for. */
const STRETCH_BYTES: number = 4 * 1024 * 1024;
/** What is shorter and has no neighbours is a small file or a single page: it is written at once. */
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

  /**
   * Takes the content of a placement; it is copied before the promise resolves.
   * @param isFollowed whether the next placement continues this one.
   */
  async write(placement: Placement, content: Uint8Array, isFollowed: boolean): Promise<void> {
    const room = await this.room(placement, isFollowed);
    if (room === null) {
      this.#files.write(placement, content);
      return;
    }
    room.set(content);
    await this.filled(content.length);
  }

  /** Where the content of a placement may be put, to be followed by {@link filled}; null when it is better written at once. */
  async room(placement: Placement, isFollowed: boolean): Promise<Uint8Array | null> {
    const { path, fileBytes, fileOffset, bytes } = placement;
    if (!this.#continues(placement)) {
      const isShort = bytes < GATHERED_BYTES_MIN && !isFollowed;
      if (isShort || bytes > STRETCH_BYTES) return null;
      await this.#hand();
    }
    this.#gathered ??= { path, fileBytes, fileOffset, bytes: 0 };
    return this.#filling.subarray(this.#gathered.bytes, this.#gathered.bytes + bytes);
  }

  /** Says that the room answered last holds its content. */
  async filled(bytes: number): Promise<void> {
    assert(this.#gathered !== null, 'room is asked for before it is filled');
    this.#gathered.bytes += bytes;
    if (this.#gathered.bytes === STRETCH_BYTES) await this.#hand();
  }

  /**
   * Hands over what is gathered. Answers what resolves when everything taken so far is written, while others may be filled
   * already; making it durable is for later.
   */
  async flush(): Promise<{ readonly written: Promise<void> }> {
    await this.#hand();
    return { written: this.#writing ?? Promise.resolve() };
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
    this.#gathered = null;
    if (gathered === null || gathered.bytes === 0) return;
    await this.#written();
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
