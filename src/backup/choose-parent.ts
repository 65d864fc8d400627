/**
 * Which earlier backup a differential or incremental one may rest on. Anything that could mix in pages of a dead branch,
 * of another cluster or of the future rules a backup out; each rule has a test that fails without it.
 */
import { backupsOnHistory, type BackupRecord } from '../catalog/backup-catalog.ts';
import type { Lsn } from '../postgres/lsn.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import type { BackupId, BackupType } from '../repository/backup-id.ts';
import type { IncarnationName } from '../repository/layout.ts';
import type { Manifest } from '../repository/manifest.ts';

/** What must be the same in both backups. */
export type ClusterLayout = Pick<
  Manifest['cluster'],
  'blockBytes' | 'segmentBlocks' | 'walSegmentBytes' | 'dataChecksumVersion'
>;

export type ParentSearch = {
  readonly type: Exclude<BackupType, 'full'>;
  /** Oldest first. */
  readonly backups: readonly BackupRecord[];
  readonly incarnation: IncarnationName;
  /** Of the timeline that the new backup is on. */
  readonly history: TimelineHistory;
  /** Where the new backup starts. */
  readonly startLsn: Lsn;
  readonly layout: ClusterLayout;
};

export type ParentChoice = {
  /** Null when no backup will do. */
  readonly parent: BackupRecord | null;
  /** Newer ones that would have come first, and why they will not do. */
  readonly passedOver: readonly { readonly id: BackupId; readonly reason: string }[];
};

/** The newest usable backup; for a differential the newest usable full one. */
export function chooseParent(search: ParentSearch): ParentChoice {
  const passedOver: { id: BackupId; reason: string }[] = [];
  const onHistory = new Set(backupsOnHistory(search.backups, search.history));
  for (const backup of search.backups.toReversed()) {
    if (search.type === 'differential' && backup.manifest.type !== 'full') continue;
    const reason = obstacle(backup, search, onHistory.has(backup));
    if (reason === null) return { parent: backup, passedOver };
    passedOver.push({ id: backup.id, reason });
  }
  return { parent: null, passedOver };
}

function obstacle(
  backup: BackupRecord,
  { incarnation, startLsn, layout }: ParentSearch,
  isOnHistory: boolean,
): string | null {
  if (backup.incarnation !== incarnation) return 'it is of an earlier life of the server';
  if (backup.damaged) return 'it holds damaged pages';
  if (!isOnHistory) return "it is not on the history of the server's present timeline";
  if (backup.stopLsn > startLsn) return 'it ended behind the point where the new backup starts';
  const { cluster } = backup.manifest;
  if (cluster.dataChecksumVersion !== layout.dataChecksumVersion) {
    return 'data checksums were switched on or off since, which rewrites pages without WAL';
  }
  const isSameLayout =
    cluster.blockBytes === layout.blockBytes &&
    cluster.segmentBlocks === layout.segmentBlocks &&
    cluster.walSegmentBytes === layout.walSegmentBytes;
  return isSameLayout ? null : 'its pages or segments have another size';
}
