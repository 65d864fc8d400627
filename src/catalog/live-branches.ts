/** The timelines along which any moment of the recovery window is restored, and from where each needs its WAL. */
import { toLsn, type Lsn } from '../postgres/lsn.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { backupsOnHistory, type BackupRecord } from './backup-catalog.ts';
import type { KeptBackups } from './retention-policy.ts';
import { newestTimeline, type WalInventory } from './wal-inventory.ts';

export type LiveBranch = {
  readonly history: TimelineHistory;
  /** The backup that the window's first moments are restored from; null when none ended before it. */
  readonly base: BackupRecord | null;
  /** All WAL from here on is needed, as far as it goes. */
  readonly from: Lsn;
};

export type BranchFacts = {
  readonly inventory: WalInventory;
  /** When each timeline but the first branched off, or later; without an entry: unknown, as if it were now. */
  readonly forkedAt: ReadonlyMap<TimelineId, Date>;
  /** Of this incarnation, oldest first. */
  readonly backups: readonly BackupRecord[];
  readonly unsound: ReadonlyMap<BackupId, string>;
  /** What rules keep; a backup that only serves as a base does not keep its branch alive. */
  readonly kept: KeptBackups;
  readonly windowBegin: Date;
  /** Whether the window reaches back into this incarnation. */
  readonly isInWindow: boolean;
};

/** Timelines whose history is not known are no branches: see `canExpire` in `retention-plan.ts`. */
export function liveBranches(facts: BranchFacts): LiveBranch[] {
  return [...liveTimelines(facts)].flatMap((timeline) => {
    const history = facts.inventory.histories.get(timeline);
    return history === undefined ? [] : [branchOf(history, facts)];
  });
}

function liveTimelines({
  inventory,
  forkedAt,
  backups,
  kept,
  windowBegin,
  isInWindow,
}: BranchFacts): Set<TimelineId> {
  const live = new Set<TimelineId>();
  for (const { id, timeline, stopTimeline } of backups) {
    if (kept.has(id)) live.add(timeline).add(stopTimeline);
  }
  if (!isInWindow) return live;
  const newest = newestTimeline(inventory);
  if (newest !== null) live.add(newest);
  for (const [timeline, { ancestors }] of inventory.histories) {
    const parent = ancestors.at(-1)?.timeline;
    const forked = forkedAt.get(timeline);
    if (parent === undefined || (forked !== undefined && forked < windowBegin)) continue;
    live.add(timeline).add(parent);
  }
  return live;
}

function branchOf(
  history: TimelineHistory,
  { backups, unsound, kept, windowBegin }: BranchFacts,
): LiveBranch {
  const onHistory = backupsOnHistory(backups, history);
  const base = onHistory.findLast(
    ({ id, finishedAt }) => !unsound.has(id) && finishedAt <= windowBegin,
  );
  if (base !== undefined) return { history, base, from: base.startLsn };
  const oldestKept = onHistory.find(({ id }) => kept.has(id));
  return { history, base: null, from: oldestKept?.startLsn ?? toLsn(0n) };
}
