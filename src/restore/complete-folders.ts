import { join } from 'node:path';
import { keptWalFolders } from '../postgres/cluster/excluded-paths.ts';
import { toMajorVersion } from '../postgres/version.ts';
import { locate } from './locations.ts';
import { ensureOwnedFolder, makeOwnedLink } from './owned-files.ts';
import type { RestorePlan } from './plan.ts';
import { REQUIRED_FOLDERS } from './required-folders.ts';

/** Makes the folders that the backup may lack because they were empty or left out, and the symbolic links. */
export async function completeFolders(plan: RestorePlan): Promise<void> {
  const { locations, owner, backup, content } = plan;
  const { dataDirectory, tablespaces, walDirectory } = locations;
  const { manifest } = backup;
  const mode = manifest.cluster.dataDirectoryMode & 0o777;
  const walFolders = keptWalFolders(toMajorVersion(manifest.majorVersion));
  for (const path of [...REQUIRED_FOLDERS, ...walFolders]) {
    await ensureOwnedFolder(locate(locations, path), { mode, owner });
  }
  for (const { oid, directory } of tablespaces) {
    const link = join(dataDirectory, 'pg_tblspc', String(oid));
    await makeOwnedLink(link, { target: directory, owner });
  }
  if (walDirectory !== null) {
    await makeOwnedLink(join(dataDirectory, 'pg_wal'), { target: walDirectory, owner });
  }
  for (const { path, directory } of content.links) {
    if (directory === null) continue;
    await makeOwnedLink(locate(locations, path), { target: directory, owner });
  }
}
