import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import type { BackupId, BackupType } from '../repository/backup-id.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { WalSupply } from './wal-supply.ts';

type SourceKind = Manifest['source'];

export type BackupOptions = {
  readonly store: ObjectStore;
  /** Name of the server in the repository. */
  readonly server: string;
  readonly connection: ConnectionSettings;
  /** Where Walnut runs on the database host: the data directory by its path there. */
  readonly dataDirectory: string | null;
  readonly backupFrom: 'primary' | 'standby' | 'prefer-standby';
  /** Null: incremental when a usable parent exists, else full. */
  readonly type: BackupType | null;
  readonly from: 'auto' | SourceKind;
  /** Share nothing with earlier backups: a full one that stores every page. */
  readonly fresh: boolean;
  /** Read also files that look untouched since the parent read them. */
  readonly paranoid: boolean;
  readonly jobs: number;
  readonly level: number;
  readonly checkpoint: 'fast' | 'spread';
  /** A name for people. */
  readonly name: string | null;
  readonly rateBytesPerSecond: number | null;
  readonly checkpointTimeoutMs: number;
  readonly walTimeoutMs: number;
  /** Brings WAL into the repository while the backup runs, unless someone else does. */
  readonly walSupply: WalSupply;
  readonly walnutVersion: string;
};

export type BackupOutcome = {
  readonly id: BackupId;
  readonly manifest: Manifest;
};
