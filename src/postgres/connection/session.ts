import type { MajorVersion } from '../version.ts';
import type { WalnutError } from '../../lib/walnut-error.ts';
import type { ExchangeReceiver, RawExchange } from './raw-exchange.ts';
import type { HostAddress } from './host-list.ts';
import type { ServerMessage } from './server-error.ts';

export type ReplicationMode = 'none' | 'physical' | 'database';

/** How a session is protected; null where it is not encrypted. */
export type SessionEncryption = {
  readonly protocol: string;
  readonly cipher: string;
};

/**
 * One connection to a PostgreSQL server, with the server's time-outs turned off for itself. Commands run one at a
 * time, in order. Every error is a WalnutError (see error-mapping.ts; details `sqlState`).
 */
export type Session = {
  /** The host of the list that was taken. */
  readonly host: HostAddress;
  readonly replication: ReplicationMode;
  readonly encryption: SessionEncryption | null;
  /** Such as 180004. */
  readonly serverVersionNum: number;
  readonly majorVersion: MajorVersion;
  /** What the server reports by ParameterStatus, kept up to date. */
  readonly parameters: ReadonlyMap<string, string>;
  /** Resolves when the connection is lost without {@link close}; never rejects. */
  readonly lost: Promise<WalnutError>;
  /**
   * Runs one statement. Values come as: int8 bigint; int2, int4, oid, float number; bool boolean; bytea Buffer (slow:
   * use COPY for much); json parsed; arrays of text as arrays; times, pg_lsn and all else as PostgreSQL's text.
   * With parameters not on a `physical` connection. `act` begins the message of an error, such as "list databases".
   */
  query<Row>(sql: string, options?: QueryOptions): Promise<Row[]>;
  /** Runs a command whose answer is read as raw messages; for replication commands and COPY. */
  exchange(command: string, receiver: ExchangeReceiver): RawExchange;
  /** Asks the server, over a second connection, to cancel what runs here. Resolves when asked, not when done. */
  cancel(): Promise<void>;
  /** Ends the connection; a running command is cut off. Idempotent. */
  close(): Promise<void>;
};

export type QueryOptions = {
  readonly parameters?: readonly unknown[];
  readonly act?: string;
};

export type SessionOptions = {
  /** Shown in pg_stat_activity; the connection string's application_name wins. */
  readonly applicationName: string;
  readonly replication?: Exclude<ReplicationMode, 'none'>;
  /** Aborts the opening, not the opened session. */
  readonly signal?: AbortSignal;
  /** Receives NOTICE and WARNING messages of the server. */
  readonly onNotice?: (notice: ServerMessage) => void;
  /** Chooses another database of the same server. */
  readonly database?: string;
  /**
   * Leaves search_path to the role's setting, for the user's own SQL. Else it is empty, so that no function of another
   * schema stands in for one of PostgreSQL's.
   */
  readonly keepSearchPath?: boolean;
  /** For who reads much by exchanges that say `copiesAtOnce`: reads go to one buffer, where nothing is encrypted. */
  readonly reusesReads?: boolean;
  /** Wins over the connection string's own: for synchronous standby names. */
  readonly forceApplicationName?: boolean;
};
