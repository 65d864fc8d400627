import { must } from '../../lib/assert.ts';
import { parseLsn, type Lsn } from '../lsn.ts';
import type { Session } from './session.ts';

export type StoppedBackup = {
  readonly lsn: Lsn;
  /** Byte for byte as the server made them; the map is empty without tablespaces. */
  readonly backupLabel: Buffer;
  readonly tablespaceMap: Buffer;
};

/**
 * Puts the server into non-exclusive backup mode; it stays there until {@link stopBackup} on the same session, or until
 * the session ends. Waits for a checkpoint, which a spread one stretches over minutes. Answers the start LSN.
 */
export async function startBackup(session: Session, label: string, fast: boolean): Promise<Lsn> {
  const call =
    session.majorVersion >= 15 ? 'pg_backup_start($1, $2)' : 'pg_start_backup($1, $2, false)';
  const rows = await session.query<{ lsn: string }>(`SELECT ${call}::text AS lsn`, {
    parameters: [label, fast],
    act: 'start a backup on the server',
  });
  return parseLsn(must(rows[0], 'a backup start answers one row').lsn);
}

/**
 * Ends backup mode. Does not wait for `archive_command` unless asked: the caller waits on its own archive.
 * The texts are fetched as bytes of the database's encoding: paths in them need not be valid UTF-8.
 */
export async function stopBackup(session: Session, waitForArchive = false): Promise<StoppedBackup> {
  const call = session.majorVersion >= 15 ? 'pg_backup_stop($1)' : 'pg_stop_backup(false, $1)';
  const [row] = await session.query<{ lsn: string; label: Buffer; map: Buffer | null }>(
    `SELECT lsn::text, convert_to(labelfile, getdatabaseencoding()) AS label,
       convert_to(spcmapfile, getdatabaseencoding()) AS map FROM ${call}`,
    { parameters: [waitForArchive], act: 'stop the backup on the server' },
  );
  const { lsn, label, map } = must(row, 'a backup stop answers one row');
  return { lsn: parseLsn(lsn), backupLabel: label, tablespaceMap: map ?? Buffer.alloc(0) };
}

/** Writes a named point to restore to; names have at most 63 bytes. Answers the LSN after it. */
export async function createRestorePoint(session: Session, name: string): Promise<Lsn> {
  const rows = await session.query<{ lsn: string }>(
    'SELECT pg_create_restore_point($1)::text AS lsn',
    { parameters: [name], act: `create restore point "${name}"` },
  );
  return parseLsn(must(rows[0], 'a restore point answers one row').lsn);
}

/** How far the WAL of a primary is on its disk. */
export async function flushedLsn(session: Session): Promise<Lsn> {
  const rows = await session.query<{ lsn: string }>(
    'SELECT pg_current_wal_flush_lsn()::text AS lsn',
    { act: 'ask how far WAL is flushed' },
  );
  return parseLsn(must(rows[0], 'a position answers one row').lsn);
}

/** Ends the current WAL segment of a primary; answers the LSN where the old one ends. A fresh segment is left as it is. */
export async function switchWal(session: Session): Promise<Lsn> {
  const rows = await session.query<{ lsn: string }>('SELECT pg_switch_wal()::text AS lsn', {
    act: 'switch to a new WAL segment',
  });
  return parseLsn(must(rows[0], 'a WAL switch answers one row').lsn);
}

/**
 * The name of the relation that owns a file, as `schema.relation`, or null when this session's database has none such.
 * @param tablespaceOid 0 or the database's own default tablespace count as that default.
 */
export async function relationName(
  session: Session,
  tablespaceOid: number,
  relfilenode: number,
): Promise<string | null> {
  const rows = await session.query<{ name: string | null }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = pg_filenode_relation($1, $2)`,
    { parameters: [tablespaceOid, relfilenode], act: 'look a relation up by its file' },
  );
  return rows[0]?.name ?? null;
}
