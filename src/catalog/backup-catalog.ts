/** The backups of a server, in the order in which they were made. */
import { hasCode } from '../lib/walnut-error.ts';
import { parseLsn, type Lsn } from '../postgres/lsn.ts';
import { isOnHistory, type TimelineHistory } from '../postgres/timeline-history.ts';
import { toTimelineId, type TimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { incarnationName, type IncarnationName } from '../repository/layout.ts';
import { loadManifest, type Manifest, type StoredManifest } from '../repository/manifest.ts';
import { listBackupIds, nameOfIncarnation, readServerRecord } from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** Manifests read at once: each takes a few round trips on a bucket. */
const READS_AT_ONCE = 8;

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
export async function readBackupCatalog(
  store: ObjectStore,
  server: string,
): Promise<BackupCatalog> {
  const ids = await listBackupIds(store, server);
  const backups: BackupRecord[] = [];
  const unreadable: DamagedBackup[] = [];
  for (let at = 0; at < ids.length; at += READS_AT_ONCE) {
    const some = ids.slice(at, at + READS_AT_ONCE);
    const read = await Promise.all(some.map(async (id) => readBackup(store, server, id)));
    for (const entry of read) {
      if (entry === null) continue;
      if ('reason' in entry) unreadable.push(entry);
      else backups.push(entry);
    }
  }
  const record = await readServerRecord(store, server);
  const ranks = new Map(
    record?.incarnations.map((incarnation, rank) => [nameOfIncarnation(incarnation), rank]),
  );
  return { server, backups: backups.toSorted(byAge(ranks)), unreadable };
}

/** Backups from which a recovery along `history` can start: wholly on that history. Oldest first. */
export function backupsOnHistory(
  backups: readonly BackupRecord[],
  history: TimelineHistory,
): BackupRecord[] {
  return backups.filter(({ timeline, startLsn, stopLsn, stopTimeline }) => {
    const begins = isOnHistory(history, { timeline, start: startLsn, end: startLsn });
    const end = { timeline: stopTimeline, start: stopLsn, end: stopLsn };
    if (!begins || !isOnHistory(history, end)) return false;
    return (
      timeline !== stopTimeline || isOnHistory(history, { timeline, start: startLsn, end: stopLsn })
    );
  });
}

async function readBackup(
  store: ObjectStore,
  server: string,
  id: BackupId,
): Promise<BackupRecord | DamagedBackup | null> {
  try {
    const stored = await loadManifest(store, server, id);
    return stored === null ? null : recordOf(stored);
  } catch (error) {
    if (!hasCode(error, 'object-damaged', 'object-missing')) throw error;
    return { id, reason: error.message };
  }
}

function recordOf({ key, revision, manifest }: StoredManifest): BackupRecord {
  return {
    id: manifest.id,
    incarnation: incarnationName(BigInt(manifest.systemIdentifier), manifest.majorVersion),
    manifest,
    manifestKey: key,
    revision,
    timeline: toTimelineId(manifest.timeline),
    startLsn: parseLsn(manifest.startLsn),
    stopLsn: parseLsn(manifest.stopLsn),
    stopTimeline: toTimelineId(manifest.stopTimeline),
    finishedAt: new Date(manifest.finishedAt),
    damaged: manifest.damage.length > 0,
  };
}

function byAge(
  ranks: ReadonlyMap<IncarnationName, number>,
): (first: BackupRecord, second: BackupRecord) => number {
  return (first, second) => {
    const rank = (ranks.get(first.incarnation) ?? -1) - (ranks.get(second.incarnation) ?? -1);
    if (rank !== 0) return rank;
    if (first.startLsn !== second.startLsn) return first.startLsn < second.startLsn ? -1 : 1;
    return first.id < second.id ? -1 : 1;
  };
}
