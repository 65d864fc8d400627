import { link, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { assert } from '../../lib/assert.ts';
import { DirectFile } from '../../lib/direct-file.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import type { ObjectWriter } from '../object-store.ts';
import type { DurableFolders } from './durable-folders.ts';
import { errorNumberOf, explainFailure, type FilesystemRoot } from './error-mapping.ts';
import { openTemporary, type TemporaryFile } from './temporary-file.ts';

/** A folder can vanish between its making and the link, when the last object in it is deleted meanwhile. */
const PLACE_ATTEMPTS_MAX = 5;

export type WriterTarget = {
  readonly root: FilesystemRoot;
  readonly folders: DurableFolders;
  readonly key: string;
  /** `link` fails when the key is taken; `rename` replaces what is there. */
  readonly placing: 'link' | 'rename';
};

/** Opens the temporary file of an object that is to be written. */
export async function openWriter(target: WriterTarget): Promise<FilesystemWriter> {
  try {
    return new FilesystemWriter(target, await openTemporary(target.root, target.folders));
  } catch (error) {
    throw await explainFailure(error, `write object ${target.key}`, target.root);
  }
}

/**
 * One object on its way to the disk. The order is the promise: content synced, then linked to its key, then the
 * temporary name removed, then the folder and every new folder above it synced.
 */
export class FilesystemWriter implements ObjectWriter {
  readonly #target: WriterTarget;
  readonly #temporary: TemporaryFile;
  readonly #direct: DirectFile;
  #state: 'open' | 'busy' | 'closed' = 'open';
  #position = 0;
  #isContentLost = false;

  constructor(target: WriterTarget, temporary: TemporaryFile) {
    this.#target = target;
    this.#temporary = temporary;
    this.#direct = new DirectFile(temporary.path);
  }

  /** True after a commit that failed because the content could not be synced: only writing it anew can help. */
  get isContentLost(): boolean {
    return this.#isContentLost;
  }

  async writePart(part: Uint8Array): Promise<void> {
    await this.#step(async () => {
      let written = await this.#direct.write(part, this.#position);
      this.#position += written;
      while (written < part.length) {
        const { bytesWritten } = await this.#temporary.handle.write(
          part,
          written,
          part.length - written,
          this.#position,
        );
        written += bytesWritten;
        this.#position += bytesWritten;
      }
      this.#state = 'open';
    });
  }

  async commit(): Promise<void> {
    await this.#step(async () => {
      const { folders, key } = this.#target;
      const { handle, path } = this.#temporary;
      // A failed sync must not be repeated: the kernel drops the pages and the second one would succeed.
      this.#isContentLost = true;
      await handle.sync();
      this.#isContentLost = false;
      await handle.close();
      await this.#direct.close();
      const isTaken = (await this.#place()) === 'taken';
      await rm(path, { force: true });
      // Also when the key was taken: whoever placed that object may not have synced the folder yet, and the caller may
      // rely on what it finds there.
      await folders.sync(dirname(key));
      this.#state = 'closed';
      if (isTaken) throw new WalnutError('object-exists', `store object ${key}: it exists already`);
    });
  }

  async abort(): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    await this.#discard();
  }

  /** Runs one step; a failed one discards the temporary file, so that nothing stays behind even without `abort`. */
  async #step(act: () => Promise<void>): Promise<void> {
    assert(this.#state === 'open', `writer of ${this.#target.key} is ${this.#state}`);
    this.#state = 'busy';
    try {
      await act();
    } catch (error) {
      const explained = await explainFailure(
        error,
        `write object ${this.#target.key}`,
        this.#target.root,
      );
      if (!this.#isClosed()) {
        this.#state = 'closed';
        await this.#discard();
      }
      throw explained;
    }
  }

  /** A separate question because the compiler narrows the field across the awaited step. */
  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  async #place(): Promise<'placed' | 'taken'> {
    const { root, folders, key, placing } = this.#target;
    const place = placing === 'link' ? link : rename;
    for (let attempt = 1; ; attempt += 1) {
      try {
        if (attempt > 1) await folders.make(dirname(key));
        await place(this.#temporary.path, join(root.path, key));
        return 'placed';
      } catch (error) {
        const code = errorNumberOf(error);
        if (code === 'EEXIST') return 'taken';
        if (code !== 'ENOENT' || attempt === PLACE_ATTEMPTS_MAX) throw error;
      }
    }
  }

  /** Never fails: it runs after a failure that matters more, and a file left behind is found as a stale temporary. */
  async #discard(): Promise<void> {
    await this.#temporary.handle.close().catch(() => undefined);
    await this.#direct.close().catch(() => undefined);
    await rm(this.#temporary.path, { force: true }).catch(() => undefined);
  }
}
