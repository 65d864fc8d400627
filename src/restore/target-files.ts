import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs';
import { assert } from '../lib/assert.ts';
import { DirectFile } from '../lib/direct-file.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { writeFully } from '../lib/write-fully.ts';
import { fileFailure, systemCodeOf } from './file-failure.ts';
import { locate, type Locations } from './locations.ts';
import type { FileStretch, Placement } from './placement.ts';

/** Open files kept by one worker: neighbouring frames serve the same few files. */
const OPEN_FILES_MAX = 64;

const { O_CREAT, O_NOFOLLOW, O_RDWR } = constants;

/**
 * Writes stretches of files at their places. Files are made on first touch and sized at once; several workers may do
 * that to one file at a time, because sizing never cuts and their stretches do not overlap. Synchronous: for workers.
 */
export class TargetFiles {
  readonly #locations: Locations;
  readonly #open = new Map<string, number>();
  #direct: { readonly path: string; readonly file: DirectFile } | null = null;

  constructor(locations: Locations) {
    this.#locations = locations;
  }

  write(placement: Placement, content: Uint8Array): void {
    assert(content.length === placement.bytes, 'the content fills its place');
    try {
      const descriptor = this.#descriptor(placement.path, placement.fileBytes);
      writeFully(descriptor, content, placement.fileOffset);
    } catch (error) {
      throw fileFailure(error, `write ${locate(this.#locations, placement.path)}`);
    }
  }

  /**
   * Reads the file of a placement from `fileOffset` on; answers whether it filled `into`. What the disk cannot read is
   * as good as other content: writing the place anew may mend it.
   */
  read(
    placement: Pick<Placement, 'path' | 'fileBytes'>,
    fileOffset: number,
    into: Uint8Array,
  ): boolean {
    try {
      const descriptor = this.#descriptor(placement.path, placement.fileBytes);
      return readFully(descriptor, into, fileOffset);
    } catch (error) {
      if (systemCodeOf(error) === 'EIO') return false;
      throw fileFailure(error, `read ${locate(this.#locations, placement.path)}`);
    }
  }

  /**
   * Writes a long stretch, past the page cache where that is possible; one call at a time. The content must stay as it
   * is until the promise resolves.
   */
  async writeStretch(stretch: FileStretch, content: Uint8Array): Promise<void> {
    const { path, fileBytes, fileOffset } = stretch;
    try {
      this.#descriptor(path, fileBytes);
      const direct = await this.#directFile(path);
      const written = await direct.write(content, fileOffset);
      if (written === content.length) return;
      // Asked for again: other writes may have closed the file meanwhile.
      const descriptor = this.#descriptor(path, fileBytes);
      writeFully(descriptor, content.subarray(written), fileOffset + written);
    } catch (error) {
      throw fileFailure(error, `write ${locate(this.#locations, path)}`);
    }
  }

  close(): void {
    for (const descriptor of this.#open.values()) closeSync(descriptor);
    this.#open.clear();
  }

  #descriptor(path: string, fileBytes: number): number {
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    if (this.#open.size >= OPEN_FILES_MAX) this.#closeOldest();
    const descriptor = makeFile(locate(this.#locations, path), fileBytes);
    this.#open.set(path, descriptor);
    return descriptor;
  }

  async #directFile(path: string): Promise<DirectFile> {
    if (this.#direct?.path === path) return this.#direct.file;
    await this.#direct?.file.close();
    this.#direct = { path, file: new DirectFile(locate(this.#locations, path)) };
    return this.#direct.file;
  }

  #closeOldest(): void {
    const [oldest] = this.#open;
    if (oldest === undefined) return;
    this.#open.delete(oldest[0]);
    closeSync(oldest[1]);
  }
}

/** Makes a file of that many zero bytes unless it is there already; answers its descriptor. */
export function makeFile(path: string, fileBytes: number): number {
  const descriptor = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    if (fstatSync(descriptor).size < fileBytes) ftruncateSync(descriptor, fileBytes);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** The error for a file whose content is not what was backed up. */
export function contentDiffers(path: string): WalnutError {
  return new WalnutError(
    'object-damaged',
    `restore ${path}: the hash of the file does not match the one in the backup's map`,
    {
      hint: 'Restore another backup (`walnut list`), and run `walnut verify` to see what is damaged.',
      details: { files: [path] },
    },
  );
}

function readFully(descriptor: number, into: Uint8Array, position: number): boolean {
  let done = 0;
  while (done < into.length) {
    const count = readSync(descriptor, into, done, into.length - done, position + done);
    if (count === 0) return false;
    done += count;
  }
  return true;
}
