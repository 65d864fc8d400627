/** The backups of a server, in the order in which they were made. */
import type { Lsn } from '../postgres/lsn.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from '../repository/backup-id.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { IncarnationName } from '../repository/layout.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export type BackupRecord = {
  readonly id: BackupId;
  readonly incarnation: IncarnationName;
  readonly manifest: Manifest;
  readonly manifestKey: string;
  readonly revision: number;
  readonly timeline: TimelineId;
  readonly startLsn: Lsn;
  readonly stopLsn: Lsn;
  /** Timeline of the stop. */
  readonly stopTimeline: TimelineId;
  /** By the database server's clock: no moment before this can be restored from the backup. */
  readonly finishedAt: Date;
  /** True when the backup holds pages that were damaged on the server. */
  readonly damaged: boolean;
};

export type DamagedBackup = { readonly id: BackupId; readonly reason: string };

export type BackupCatalog = {
  readonly server: string;
  /** By incarnation, then start LSN, oldest first. */
  readonly backups: readonly BackupRecord[];
  /** Backups whose manifest cannot be read. */
  readonly unreadable: readonly DamagedBackup[];
};

/** Attempts (folders without a manifest) are not listed. `unsupported` when a manifest is newer than this release. */
export declare function readBackupCatalog(
  store: ObjectStore,
  server: string,
): Promise<BackupCatalog>;

/** Backups from which a recovery along `history` can start: wholly on that history. Oldest first. */
export declare function backupsOnHistory(
  backups: readonly BackupRecord[],
  history: TimelineHistory,
): BackupRecord[];
