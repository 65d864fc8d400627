/**
 * Folders without which a server does not start; it makes none of them itself. Source: `subdirs` in
 * src/bin/initdb/initdb.c.
 */
export const REQUIRED_FOLDERS: readonly string[] = [
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
];
