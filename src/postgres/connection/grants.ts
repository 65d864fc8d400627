import type { MajorVersion } from '../version.ts';
import type { Session } from './session.ts';

/** What a role wants to do. `local` and `connection` are the backup sources. */
export type GrantNeed = 'local' | 'connection' | 'switch-wal' | 'restore-point' | 'monitor';

/** The functions that a need calls, with the exact signatures that GRANT takes. */
export function functionsNeeded(need: GrantNeed, majorVersion: MajorVersion): readonly string[] {
  switch (need) {
    case 'local':
      return backupFunctions(majorVersion);
    case 'connection':
      return [
        ...backupFunctions(majorVersion),
        'pg_ls_dir(text, boolean, boolean)',
        'pg_stat_file(text, boolean)',
        'pg_read_binary_file(text, bigint, bigint, boolean)',
      ];
    case 'switch-wal':
      return ['pg_switch_wal()'];
    case 'restore-point':
      return ['pg_create_restore_point(text)'];
    case 'monitor':
      return [];
    default:
      return need satisfies never;
  }
}

function backupFunctions(majorVersion: MajorVersion): readonly string[] {
  return majorVersion >= 15
    ? ['pg_backup_start(text, boolean)', 'pg_backup_stop(boolean)']
    : ['pg_start_backup(text, boolean, boolean)', 'pg_stop_backup(boolean, boolean)'];
}

/**
 * The GRANT statements that the session's role lacks for a need, ready for a superuser to run; empty when none.
 * Function grants count in one database: the one that Walnut connects to.
 */
export async function missingGrants(session: Session, need: GrantNeed): Promise<string[]> {
  if (need === 'monitor') return missingMonitor(session);
  const rows = await session.query<{ signature: string; role: string }>(
    `SELECT signature, quote_ident(current_user) AS role FROM unnest($1::text[]) AS signature
     WHERE NOT has_function_privilege('pg_catalog.' || signature, 'EXECUTE')`,
    {
      parameters: [functionsNeeded(need, session.majorVersion)],
      act: 'ask for the privileges of the role',
    },
  );
  return rows.map(
    ({ signature, role }) => `GRANT EXECUTE ON FUNCTION pg_catalog.${signature} TO ${role};`,
  );
}

/** pg_monitor shows data_directory and the places of configuration files, sizes, and other sessions. */
async function missingMonitor(session: Session): Promise<string[]> {
  const rows = await session.query<{ role: string }>(
    `SELECT quote_ident(current_user) AS role WHERE NOT pg_has_role('pg_monitor', 'USAGE')`,
    { act: 'ask for the memberships of the role' },
  );
  return rows.map(({ role }) => `GRANT pg_monitor TO ${role};`);
}
