/** The session a backup hangs on, with what it must know of the server; refuses servers it cannot back up safely. */
import { isAbsolute } from 'node:path';
import { withTimeout } from '../lib/with-timeout.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import { openSession } from '../postgres/connection/open-session.ts';
import { readServerFacts, type ServerFacts } from '../postgres/connection/server-facts.ts';
import type { Session } from '../postgres/connection/session.ts';
import {
  connectToServer,
  type ServerConnection,
  type SqlRefusal,
} from '../postgres/replication/server-connection.ts';
import { readServerTime as readServerTimeByReplication } from '../postgres/replication/server-time.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { MajorVersion } from '../postgres/version.ts';
import type { Incarnation } from '../repository/repository.ts';
import type { BackupOptions } from './backup-options.ts';
import { admitServer } from './admit-server.ts';

const PAGE_BYTES = 8192;

export type BackupConnection = {
  /**
   * Stays open from start to stop: if it ends, so does the backup on the server. Takes SQL exactly when
   * {@link sqlRefusal} is null, else replication commands only.
   */
  readonly session: Session;
  /** Only source `stream` can do without SQL. */
  readonly sqlRefusal: SqlRefusal | null;
  readonly facts: ServerFacts;
  readonly incarnation: Incarnation;
  readonly systemIdentifier: bigint;
  readonly majorVersion: MajorVersion;
  readonly serverVersionNum: number;
  readonly timeline: TimelineId;
  /** Null where the connection does not tell. */
  readonly isStandby: boolean | null;
  /** Tablespaces inside the data directory, relative to it. */
  readonly innerTablespaces: ReadonlySet<string>;
  serverTime(): Promise<Date>;
  /** Bytes of all tablespaces, or null when the role may not ask. */
  expectedBytes(): Promise<number | null>;
  close(): Promise<void>;
};

export async function connectForBackup(
  options: BackupOptions,
  signal: AbortSignal,
): Promise<BackupConnection> {
  const targetSessionAttrs = {
    primary: 'primary',
    standby: 'standby',
    'prefer-standby': 'prefer-standby',
  } as const;
  const several = options.connection.hosts.length > 1 || options.backupFrom !== 'primary';
  const settings = several
    ? { ...options.connection, targetSessionAttrs: targetSessionAttrs[options.backupFrom] }
    : options.connection;
  const connection = await open(settings, options.from, signal);
  try {
    requireSupported(connection.facts);
    const incarnation = await admitServer(options.store, options.server, connection.facts);
    return describe(connection, incarnation);
  } catch (error) {
    await connection.session.close();
    throw error;
  }
}

/** Sources that run functions on the server are of no use without SQL. */
async function open(
  settings: ConnectionSettings,
  from: BackupOptions['from'],
  signal: AbortSignal,
): Promise<ServerConnection> {
  const sessionOptions = { applicationName: 'walnut backup', signal };
  if (from === 'auto' || from === 'stream') return connectToServer(settings, sessionOptions);
  const session = await openSession(settings, sessionOptions);
  try {
    return { session, facts: await readServerFacts(session), sqlRefusal: null };
  } catch (error) {
    await session.close();
    throw error;
  }
}

function describe(
  { session, facts, sqlRefusal }: ServerConnection,
  incarnation: Incarnation,
): BackupConnection {
  const hasSql = sqlRefusal === null;
  return {
    session,
    sqlRefusal,
    facts,
    incarnation,
    systemIdentifier: facts.systemIdentifier,
    majorVersion: session.majorVersion,
    serverVersionNum: facts.serverVersionNum,
    timeline: facts.timeline,
    isStandby: facts.isInRecovery,
    innerTablespaces: innerTablespaces(facts),
    serverTime: async () =>
      hasSql ? readServerTime(session) : readServerTimeByReplication(session),
    expectedBytes: async () => (hasSql ? readExpectedBytes(session) : null),
    close: async () => session.close(),
  };
}

function requireSupported(facts: ServerFacts): void {
  if (facts.blockBytes !== PAGE_BYTES) {
    throw new WalnutError(
      'unsupported',
      `back up a cluster with pages of ${facts.blockBytes} bytes`,
      {
        hint: 'Walnut supports the standard page size of 8192 bytes only; use pg_basebackup for this server.',
      },
    );
  }
  const level = facts.settings['wal_level'];
  if (level === 'minimal') {
    throw new WalnutError('unsupported', 'back up a server with wal_level = minimal', {
      hint: "Run ALTER SYSTEM SET wal_level = 'replica' and restart the server.",
    });
  }
}

async function readServerTime(session: Session): Promise<Date> {
  const rows = await session.query<{ ms: string }>(
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint::text AS ms',
    { act: 'ask the server for its time' },
  );
  return new Date(Number(rows[0]?.ms));
}

async function readExpectedBytes(session: Session): Promise<number | null> {
  try {
    const rows = await session.query<{ bytes: string }>(
      'SELECT sum(pg_tablespace_size(oid))::text AS bytes FROM pg_tablespace',
      { act: 'ask for the size of the cluster' },
    );
    return Number(rows[0]?.bytes);
  } catch {
    // Only an estimate for the progress bar; a role without pg_monitor may not ask.
    return null;
  }
}

function innerTablespaces({ dataDirectory, tablespaces }: ServerFacts): ReadonlySet<string> {
  const inside = (tablespaces ?? [])
    .filter(({ location }) => isAbsolute(location) && dataDirectory !== null)
    .filter(({ location }) => location.startsWith(`${dataDirectory}/`))
    .map(({ location }) => location.slice(`${dataDirectory}/`.length));
  return new Set(inside);
}

/** Waits for the checkpoint with a limit; the server waits as long as it takes. */
export async function withCheckpointLimit<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  return withTimeout(work, timeoutMs, () => {
    throw new WalnutError(
      'timeout',
      `wait for the checkpoint that begins the backup: not done after ${Math.round(timeoutMs / 1000)} s`,
      {
        hint: 'Use --checkpoint fast, or raise checkpoint_timeout in walnut.toml for a slow spread checkpoint.',
      },
    );
  });
}
