import type { WalInventory } from '../catalog/wal-inventory.ts';
import { formatLsn } from '../postgres/lsn.ts';
import {
  isOnHistory,
  rootHistory,
  type LsnRange,
  type TimelineHistory,
} from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { DamageLedger } from './damage-ledger.ts';
import type { BackupUse } from './load-backups.ts';

export type WalHits = {
  readonly ledger: DamageLedger;
  readonly inventory: WalInventory;
  /** Of this incarnation. */
  readonly backups: readonly BackupUse[];
};

/** Tells which backups lost WAL hits: those that need it to be restored at all, and those that end before it. */
export function hitByWal(
  { ledger, inventory, backups }: WalHits,
  key: string,
  lost: LsnRange,
): void {
  const { timeline, start, end } = lost;
  const history = inventory.histories.get(timeline) ?? rootHistory(timeline);
  const range = `WAL ${formatLsn(start)} to ${formatLsn(end)} of timeline ${timeline}`;
  ledger.hit(key, [], { what: range });
  for (const backup of backups) {
    if (backup.startLsn >= end || !isOnLine(backup, lost, history)) continue;
    const what =
      backup.stopLsn > start
        ? 'cannot be restored without it'
        : `cannot be recovered beyond ${formatLsn(start)} on timeline ${timeline}`;
    ledger.hit(key, [backup.id], { what, where: backup.id });
  }
}

/** Without its history file a timeline cannot be followed from its ancestors on. */
export function hitByHistory(
  { ledger, backups }: WalHits,
  key: string,
  timeline: TimelineId,
): void {
  const hit = backups.filter(
    (backup) => backup.timeline === timeline || backup.stopTimeline === timeline,
  );
  ledger.hit(
    key,
    hit.map(({ id }) => id),
    { what: `timeline ${timeline}: recovery cannot follow it` },
  );
}

/** Whether recovery from the backup reads the lost range: the backup lies on the line of timelines that leads there. */
function isOnLine(
  { timeline, stopTimeline, startLsn, stopLsn }: BackupUse,
  lost: LsnRange,
  history: TimelineHistory,
): boolean {
  if (timeline === lost.timeline || stopTimeline === lost.timeline) return true;
  const start = { timeline, start: startLsn, end: startLsn };
  const stop = { timeline: stopTimeline, start: stopLsn, end: stopLsn };
  return isOnHistory(history, start) && isOnHistory(history, stop);
}
