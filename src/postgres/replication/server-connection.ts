/** A connection that tells as much of the server as its role and pg_hba.conf allow. */
import { messageOf, WalnutError } from '../../lib/walnut-error.ts';
import type { ConnectionSettings } from '../connection/connection-settings.ts';
import { sqlStateOf } from '../connection/error-mapping.ts';
import { openSession } from '../connection/open-session.ts';
import { readServerFacts, type ServerFacts } from '../connection/server-facts.ts';
import type { Session, SessionOptions } from '../connection/session.ts';
import { bothRefused } from './both-refused.ts';
import { readReplicationFacts } from './replication-facts.ts';

/** Why the server takes no SQL from this role. */
export type SqlRefusal = {
  readonly reason: string;
  /** What would change that. */
  readonly hint: string | undefined;
};

export type ServerConnection = {
  /** Takes SQL exactly when {@link sqlRefusal} is null, else replication commands only. */
  readonly session: Session;
  readonly facts: ServerFacts;
  readonly sqlRefusal: SqlRefusal | null;
};

/** No such database. */
const INVALID_CATALOG_NAME = '3D000';

/**
 * Opens an ordinary session; where the server refuses the role that, as when pg_hba.conf has only a `replication` line
 * for it, a replication connection. When both are refused, the error names both and shows the lines to add.
 */
export async function connectToServer(
  settings: ConnectionSettings,
  options: Omit<SessionOptions, 'replication'>,
): Promise<ServerConnection> {
  const opened = await openServerSession(settings, options);
  const { session, sqlRefusal } = opened;
  try {
    const facts =
      sqlRefusal === null
        ? await readServerFacts(session)
        : await readReplicationFacts(session, settings.user);
    return { ...opened, facts };
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** The same without asking for the server's facts. */
export async function openServerSession(
  settings: ConnectionSettings,
  options: Omit<SessionOptions, 'replication'>,
): Promise<Pick<ServerConnection, 'session' | 'sqlRefusal'>> {
  try {
    return { session: await openSession(settings, options), sqlRefusal: null };
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!(error instanceof WalnutError) || !refusesSessions(error)) throw error;
    const session = await openPhysical(settings, options, error);
    return { session, sqlRefusal: { reason: messageOf(error), hint: error.hint } };
  }
}

/** The server was reached and did not want this role in this database; a physical connection has no database. */
function refusesSessions(error: WalnutError): boolean {
  return (
    error.code === 'authentication' ||
    error.code === 'permission' ||
    sqlStateOf(error) === INVALID_CATALOG_NAME
  );
}

async function openPhysical(
  settings: ConnectionSettings,
  options: Omit<SessionOptions, 'replication'>,
  first: WalnutError,
): Promise<Session> {
  try {
    return await openSession(settings, { ...options, replication: 'physical' });
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!(error instanceof WalnutError)) throw error;
    throw bothRefused(
      { error: first, how: `in database ${options.database ?? settings.database}` },
      { error, how: 'for replication' },
    );
  }
}
