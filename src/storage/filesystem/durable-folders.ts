import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { assertPresent, errorNumberOf, type FilesystemRoot } from './error-mapping.ts';

/** Folders remembered as durable; beyond it they are only synced once more. About 200 bytes each. */
const REMEMBERED_MAX = 20_000;

/** The folders below a repository: made when needed, and durable with all the levels above them. */
export class DurableFolders {
  readonly #root: FilesystemRoot;
  /** Path → identity of each folder whose own entry, and all above it, this process has made durable. */
  readonly #durable = new Map<string, string>();

  constructor(root: FilesystemRoot) {
    this.#root = root;
  }

  /** Makes a folder, given relative to the root, and those above it. `sync` makes it durable. */
  async make(folder: string): Promise<void> {
    // An unmounted repository must not be built anew on its bare mount point.
    await assertPresent(this.#root);
    const segments = folder.split('/');
    for (const [depth] of segments.entries()) {
      const path = join(this.#root.path, ...segments.slice(0, depth + 1));
      await mkdir(path, { mode: this.#root.folderMode }).catch((error: unknown) => {
        if (errorNumberOf(error) !== 'EEXIST') throw error;
      });
    }
  }

  /**
   * Makes the entries of a folder durable, and the folder's own entry, up to the root. Who made the folder does not
   * matter: another process may have made it a moment ago and not synced it yet.
   */
  async sync(folder: string): Promise<void> {
    const identity = await syncAndIdentify(join(this.#root.path, folder));
    if (folder === '.' || this.#durable.get(folder) === identity) return;
    await this.sync(dirname(folder));
    if (this.#durable.size >= REMEMBERED_MAX) this.#durable.clear();
    this.#durable.set(folder, identity);
  }
}

/** The birth time is part of it because file systems give an inode number to the next folder at once. */
async function syncAndIdentify(path: string): Promise<string> {
  const handle = await open(path, 'r');
  try {
    const { ino, birthtimeNs } = await handle.stat({ bigint: true });
    await handle.sync();
    return `${ino} ${birthtimeNs}`;
  } finally {
    await handle.close();
  }
}
