import type { Session } from '../postgres/connection/session.ts';

type Row = { readonly file: string; readonly since: string };

/**
 * Says that the server's archiver fails, or null when its last attempt succeeded. A backup that took its WAL from pg_wal
 * itself would not notice, and what comes after it would not arrive.
 */
export async function failingArchiver(session: Session): Promise<string | null> {
  const [row] = await session.query<Row>(
    `SELECT last_failed_wal AS file, last_failed_time::text AS since FROM pg_stat_archiver
     WHERE last_failed_time > coalesce(last_archived_time, '-infinity')`,
    { act: 'ask for the state of the archiver' },
  );
  if (row === undefined) return null;
  return (
    `the server's archiver fails (last at ${row.since}, with ${row.file}): the WAL of this backup is stored, but no later ` +
    'WAL arrives, and nothing after the backup can be restored; the log of the server says what archive_command answers'
  );
}
