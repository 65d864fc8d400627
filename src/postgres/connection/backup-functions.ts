/**
 * The server's functions around a base backup: the non-exclusive low-level API, whose two calls must come from one
 * session. https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-BACKUP
 */
import { WalnutError } from '../../lib/walnut-error.ts';
import { parseLsn, type Lsn } from '../lsn.ts';
import type { Session } from './session.ts';

export type StoppedBackup = {
  readonly lsn: Lsn;
  /** Byte for byte, as a restored data directory needs it. */
  readonly backupLabel: Buffer;
  readonly tablespaceMap: Buffer;
};

/**
 * Begins a backup; answers its start LSN when the checkpoint is done, which may take minutes unless `fast`. If the session
 * ends before {@link stopBackup}, the server ends the backup by itself.
 */
export async function startBackup(session: Session, label: string, fast: boolean): Promise<Lsn> {
  const sql =
    session.majorVersion >= 15
      ? 'SELECT pg_backup_start($1, $2) AS lsn'
      : 'SELECT pg_start_backup($1, $2, false) AS lsn';
  const rows = await session.query<{ lsn: string }>(sql, {
    parameters: [label, fast],
    act: 'start a backup',
  });
  return parseLsn(only(rows, 'start a backup').lsn);
}

/** Ends the backup of this session without waiting for the server's own archiver: Walnut waits on its repository. */
export async function stopBackup(session: Session): Promise<StoppedBackup> {
  const sql =
    session.majorVersion >= 15
      ? 'SELECT lsn, labelfile, spcmapfile FROM pg_backup_stop(false)'
      : 'SELECT lsn, labelfile, spcmapfile FROM pg_stop_backup(false, false)';
  const rows = await session.query<{ lsn: string; labelfile: string; spcmapfile: string }>(sql, {
    act: 'stop the backup',
  });
  const { lsn, labelfile, spcmapfile } = only(rows, 'stop the backup');
  return {
    lsn: parseLsn(lsn),
    backupLabel: Buffer.from(labelfile, 'utf8'),
    tablespaceMap: Buffer.from(spcmapfile, 'utf8'),
  };
}

/** Creates a named restore point; answers the LSN behind it. */
export async function createRestorePoint(session: Session, name: string): Promise<Lsn> {
  const rows = await session.query<{ lsn: string }>('SELECT pg_create_restore_point($1) AS lsn', {
    parameters: [name],
    act: `create restore point ${name}`,
  });
  return parseLsn(only(rows, 'create a restore point').lsn);
}

/** Ends the current WAL segment; answers the LSN behind the last WAL of the old one. Not on a standby. */
export async function switchWal(session: Session): Promise<Lsn> {
  const rows = await session.query<{ lsn: string }>('SELECT pg_switch_wal() AS lsn', {
    act: 'switch to a new WAL segment',
  });
  return parseLsn(only(rows, 'switch to a new WAL segment').lsn);
}

function only<Row>(rows: readonly Row[], act: string): Row {
  const [row] = rows;
  if (row === undefined) throw new WalnutError('postgresql', `${act}: the server answered no row`);
  return row;
}
