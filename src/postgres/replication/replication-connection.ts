import { WalnutError } from '../../lib/walnut-error.ts';
import type { ConnectionSettings } from '../connection/connection-settings.ts';
import { isMissingHbaEntry } from '../connection/authorization-hints.ts';
import { openSession } from '../connection/open-session.ts';
import { serverMessageOf } from '../connection/server-error.ts';
import type { Session, SessionOptions } from '../connection/session.ts';

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
 * `replication` line. When both fail, the error shows the `replication` line to add.
 */
export async function openReplicationConnection(
  settings: ConnectionSettings,
  options: Omit<SessionOptions, 'replication'>,
): Promise<ReplicationConnection> {
  try {
    const session = await openSession(settings, { ...options, replication: 'physical' });
    return { session, kind: 'physical', fallback: null };
  } catch (error) {
    if (!(error instanceof WalnutError) || !lacksHbaEntry(error)) throw error;
    const session = await openOverDatabase(settings, options, error);
    return {
      session,
      kind: 'database',
      fallback: `pg_hba.conf has no replication line for ${settings.user}, so replication runs over database ${options.database ?? settings.database}`,
    };
  }
}

function lacksHbaEntry(error: WalnutError): boolean {
  const server = serverMessageOf(error.cause);
  return server !== null && isMissingHbaEntry(server);
}

async function openOverDatabase(
  settings: ConnectionSettings,
  options: Omit<SessionOptions, 'replication'>,
  first: WalnutError,
): Promise<Session> {
  try {
    return await openSession(settings, { ...options, replication: 'database' });
  } catch (error) {
    throw error instanceof WalnutError && lacksHbaEntry(error) ? first : error;
  }
}
