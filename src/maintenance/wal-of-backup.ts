import { historyOf, holdsSegment, type WalInventory } from '../catalog/wal-inventory.ts';
import { servingTimeline } from '../catalog/wal-path.ts';
import { hasCode } from '../lib/walnut-error.ts';
import { maxLsn, minLsn, toLsn } from '../postgres/lsn.ts';
import {
  formatSegmentName,
  segmentNumberAt,
  segmentNumberBefore,
  segmentStart,
} from '../postgres/segment-name.ts';
import {
  historyFileName,
  switchPointOf,
  timelineAt,
  timelinesOf,
  type LsnRange,
  type TimelineHistory,
} from '../postgres/timeline-history.ts';
import { walKeys } from '../repository/layout.ts';
import type { BackupUse } from './load-backups.ts';

export type WalOfBackup = {
  /** Objects that hold the WAL from start to stop, and the histories that lead there. */
  readonly keys: readonly string[];
  /** What of start to stop is not stored; whole segments where none of it is. */
  readonly missing: readonly LsnRange[];
};

type BackupExtent = Pick<BackupUse, 'startLsn' | 'stopLsn' | 'stopTimeline'>;

/** The WAL without which a backup cannot be restored at all. */
export function walOfBackup(inventory: WalInventory, backup: BackupExtent): WalOfBackup {
  const history = knownHistory(inventory, backup);
  // A timeline that cannot be followed is reported as such.
  if (history === null) return { keys: [], missing: [] };
  const { segmentBytes, server, name: incarnation } = inventory;
  const keys = timelinesOf(history)
    .filter((timeline) => timeline > 1)
    .map((timeline) => walKeys.history(server, incarnation, historyFileName(timeline)));
  const missing: LsnRange[] = [];
  const first = segmentNumberAt(backup.startLsn, segmentBytes);
  const last = segmentNumberBefore(maxLsn(backup.stopLsn, toLsn(1n)), segmentBytes);
  for (let number = first; number <= last; number += 1n) {
    const start = segmentStart(number, segmentBytes);
    const end = segmentStart(number + 1n, segmentBytes);
    const timeline = servingTimeline(inventory, { timeline: history.timeline, number });
    const stored = timeline === null ? undefined : inventory.timelines.get(timeline);
    const begin = maxLsn(start, backup.startLsn);
    if (timeline === null || stored === undefined) {
      missing.push({ timeline: timelineAt(history, begin), start, end });
      continue;
    }
    const isWhole = holdsSegment(stored, number);
    if (isWhole) {
      const segment = formatSegmentName({ timeline, number }, segmentBytes);
      keys.push(walKeys.segment({ server, incarnation, timeline }, segment));
    }
    const open = stored.open.find((candidate) => candidate.number === number);
    if (!isWhole) keys.push(...(open?.parts ?? []).map(({ key }) => key));
    // What a parent's file holds behind the switch point is another life's WAL.
    const left = switchPointOf(history, timeline) ?? end;
    const held = minLsn(isWhole ? end : (open?.end ?? start), left);
    const needed = minLsn(end, backup.stopLsn);
    if (held < needed) missing.push({ timeline, start: maxLsn(held, start), end: needed });
  }
  return { keys, missing };
}

function knownHistory(
  inventory: WalInventory,
  { stopTimeline }: BackupExtent,
): TimelineHistory | null {
  try {
    return historyOf(inventory, stopTimeline);
  } catch (error) {
    if (!hasCode(error, 'target-unreachable')) throw error;
    return null;
  }
}
