import type { PasswordSource } from './password.ts';
import type { Secret } from './secret.ts';

export type RepositoryConfiguration = {
  readonly name: string;
  /** `file:///absolute/path`. */
  readonly url: string;
  /** The folder that the URL names, absolute. */
  readonly path: string;
};

export type WalMode = 'stream' | 'archive' | 'both';
export type BackupFrom = 'primary' | 'standby' | 'prefer-standby';

export type RetentionConfiguration = {
  readonly windowMs: number | null;
  readonly keep: {
    readonly full: number | null;
    readonly daily: number | null;
    readonly weekly: number | null;
    readonly monthly: number | null;
    readonly yearly: number | null;
  };
  readonly minimumRedundancy: number;
};

/** Cron expressions by job. */
export type ScheduleConfiguration = Readonly<Record<string, string>>;

export type ServerConfiguration = {
  readonly name: string;
  /** A connection URL or keyword/value string in libpq's words; it may hold a password. */
  readonly connection: Secret;
  /** Where the password comes from when the connection string has none; null: libpq's own ways only. */
  readonly password: PasswordSource | null;
  /** Absolute; null where Walnut does not run on the database host. */
  readonly dataDirectory: string | null;
  readonly repository: RepositoryConfiguration;
  readonly wal: WalMode;
  readonly slot: string;
  readonly applicationName: string;
  /** Absolute; the receiver's local, fsynced copy of what is not yet stored. */
  readonly spoolDirectory: string;
  readonly backupFrom: BackupFrom;
  readonly jobs: number;
  /** zstd level. */
  readonly level: number;
  /** Bytes a second; null for no limit. */
  readonly rateBytesPerSecond: number | null;
  readonly pieceIntervalMs: number;
  readonly connectTimeoutMs: number;
  /** How long a backup waits until the WAL it needs is stored. */
  readonly walTimeoutMs: number;
  /** How long a backup waits for the checkpoint that begins it. */
  readonly checkpointTimeoutMs: number;
  readonly retention: RetentionConfiguration;
  readonly schedule: ScheduleConfiguration | null;
};

/** A key that is accepted and checked but that this release does not act on. */
export type InactiveKey = { readonly key: string; readonly reason: string };

export type Configuration = {
  /** The file's absolute path; null when everything came from the environment. */
  readonly path: string | null;
  readonly repositories: ReadonlyMap<string, RepositoryConfiguration>;
  readonly servers: ReadonlyMap<string, ServerConfiguration>;
  readonly inactive: readonly InactiveKey[];
};
