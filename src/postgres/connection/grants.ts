/**
 * What a role must be allowed to do so that files can be read and a backup started over SQL, and the statements that
 * allow it. Rights are checked on exact signatures: a grant on another one does not help.
 * https://www.postgresql.org/docs/current/functions-admin.html
 */
import type { MajorVersion } from '../version.ts';
import type { Session } from './session.ts';

export type GrantPurpose = 'local' | 'connection';

/** The functions that each way of taking a backup calls, by their exact signatures. */
export function requiredFunctions(purpose: GrantPurpose, majorVersion: MajorVersion): string[] {
  const around =
    majorVersion >= 15
      ? ['pg_backup_start(text, boolean)', 'pg_backup_stop(boolean)']
      : ['pg_start_backup(text, boolean, boolean)', 'pg_stop_backup(boolean, boolean)'];
  if (purpose === 'local') return around;
  return [
    ...around,
    'pg_ls_dir(text, boolean, boolean)',
    'pg_stat_file(text, boolean)',
    'pg_read_binary_file(text, bigint, bigint, boolean)',
  ];
}

/** `GRANT` statements for what the session's role lacks, each ending with a semicolon; empty when nothing is missing. */
export async function missingGrants(session: Session, purpose: GrantPurpose): Promise<string[]> {
  const functions = requiredFunctions(purpose, session.majorVersion);
  const rows = await session.query<{ function: string; role: string }>(
    `SELECT f AS function, quote_ident(current_user) AS role
       FROM unnest($1::text[]) AS f WHERE NOT has_function_privilege(('pg_catalog.' || f)::regprocedure, 'EXECUTE')`,
    { parameters: [functions], act: 'look up which functions the role may execute' },
  );
  return rows.map((row) => `GRANT EXECUTE ON FUNCTION pg_catalog.${row.function} TO ${row.role};`);
}
