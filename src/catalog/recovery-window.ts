/** The intervals of time that a server can be restored to, per timeline. */
import type { Lsn } from '../postgres/lsn.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { BackupRecord } from './backup-catalog.ts';
import type { WalInventory } from './wal-inventory.ts';

export type RecoveryWindow = {
  readonly timeline: TimelineId;
  /** The end of the backup with which the window begins. */
  readonly from: Date;
  /** The last commit, or a later moment up to which the archive is known to be complete. */
  readonly to: Date;
  readonly fromLsn: Lsn;
  readonly toLsn: Lsn;
};

/** Undamaged backups count only. Windows that touch or overlap are one; ascending by timeline, then LSN. */
export declare function recoveryWindows(
  store: ObjectStore,
  inventory: WalInventory,
  backups: readonly BackupRecord[],
): Promise<RecoveryWindow[]>;
