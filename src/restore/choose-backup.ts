import {
  backupsOnHistory,
  type BackupCatalog,
  type BackupRecord,
} from '../catalog/backup-catalog.ts';
import { isKnownToGoOn, resolveTarget, type TargetResolution } from '../catalog/time-index.ts';
import { historyOf, newestTimeline, type WalInventory } from '../catalog/wal-inventory.ts';
import { followWal } from '../catalog/wal-path.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { formatLsn, minLsn } from '../postgres/lsn.ts';
import { segmentNumberBefore } from '../postgres/segment-name.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import { postgresTimeToDate } from '../postgres/wal/postgres-time.ts';
import type { BackupId } from '../repository/backup-id.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { RecoveryEnd } from './recovery-end.ts';
import {
  beforeFirstBackup,
  futureTime,
  mentionEarlierClusters,
  noBackup,
  targetUnreached,
} from './refusals.ts';
import type { RestoreRequest } from './restore-request.ts';
import { describeTarget } from './target.ts';

export type ChoiceSources = {
  readonly store: ObjectStore;
  readonly catalog: BackupCatalog;
  /** Of the incarnation that is restored. */
  readonly inventory: WalInventory;
  readonly now: Date;
};

/** A backup that would have been nearer to the target, and why it is not used. */
export type PassedOver = { readonly id: BackupId; readonly reason: string };

export type BackupChoice = {
  readonly backup: BackupRecord;
  readonly end: RecoveryEnd;
  readonly passedOver: readonly PassedOver[];
};

type Wish = Pick<RestoreRequest, 'server' | 'backup' | 'target' | 'timeline'>;

/**
 * The backup to begin with, and where recovery from it ends: the one asked for, or the newest undamaged one that ended at
 * or before the target and lies on the target's history. Refuses what PostgreSQL would silently do otherwise.
 * @throws WalnutError `no-backup`, `target-unreachable`, `object-damaged`
 */
export async function chooseBackup(sources: ChoiceSources, wish: Wish): Promise<BackupChoice> {
  if (wish.target.kind === 'time' && postgresTimeToDate(wish.target.timeUs) > sources.now) {
    throw futureTime(wish, sources.now);
  }
  if (wish.backup !== null) return await chooseNamed(sources, wish, wish.backup);
  try {
    return await chooseNewest(sources, wish);
  } catch (error) {
    throw mentionEarlierClusters(error, wish, backupsOfEarlierClusters(sources, wish));
  }
}

/**
 * The newest backup of each earlier incarnation that may lead to the target. They are never taken unasked: another
 * cluster's LSNs, transaction ids and names say nothing about this one, and it takes other programs to start it.
 */
function backupsOfEarlierClusters(
  { catalog, inventory }: ChoiceSources,
  wish: Wish,
): BackupRecord[] {
  const newest = new Map<string, BackupRecord>();
  for (const backup of catalog.backups) {
    if (backup.incarnation === inventory.name || backup.damaged) continue;
    if (wish.target.kind === 'time' && isTooEarly(wish, backup)) continue;
    newest.set(backup.incarnation, backup);
  }
  return [...newest.values()];
}

async function chooseNamed(
  sources: ChoiceSources,
  wish: Wish,
  id: BackupId,
): Promise<BackupChoice> {
  const backup = sources.catalog.backups.find((each) => each.id === id);
  if (backup === undefined) throw unknownBackup(sources.catalog, id);
  const timeline = timelineForNamed(sources.inventory, wish, backup);
  const history = historyOf(sources.inventory, timeline);
  if (backupsOnHistory([backup], history).length === 0) {
    throw new WalnutError(
      'target-unreachable',
      `restore ${wish.server} along timeline ${timeline}: backup ${id} is not part of its history`,
      {
        hint:
          `The backup was made on timeline ${backup.timeline} from LSN ${formatLsn(backup.startLsn)} to ` +
          `${formatLsn(backup.stopLsn)}. Choose another backup, or --timeline current.`,
      },
    );
  }
  if (isTooEarly(wish, backup)) throw beforeFirstBackup(wish, backup);
  const resolution = await resolveFrom(sources, wish, { backup, timeline });
  if (!resolution.reached) throw targetUnreached(wish, backup, resolution);
  return { backup, end: endOf(wish, resolution), passedOver: [] };
}

async function chooseNewest(sources: ChoiceSources, wish: Wish): Promise<BackupChoice> {
  const { catalog, inventory } = sources;
  const own = catalog.backups.filter(({ incarnation }) => incarnation === inventory.name);
  if (own.length === 0) throw noBackup(wish.server, noBackupReason(catalog));
  const candidates = candidatesOf(inventory, wish, own).toReversed();
  const passedOver: PassedOver[] = catalog.unreadable.map(({ id, reason }) => ({ id, reason }));
  const failures: WalnutError[] = [];
  for (const { backup, timeline } of candidates) {
    if (isTooEarly(wish, backup)) continue;
    if (backup.damaged) {
      passedOver.push({ id: backup.id, reason: damageReason(backup) });
      continue;
    }
    const resolution = await resolveFrom(sources, wish, { backup, timeline });
    if (resolution.reached) {
      const newer = passedOver.filter(({ id }) => id > backup.id);
      return { backup, end: endOf(wish, resolution), passedOver: newer };
    }
    if (resolution.reason === 'before-start') continue;
    const failure = targetUnreached(wish, backup, resolution);
    failures.push(failure);
    // An older backup needs the same WAL and more, so it only helps where the target lies before this one.
    const mayLieBefore = resolution.reason === 'not-found' || wish.target.kind === 'immediate';
    if (!mayLieBefore) throw failure;
    passedOver.push({ id: backup.id, reason: failure.message });
  }
  throw (
    failures[0] ??
    noCandidate(
      wish,
      own,
      candidates.map(({ backup }) => backup),
    )
  );
}

type Candidate = { readonly backup: BackupRecord; readonly timeline: TimelineId };

/** The backups that lie on the history of the timeline to recover along, oldest first. */
function candidatesOf(
  inventory: WalInventory,
  wish: Wish,
  backups: readonly BackupRecord[],
): Candidate[] {
  if (wish.timeline === 'current') {
    return backups.map((backup) => ({ backup, timeline: backup.stopTimeline }));
  }
  const newest = newestTimeline(inventory) ?? backups.at(-1)?.stopTimeline;
  const timeline = wish.timeline === null || wish.timeline === 'latest' ? newest : wish.timeline;
  if (timeline === undefined) return [];
  const history = historyOf(inventory, timeline);
  return backupsOnHistory(backups, history).map((backup) => ({ backup, timeline }));
}

/** Without a wish: the newest timeline on whose history the backup lies. */
function timelineForNamed(inventory: WalInventory, wish: Wish, backup: BackupRecord): TimelineId {
  if (wish.timeline === 'current') return backup.stopTimeline;
  if (typeof wish.timeline === 'number') return wish.timeline;
  const newest = newestTimeline(inventory) ?? backup.stopTimeline;
  if (wish.timeline === 'latest') return newest;
  const fitting = [...inventory.histories]
    .filter(([, history]) => backupsOnHistory([backup], history).length > 0)
    .map(([timeline]) => timeline);
  return fitting.toSorted((first, second) => second - first)[0] ?? backup.stopTimeline;
}

/** PostgreSQL would accept such a time and stop later than asked: POSTGRES.md 0.2. */
function isTooEarly({ target }: Wish, backup: BackupRecord): boolean {
  if (target.kind === 'time') return postgresTimeToDate(target.timeUs) < backup.finishedAt;
  return target.kind === 'lsn' && target.lsn < backup.stopLsn;
}

async function resolveFrom(
  { store, inventory }: ChoiceSources,
  wish: Wish,
  { backup, timeline }: Candidate,
): Promise<TargetResolution> {
  const { startLsn, stopLsn } = backup;
  if (wish.target.kind === 'immediate') {
    const end = consistency(inventory, { backup, timeline });
    if (!end.reached) return end;
    const search = { timeline, startLsn, stopLsn };
    if (await isKnownToGoOn(store, inventory, search)) return end;
    // Asked for by its LSN, so that nothing behind the backup's end is read, which may be damaged and is not needed.
    const last = await resolveTarget(store, inventory, {
      target: { kind: 'lsn', lsn: stopLsn, inclusive: true },
      search,
    });
    // PostgreSQL notices that the cluster is consistent when it reads the next record. Where the stored WAL ends with the
    // backup (from a standby of an idle primary) there is none, and recovery would end FATAL: the last record is named.
    if (!last.reached || last.by === 'record') return end;
    return { ...end, by: 'end-of-wal', recordLsn: last.recordLsn };
  }
  return await resolveTarget(store, inventory, {
    target: wish.target,
    search: { timeline, startLsn, stopLsn },
  });
}

/** The end of the backup itself, which needs no record to be found. */
function consistency(inventory: WalInventory, { backup, timeline }: Candidate): TargetResolution {
  const { startLsn, stopLsn, stopTimeline } = backup;
  const path = followWal(inventory, { timeline, from: startLsn });
  if (path.end < stopLsn) {
    return {
      reached: false,
      reason: path.hole === null ? 'beyond-end' : 'hole',
      hole: path.hole,
      reachableLsn: path.end,
      reachableUs: null,
    };
  }
  const lastNumber = segmentNumberBefore(stopLsn, inventory.segmentBytes);
  const lastSegment = path.segments.find(({ number }) => number === lastNumber)?.name ?? '';
  return {
    reached: true,
    timeline,
    stopTimeline,
    by: 'record',
    recordLsn: minLsn(stopLsn, path.end),
    recordReplayed: true,
    neededLsn: stopLsn,
    lastSegment,
    lastCommit: null,
  };
}

function endOf(
  { target }: Wish,
  resolution: Extract<TargetResolution, { reached: true }>,
): RecoveryEnd {
  const isOpen = target.kind === 'immediate' && resolution.by === 'record';
  const by = isOpen ? 'consistency' : resolution.by;
  const { timeline, stopTimeline, neededLsn, lastSegment, lastCommit, recordLsn } = resolution;
  return { timeline, stopTimeline, neededLsn, lastSegment, lastCommit, recordLsn, by };
}

function noCandidate(
  wish: Wish,
  own: readonly BackupRecord[],
  onHistory: readonly BackupRecord[],
): WalnutError {
  const sound = onHistory.filter(({ damaged }) => !damaged).at(-1);
  if (sound !== undefined) return beforeFirstBackup(wish, sound);
  if (onHistory.length > 0) {
    return new WalnutError(
      'no-backup',
      `restore ${wish.server} to ${describeTarget(wish.target)}: every backup that could serve holds damaged pages`,
      {
        hint: `Name one with --backup ${onHistory[0]?.id} to restore it with its damage.`,
        details: { damaged: onHistory.map(({ id }) => id) },
      },
    );
  }
  const timelines = [...new Set(own.map(({ stopTimeline }) => stopTimeline))].join(', ');
  return new WalnutError(
    'target-unreachable',
    `restore ${wish.server} along timeline ${String(wish.timeline ?? 'latest')}: no backup lies on its history`,
    { hint: `There are backups on timeline ${timelines}: choose with --timeline or --backup.` },
  );
}

function unknownBackup(catalog: BackupCatalog, id: BackupId): WalnutError {
  const unreadable = catalog.unreadable.find((each) => each.id === id);
  if (unreadable !== undefined) {
    return new WalnutError(
      'object-damaged',
      `restore backup ${id}: its manifest cannot be read: ${unreadable.reason}`,
      { hint: 'Restore another backup (`walnut list`), and run `walnut verify`.' },
    );
  }
  const newest = catalog.backups.slice(-3).map((each) => each.id);
  return new WalnutError('no-backup', `restore backup ${id}: the repository has no such backup`, {
    hint:
      newest.length === 0
        ? 'The repository has no backup of this server.'
        : `The newest ones are ${newest.join(', ')}; \`walnut list\` shows all.`,
  });
}

function noBackupReason({ backups, unreadable }: BackupCatalog): string {
  if (backups.length > 0) {
    return (
      `the repository has no backup of its present incarnation; older ones, from before an upgrade or initdb, have to ` +
      `be named with --backup`
    );
  }
  return unreadable.length > 0
    ? `the manifest of its only backups cannot be read (${unreadable[0]?.reason})`
    : 'the repository has no backup of it';
}

function damageReason({ manifest }: BackupRecord): string {
  const count = manifest.totals.damagedPages;
  return `it holds ${count} damaged ${count === 1 ? 'page' : 'pages'}`;
}
