import { open, type FileHandle } from 'node:fs/promises';

type Opened = { readonly handle: Promise<FileHandle>; users: number };

/**
 * Files that stay open between reads, the ones used last. To open and close a file for each piece of it costs as much as
 * to read the piece.
 */
export class OpenObjects {
  readonly #limit: number;
  /** The one used last stands last. */
  readonly #opened = new Map<string, Opened>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  async use<T>(path: string, act: (handle: FileHandle) => Promise<T>): Promise<T> {
    const opened = this.#take(path);
    try {
      return await act(await opened.handle);
    } finally {
      opened.users -= 1;
      await this.#closeOldest();
    }
  }

  async close(): Promise<void> {
    const handles = [...this.#opened.values()];
    this.#opened.clear();
    for (const { handle } of handles) await (await handle).close();
  }

  #take(path: string): Opened {
    const opened = this.#opened.get(path) ?? this.#open(path);
    opened.users += 1;
    this.#opened.delete(path);
    this.#opened.set(path, opened);
    return opened;
  }

  #open(path: string): Opened {
    const opened: Opened = { handle: open(path, 'r'), users: 0 };
    // What cannot be opened is tried again by the next one who asks.
    opened.handle.catch(() => {
      if (this.#opened.get(path) === opened) this.#opened.delete(path);
    });
    return opened;
  }

  /** As long as there are more than shall be; one that is being read stays. */
  async #closeOldest(): Promise<void> {
    for (const [path, { handle, users }] of this.#opened) {
      if (this.#opened.size <= this.#limit) return;
      if (users > 0) continue;
      this.#opened.delete(path);
      await (await handle).close();
    }
  }
}
