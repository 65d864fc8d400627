import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { ALIGNMENT_BYTES, isAligned } from './aligned-buffer.ts';

const { O_DIRECT, O_NOFOLLOW, O_WRONLY } = constants;

/** Shorter writes gain nothing: each waits for the disk. */
const DIRECT_BYTES_MIN: number = 1024 * 1024;

/**
 * Writes the large parts of a file past the page cache (`O_DIRECT`), so that a backup neither pays for copying into it nor
 * pushes the database's pages out of it (docs/decisions/2026-11-25-direct-writes.md). It makes nothing durable: the file is synced like any other. What the file
 * system or a part does not allow is left to the caller, who writes it the ordinary way.
 */
export class DirectFile {
  readonly #path: string;
  #handle: FileHandle | null = null;
  #isRefused = false;

  constructor(path: string) {
    this.#path = path;
  }

  /** Writes as much of the beginning of `part` as can go this way; answers how many bytes, often 0. */
  async write(part: Uint8Array, position: number): Promise<number> {
    const length = part.length - (part.length % ALIGNMENT_BYTES);
    const isFit = length >= DIRECT_BYTES_MIN && position % ALIGNMENT_BYTES === 0;
    if (this.#isRefused || !isFit || !isAligned(part)) return 0;
    const handle = await this.#open();
    if (handle === null) return 0;
    let written = 0;
    try {
      while (written < length) {
        const left = length - written;
        const { bytesWritten } = await handle.write(part, written, left, position + written);
        written += bytesWritten;
        // A short write may end anywhere; the ordinary way goes on from there.
        if (bytesWritten % ALIGNMENT_BYTES !== 0) break;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
      this.#isRefused = true;
    }
    return written;
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = null;
  }

  async #open(): Promise<FileHandle | null> {
    if (this.#handle !== null) return this.#handle;
    try {
      this.#handle = await open(this.#path, O_WRONLY | O_DIRECT | O_NOFOLLOW);
    } catch {
      // Whatever it is, the ordinary write either works or says it better.
      this.#isRefused = true;
    }
    return this.#handle;
  }
}
