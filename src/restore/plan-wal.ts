import type { WalInventory } from '../catalog/wal-inventory.ts';
import { followWal, type WalPathSegment } from '../catalog/wal-path.ts';
import type { BackupRecord } from '../catalog/backup-catalog.ts';
import { segmentNumberBefore } from '../postgres/segment-name.ts';
import { historyFileName } from '../postgres/timeline-history.ts';
import type { RecoveryEnd } from './recovery-end.ts';

export type PlannedWal = {
  readonly mode: 'fetch' | 'copy';
  /** In the order in which recovery reads them. */
  readonly segments: readonly WalPathSegment[];
  readonly firstSegment: string | null;
  readonly lastSegment: string | null;
  readonly segmentBytes: number;
  /** All that are stored, such as `00000002.history`: the promoted copy takes a number that is free. */
  readonly historyFiles: readonly string[];
};

/** The segments that recovery from the backup to its end reads. */
export function planWal(
  inventory: WalInventory,
  backup: BackupRecord,
  { end, mode }: { readonly end: RecoveryEnd; readonly mode: 'fetch' | 'copy' },
): PlannedWal {
  const { segmentBytes } = inventory;
  const path = followWal(inventory, { timeline: end.timeline, from: backup.startLsn });
  const lastNumber = segmentNumberBefore(end.neededLsn, segmentBytes);
  const segments = path.segments.filter(({ number }) => number <= lastNumber);
  return {
    mode,
    segments,
    firstSegment: segments[0]?.name ?? null,
    lastSegment: segments.at(-1)?.name ?? null,
    segmentBytes,
    historyFiles: [...inventory.histories.keys()]
      .filter((timeline) => timeline > 1)
      .map((timeline) => historyFileName(timeline)),
  };
}
