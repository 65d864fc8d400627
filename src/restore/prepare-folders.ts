import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder } from '../lib/durable-file.ts';
import { fileFailure, systemCodeOf } from './file-failure.ts';
import { rootFolders, type Locations } from './locations.ts';
import { writeOwnedFile } from './owned-files.ts';
import { UNFINISHED_MARKER } from './target-folder.ts';

/**
 * Makes the folders that the cluster will occupy, for this process alone until they are settled, and marks the data
 * directory as unfinished, so that an interrupted restore is recognised by the next attempt.
 */
export async function prepareFolders(locations: Locations, what: string): Promise<void> {
  const roots = rootFolders(locations);
  for (const root of roots) {
    try {
      await makeDurably(root, 0o700);
    } catch (error) {
      throw fileFailure(error, `make folder ${root}`);
    }
  }
  const others = roots.slice(1);
  await writeOwnedFile({
    path: join(locations.dataDirectory, UNFINISHED_MARKER),
    content: [
      `Walnut is restoring ${what} here, or was interrupted while it did.`,
      'Until this file is gone the cluster is not complete and must not be started.',
      ...(others.length === 0 ? [] : ['It also occupies:', ...others]),
      '',
    ].join('\n'),
    mode: 0o600,
    owner: null,
  });
  await syncFolder(locations.dataDirectory);
}

async function makeDurably(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeDurably(dirname(path), 0o755);
    await mkdir(path, { mode });
  }
  await syncFolder(dirname(path));
}
