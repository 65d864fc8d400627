/** The intervals of time that a server can be restored to, per timeline. */
import type { Lsn } from '../postgres/lsn.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import { postgresTimeToDate } from '../postgres/wal/postgres-time.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { backupsOnHistory, type BackupRecord } from './backup-catalog.ts';
import { coveredUntil } from './time-index.ts';
import type { WalInventory } from './wal-inventory.ts';
import { followWal } from './wal-path.ts';

export type RecoveryWindow = {
  readonly timeline: TimelineId;
  /** The end of the backup with which the window begins. */
  readonly from: Date;
  /** The last commit, or a later moment up to which the archive is known to be complete. */
  readonly to: Date;
  readonly fromLsn: Lsn;
  readonly toLsn: Lsn;
};

/**
 * A window per unbroken stretch of WAL behind an undamaged backup, for each timeline that has WAL of its own; it begins on
 * an older timeline when the backup does. Ascending by timeline, then LSN.
 */
export async function recoveryWindows(
  store: ObjectStore,
  inventory: WalInventory,
  backups: readonly BackupRecord[],
): Promise<RecoveryWindow[]> {
  const windows: RecoveryWindow[] = [];
  const usable = backups.filter(
    ({ damaged, incarnation }) => !damaged && incarnation === inventory.name,
  );
  for (const timeline of inventory.timelines.keys()) {
    windows.push(...(await windowsOf(store, inventory, { timeline, backups: usable })));
  }
  return windows;
}

async function windowsOf(
  store: ObjectStore,
  inventory: WalInventory,
  {
    timeline,
    backups,
  }: { readonly timeline: TimelineId; readonly backups: readonly BackupRecord[] },
): Promise<RecoveryWindow[]> {
  const history = inventory.histories.get(timeline);
  if (history === undefined) return [];
  const windows: RecoveryWindow[] = [];
  for (const backup of backupsOnHistory(backups, history)) {
    const last = windows.at(-1);
    if (last !== undefined && backup.startLsn <= last.toLsn) continue;
    const path = followWal(inventory, { timeline, from: backup.startLsn });
    if (path.end < backup.stopLsn || path.endTimeline !== timeline) continue;
    const covered = await coveredUntil(store, inventory, path);
    const from = backup.finishedAt;
    const until = covered === null ? from : postgresTimeToDate(covered);
    windows.push({
      timeline,
      from,
      to: until < from ? from : until,
      fromLsn: backup.stopLsn,
      toLsn: path.end,
    });
  }
  return windows;
}
