import { mkdir, open, rm, rmdir, stat, type FileHandle } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { assert } from '../../lib/assert.ts';
import { syncFolder } from '../../lib/durable-file.ts';
import { readFully } from '../../lib/read-fully.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import { checkKey, checkPrefix } from '../object-key.ts';
import type {
  FilesystemDescription,
  Lease,
  LeaseOwner,
  ObjectInfo,
  ObjectStore,
  ObjectWriter,
  StoreOptions,
  StoreProperties,
} from '../object-store.ts';
import { DurableFolders } from './durable-folders.ts';
import {
  assertPresent,
  errorNumberOf,
  explainFailure,
  freeBytesAt,
  isAbsent,
  repositoryMissing,
  type FilesystemRoot,
} from './error-mapping.ts';
import { acquireFilesystemLease } from './filesystem-lease.ts';
import { openWriter, type FilesystemWriter } from './filesystem-writer.ts';
import { listObjects, namesBelow } from './listing.ts';
import { OpenObjects } from './open-objects.ts';
import { removeStaleTemporaries } from './temporary-file.ts';

/** A sync that failed once may have met a bad sector: the second copy lies elsewhere. More would hide a dying disk. */
const PUT_ATTEMPTS_MAX = 2;

/**
 * Opens an existing repository folder. `repository-missing` when there is none.
 *
 * New objects are readable by the group exactly when the repository's folder is (0600 or 0640, folders 0700 or 0750,
 * less what the umask takes away), so that `chmod g+rx,g+s` on that one folder lets a restore run as another user of
 * its group. Others never get access: a backup holds everything that the database holds.
 */
export async function openFilesystemStore(
  description: FilesystemDescription,
  options: StoreOptions = {},
): Promise<ObjectStore> {
  const { path } = description;
  assert(isAbsolute(path), `repository path ${path} is absolute`);
  const info = await stat(path, { bigint: true }).catch((error: unknown) => {
    if (errorNumberOf(error) === 'ENOENT') throw repositoryMissing(path, error);
    throw new WalnutError('storage', `open repository folder ${path}: it cannot be read`, {
      cause: error,
    });
  });
  if (!info.isDirectory()) {
    throw new WalnutError('storage', `open repository folder ${path}: it is not a folder`);
  }
  const mode = Number(info.mode);
  const root = {
    path,
    inode: info.ino,
    fileMode: 0o600 | (mode & 0o040),
    folderMode: 0o700 | (mode & 0o050),
  };
  return new FilesystemStore(root, options);
}

/**
 * Makes a repository's folder, for its owner alone, and the folders above it that are missing, all durable. A folder
 * that is already there stays as it is.
 */
export async function createFilesystemFolder(description: FilesystemDescription): Promise<void> {
  const { path } = description;
  assert(isAbsolute(path), `repository path ${path} is absolute`);
  try {
    await makeFolder(path, 0o700);
  } catch (error) {
    const parent = dirname(path);
    const root = { path: parent, inode: 0n, fileMode: 0o600, folderMode: 0o700 };
    const code = errorNumberOf(error);
    // Nothing was opened yet, so a vanished parent is not a vanished repository.
    if (code !== 'ENOENT')
      throw await explainFailure(error, `make repository folder ${path}`, root);
    throw new WalnutError('storage', `make repository folder ${path}: ${parent} vanished`, {
      cause: error,
    });
  }
}

async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    const code = errorNumberOf(error);
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolder(dirname(path), 0o755);
    await mkdir(path, { mode });
  }
  await syncFolder(dirname(path));
}

class FilesystemStore implements ObjectStore {
  readonly properties: StoreProperties = { partBytesMin: 1 << 20, concurrency: 4, isLocal: true };
  readonly description: FilesystemDescription;
  readonly #root: FilesystemRoot;
  readonly #folders: DurableFolders;
  readonly #leases = new Set<Lease>();
  /** Null where each read opens its object. */
  readonly #opened: OpenObjects | null;

  constructor(root: FilesystemRoot, { objectsKeptOpen = 0 }: StoreOptions) {
    this.description = { kind: 'filesystem', path: root.path };
    this.#root = root;
    this.#folders = new DurableFolders(root);
    this.#opened = objectsKeptOpen > 0 ? new OpenObjects(objectsKeptOpen) : null;
  }

  async beginWrite(key: string): Promise<ObjectWriter> {
    return this.#openWriter(key, 'link');
  }

  async put(key: string, content: Uint8Array): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const writer = await this.#openWriter(key, 'link');
      try {
        await writer.writePart(content);
        await writer.commit();
        return;
      } catch (error) {
        if (!writer.isContentLost || attempt === PUT_ATTEMPTS_MAX) throw error;
      }
    }
  }

  async replace(key: string, content: Uint8Array): Promise<void> {
    const writer = await this.#openWriter(key, 'rename');
    await writer.writePart(content);
    await writer.commit();
  }

  async read(key: string, offset: number, into: Uint8Array): Promise<number> {
    const act = async (handle: FileHandle): Promise<number> => readFully(handle, offset, into);
    const opened = this.#opened;
    if (opened === null) return this.#withObject(key, act);
    checkKey(key);
    return this.#explained(key, async () => opened.use(join(this.#root.path, key), act));
  }

  async get(key: string, maxBytes: number): Promise<Buffer> {
    return this.#withObject(key, async (handle) => {
      const info = await handle.stat();
      if (info.isDirectory()) throw noObject(key);
      const { size } = info;
      if (size > maxBytes) {
        throw new WalnutError(
          'object-damaged',
          `read object ${key}: its ${size} bytes exceed the limit of ${maxBytes}`,
        );
      }
      const content = Buffer.allocUnsafe(size);
      const length = await readFully(handle, 0, content);
      if (length === size) return content;
      throw new WalnutError(
        'object-damaged',
        `read object ${key}: it ended after ${length} of ${size} bytes`,
      );
    });
  }

  async stat(key: string): Promise<ObjectInfo | null> {
    checkKey(key);
    try {
      const info = await stat(join(this.#root.path, key));
      if (!info.isFile()) return null;
      return { key, sizeBytes: info.size, modifiedAt: info.mtime };
    } catch (error) {
      if (!isAbsent(error)) throw await explainFailure(error, `look at object ${key}`, this.#root);
      await assertPresent(this.#root);
      return null;
    }
  }

  list(prefix: string): AsyncIterable<ObjectInfo> {
    checkPrefix(prefix);
    return listObjects(this.#root, prefix);
  }

  async listFolder(prefix: string): Promise<string[]> {
    checkPrefix(prefix);
    return namesBelow(this.#root, prefix);
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    try {
      await rm(join(this.#root.path, key)).catch(ignoreAbsent);
      const folder = dirname(key);
      // Also when the object was gone already: whoever removed it may not have synced the folder yet.
      await this.#folders.sync(folder).catch(ignoreAbsent);
      await this.#removeEmptyFolders(folder);
    } catch (error) {
      throw await explainFailure(error, `delete object ${key}`, this.#root);
    }
    await assertPresent(this.#root);
  }

  async acquireLease(key: string, owner: LeaseOwner): Promise<Lease> {
    checkKey(key);
    const lease = await acquireFilesystemLease({
      root: this.#root,
      folders: this.#folders,
      key,
      owner,
      store: this,
    });
    this.#leases.add(lease);
    return lease;
  }

  async removeStaleTemporaries(olderThanMs: number): Promise<string[]> {
    return removeStaleTemporaries(this.description, olderThanMs);
  }

  async freeBytes(): Promise<number> {
    try {
      return await freeBytesAt(this.#root.path);
    } catch (error) {
      throw await explainFailure(error, 'ask for free space', this.#root);
    }
  }

  async close(): Promise<void> {
    for (const lease of this.#leases) {
      assert(!(await lease.isHeld()), `lease ${lease.key} is released before its store is closed`);
    }
    this.#leases.clear();
    await this.#opened?.close();
  }

  async #openWriter(key: string, placing: 'link' | 'rename'): Promise<FilesystemWriter> {
    checkKey(key);
    return openWriter({ root: this.#root, folders: this.#folders, key, placing });
  }

  async #withObject<T>(key: string, act: (handle: FileHandle) => Promise<T>): Promise<T> {
    checkKey(key);
    return this.#explained(key, async () => {
      const handle = await open(join(this.#root.path, key), 'r');
      try {
        return await act(handle);
      } finally {
        await handle.close();
      }
    });
  }

  async #explained<T>(key: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      const isMissing = isAbsent(error) || errorNumberOf(error) === 'EISDIR';
      if (!isMissing) throw await explainFailure(error, `read object ${key}`, this.#root);
      await assertPresent(this.#root);
      throw noObject(key, error);
    }
  }

  /** A folder is nothing by itself: the last object takes it along, as in a bucket. Not synced: a crash may bring it back. */
  async #removeEmptyFolders(deepest: string): Promise<void> {
    for (let folder = deepest; folder !== '.'; folder = dirname(folder)) {
      try {
        await rmdir(join(this.#root.path, folder));
      } catch (error) {
        // Mostly because it is not empty; the object itself is gone, so no reason is worth an error.
        if (!isAbsent(error)) return;
      }
    }
  }
}

function noObject(key: string, cause?: unknown): WalnutError {
  return new WalnutError('object-missing', `read object ${key}: there is none`, { cause });
}

function ignoreAbsent(error: unknown): void {
  if (!isAbsent(error)) throw error;
}

/** Answers the bytes read: fewer than asked only at the end of the file. */
