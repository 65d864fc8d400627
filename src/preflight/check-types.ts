import type { BackupRecord } from '../catalog/backup-catalog.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import type { ServerConnection } from '../postgres/replication/server-connection.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** How the server is meant to be protected. */
export type ServerPlan = {
  readonly server: string;
  /** Absolute; null where Walnut does not run on the database host. */
  readonly dataDirectory: string | null;
  readonly backupFrom: 'primary' | 'standby' | 'prefer-standby';
  readonly wal: 'stream' | 'archive' | 'both';
  readonly slot: string;
  readonly spoolDirectory: string;
  /** What `archive_command` should be, for this installation and configuration. */
  readonly archiveCommand: string;
};

export type CheckRequest = ServerPlan & {
  /** Throws what makes the connection unknown, such as a password file that cannot be read. */
  readonly readConnection: () => Promise<ConnectionSettings>;
  /** Throws `repository-missing` when there is none. */
  readonly openRepository: () => Promise<ObjectStore>;
  /** Keys of the configuration that this release accepts and does not act on. */
  readonly inactiveKeys: readonly { readonly key: string; readonly reason: string }[];
  /** How long to wait until switched WAL is stored. */
  readonly proofTimeoutMs: number;
  readonly now: () => Date;
};

/** A server that answers: what takes no SQL is asked by replication commands, as far as there are any. */
export type CheckedServer = ServerConnection & {
  readonly plan: ServerPlan;
  readonly settings: ConnectionSettings;
  readonly signal: AbortSignal;
};

/** What the repository knows of the server; null parts could not be read. */
export type CheckedRepository = {
  readonly store: ObjectStore;
  /** Oldest first. */
  readonly backups: readonly BackupRecord[];
};
