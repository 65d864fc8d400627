import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../lib/durable-file.ts';
import { fileFailure, systemCodeOf } from './file-failure.ts';
import { rootFolders, type Locations } from './locations.ts';

/** Makes the folders that the cluster will occupy, for this process alone until they are settled. */
export async function prepareFolders(locations: Locations): Promise<void> {
  for (const root of rootFolders(locations)) {
    try {
      await makeDurably(root, 0o700);
    } catch (error) {
      throw fileFailure(error, `make folder ${root}`);
    }
  }
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
