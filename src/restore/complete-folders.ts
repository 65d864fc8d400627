import { join } from 'node:path';
import { keptWalFolders } from '../postgres/cluster/excluded-paths.ts';
import { toMajorVersion } from '../postgres/version.ts';
import { locate } from './locations.ts';
import { ensureOwnedFolder, makeOwnedLink } from './owned-files.ts';
import type { RestorePlan } from './plan.ts';

/**
 * Folders without which a server does not start; it makes none of them itself. Source: `subdirs` in
 * src/bin/initdb/initdb.c.
 */
const REQUIRED_FOLDERS = [
  'global',
  'base',
  'pg_wal',
  'pg_commit_ts',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_subtrans',
  'pg_twophase',
  'pg_multixact',
  'pg_multixact/members',
  'pg_multixact/offsets',
  'pg_replslot',
  'pg_tblspc',
  'pg_stat',
  'pg_stat_tmp',
  'pg_xact',
  'pg_logical',
  'pg_logical/snapshots',
  'pg_logical/mappings',
] as const;

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
