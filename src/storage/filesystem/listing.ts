import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { WalnutError } from '../../lib/walnut-error.ts';
import { isKeySegment, TEMPORARY_FOLDER } from '../object-key.ts';
import type { ObjectInfo } from '../object-store.ts';
import { assertPresent, explainFailure, isAbsent, type FilesystemRoot } from './error-mapping.ts';

/** Looked at together while listing; one at a time costs six times as much. */
const LOOKS_AT_ONCE = 64;

/** All objects below a prefix, with the names of one folder per level in memory. */
export async function* listObjects(
  root: FilesystemRoot,
  prefix: string,
): AsyncGenerator<ObjectInfo> {
  const names = await namesBelow(root, prefix);
  for (let begin = 0; begin < names.length; begin += LOOKS_AT_ONCE) {
    const keys = names.slice(begin, begin + LOOKS_AT_ONCE).map((name) => `${prefix}${name}`);
    const found = await Promise.all(
      keys.map(async (key) => (key.endsWith('/') ? key : infoOf(root, key))),
    );
    for (const item of found) {
      if (typeof item === 'string') yield* listObjects(root, item);
      else if (item !== null) yield item;
    }
  }
}

/**
 * Names directly below a prefix in byte order of the keys they begin: a folder sorts with its `/`, so `a-b` and `a.b`
 * come before what is in `a/`. Names that no key can have are no objects: lock files, `lost+found`, snapshots' folders.
 */
export async function namesBelow(root: FilesystemRoot, prefix: string): Promise<string[]> {
  const entries = await readEntries(root, prefix);
  return entries
    .filter(({ name }) => isKeySegment(name) && (prefix !== '' || name !== TEMPORARY_FOLDER))
    .map((entry) => {
      if (entry.isDirectory()) return `${entry.name}/`;
      if (entry.isFile()) return entry.name;
      throw notAnObject(root, `${prefix}${entry.name}`);
    })
    .toSorted();
}

async function readEntries(root: FilesystemRoot, prefix: string): Promise<Dirent[]> {
  try {
    return await readdir(join(root.path, prefix), { withFileTypes: true });
  } catch (error) {
    if (!isAbsent(error)) throw await explainFailure(error, `list objects ${prefix}`, root);
    await assertPresent(root);
    return [];
  }
}

async function infoOf(root: FilesystemRoot, key: string): Promise<ObjectInfo | null> {
  try {
    const { size, mtime } = await stat(join(root.path, key));
    return { key, sizeBytes: size, modifiedAt: mtime };
  } catch (error) {
    if (isAbsent(error)) return null;
    throw await explainFailure(error, `list object ${key}`, root);
  }
}

/**
 * Neither followed nor passed over: a link to a folder would show objects under two keys, and one that is not followed
 * would hide manifests; both make living objects look like rubbish to whoever deletes.
 */
function notAnObject(root: FilesystemRoot, key: string): WalnutError {
  return new WalnutError(
    'storage',
    `list object ${key} in ${root.path}: it is neither file nor folder`,
    {
      hint: 'A repository holds no symbolic links; put what it points to in its place. The repository folder itself may be a link.',
    },
  );
}
