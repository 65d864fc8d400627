import { WalnutError } from '../../lib/walnut-error.ts';
import type { ConnectionSettings } from '../connection/connection-settings.ts';
import { hbaLineOf } from '../connection/error-mapping.ts';
import { openSession } from '../connection/open-session.ts';
import type { Session, SessionOptions } from '../connection/session.ts';
import { bothRefused } from './both-refused.ts';

export type ReplicationConnection = {
  readonly session: Session;
  /**
   * `database` where pg_hba.conf lets this role in by its database only: such a connection takes replication commands
   * just as well.
   */
  readonly kind: 'physical' | 'database';
  /** For the user: why the fall-back was taken; null for `physical`. */
  readonly fallback: string | null;
};

/**
 * Opens a connection for replication commands; falls back to `replication=database` when pg_hba.conf has no
 * `replication` line. When both fail, the error names both attempts and shows the lines to add.
 */
export async function openReplicationConnection(
  settings: ConnectionSettings,
  options: Omit<SessionOptions, 'replication'>,
): Promise<ReplicationConnection> {
  try {
    const session = await openSession(settings, { ...options, replication: 'physical' });
    return { session, kind: 'physical', fallback: null };
  } catch (error) {
    if (!(error instanceof WalnutError) || hbaLineOf(error) === null) throw error;
    const database = options.database ?? settings.database;
    const session = await openOverDatabase(settings, options, error);
    return {
      session,
      kind: 'database',
      fallback: `pg_hba.conf has no replication line for ${settings.user}, so replication runs over database ${database}`,
    };
  }
}

async function openOverDatabase(
  settings: ConnectionSettings,
  options: Omit<SessionOptions, 'replication'>,
  first: WalnutError,
): Promise<Session> {
  try {
    return await openSession(settings, { ...options, replication: 'database' });
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!(error instanceof WalnutError)) throw error;
    throw bothRefused(
      { error: first, how: 'for replication' },
      { error, how: `for replication over database ${options.database ?? settings.database}` },
    );
  }
}
