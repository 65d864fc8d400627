import type { MajorVersion } from '../version.ts';
import { CLUSTER_VERSIONS } from './cluster-versions.ts';
import { parseRelationName, relationFolder } from './relation-file.ts';

/** What stands in these folders is of no use after a restart, or wrong on a copy; the folders must exist. */
const EMPTIED_FOLDERS = new Set([
  'pg_stat_tmp',
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_subtrans',
]);

const EXCLUDED_NAMES = new Set([
  'postgresql.auto.conf.tmp',
  'current_logfiles.tmp',
  'backup_label',
  'tablespace_map',
  'backup_manifest',
  'postmaster.pid',
  'postmaster.opts',
  '.DS_Store',
]);

const EXCLUDED_PREFIXES = ['pg_internal.init', 'pgsql_tmp'];

/**
 * True for a folder that a backup keeps, but without its content: matched by its own name at any depth, as the server
 * does. A symbolic link of such a name becomes a plain folder.
 * Source: excludeDirContents in src/backend/backup/basebackup.c.
 * @param statsTempDirectory the setting of 13 and 14, relative to the data directory, when it lies inside.
 */
export function isEmptiedFolder(path: string, statsTempDirectory?: string): boolean {
  return path === 'pg_wal' || EMPTIED_FOLDERS.has(baseName(path)) || path === statsTempDirectory;
}

/** Folders that a backup contains though they lie in an emptied one, relative to the data directory. */
export function keptWalFolders(major: MajorVersion): string[] {
  return CLUSTER_VERSIONS[major].walFolders.map((name) => `pg_wal/${name}`);
}

/**
 * True for a file or folder that a backup leaves out by its name, at any depth. `backup_label` and `tablespace_map`
 * among them: those of a backup come from the server's stop function.
 * Source: excludeFiles and sendDir in src/backend/backup/basebackup.c.
 */
export function isExcludedName(path: string): boolean {
  const name = baseName(path);
  return EXCLUDED_NAMES.has(name) || EXCLUDED_PREFIXES.some((prefix) => name.startsWith(prefix));
}

/**
 * Tells those of the names in one folder that belong to temporary relations, or to unlogged ones, of which only the init
 * fork is backed up; none in a folder that holds no relations.
 * @param names all names in the folder: the init fork's tells that a relation is unlogged.
 */
export function excludedRelations(
  folder: string,
  names: readonly string[],
): (name: string) => boolean {
  if (relationFolder(folder) === null) return () => false;
  const unlogged = new Set<number>();
  for (const name of names) {
    if (!name.endsWith('_init')) continue;
    const relation = parseRelationName(name);
    if (relation !== null) unlogged.add(relation.relfilenode);
  }
  return (name) => {
    const relation = parseRelationName(name);
    if (relation === null) return false;
    return relation.isTemporary || (relation.fork !== 'init' && unlogged.has(relation.relfilenode));
  };
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
