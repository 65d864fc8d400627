import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { ALIGNMENT_BYTES, isAligned } from './aligned-buffer.ts';
import { readFully } from './read-fully.ts';

const { O_DIRECT, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;

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

/**
 * Reads a file from its beginning until `into` is full or the file ends; answers the number of bytes. Past the page cache
 * where memory and file system allow it: what is read once, and was written past it, need not come through it.
 */
export async function readPastCache(path: string, into: Uint8Array): Promise<number> {
  const isFit = into.length % ALIGNMENT_BYTES === 0 && isAligned(into);
  // Whatever fails that way either works the ordinary way or says it better.
  const length = isFit ? await readFrom(path, O_RDONLY | O_DIRECT, into).catch(() => null) : null;
  return length ?? readFrom(path, O_RDONLY, into);
}

async function readFrom(path: string, flags: number, into: Uint8Array): Promise<number> {
  const handle = await open(path, flags);
  try {
    return await readFully(handle, 0, into);
  } finally {
    await handle.close();
  }
}
