/** The errors with which a restore is refused, in one place so that they speak with one voice. */
import type { UnreachedTarget } from '../catalog/time-index.ts';
import type { BackupRecord } from '../catalog/backup-catalog.ts';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { postgresTimeToDate } from '../postgres/wal/postgres-time.ts';
import { describeTarget, formatClock, formatMoment, type RecoveryTarget } from './target.ts';

type Wish = { readonly server: string; readonly target: RecoveryTarget };

export function futureTime({ server, target }: Wish, now: Date): WalnutError {
  return new WalnutError(
    'target-unreachable',
    `restore ${server} to ${describeTarget(target)}: that time is still to come`,
    {
      hint: `It is now ${formatClock(now)}. Leave out --to-time to restore all stored WAL.`,
    },
  );
}

export function beforeFirstBackup(wish: Wish, oldest: BackupRecord): WalnutError {
  const end = `${formatClock(oldest.finishedAt)} (LSN ${formatLsn(oldest.stopLsn)})`;
  return new WalnutError(
    'target-unreachable',
    `restore ${wish.server} to ${describeTarget(wish.target)}: no usable backup had ended by then; the oldest one, ` +
      `${oldest.id}, ended at ${end}`,
    {
      hint: `Ask for a moment at or after ${end}; what was before the end of a backup cannot be restored from it.`,
      details: { backup: oldest.id, earliest: oldest.finishedAt.toISOString() },
    },
  );
}

export function noBackup(server: string, why: string): WalnutError {
  return new WalnutError('no-backup', `restore ${server}: ${why}`, {
    hint: `\`walnut list ${server}\` shows the backups; \`walnut backup ${server}\` makes one.`,
  });
}

/** Why no WAL leads from the backup to the target, and how far it does lead. */
export function targetUnreached(
  { server, target }: Wish,
  backup: BackupRecord,
  { reason, hole, reachableLsn, reachableUs }: UnreachedTarget,
): WalnutError {
  // The last commit may be older than the backup's end: such a time would be refused as well.
  const reachableTime =
    reachableUs === null || postgresTimeToDate(reachableUs) < backup.finishedAt
      ? null
      : formatMoment(reachableUs);
  const reach =
    reachableTime === null
      ? `LSN ${formatLsn(reachableLsn)}`
      : `LSN ${formatLsn(reachableLsn)}, time ${reachableTime}`;
  const missing =
    hole === null
      ? 'WAL is missing'
      : `WAL is missing from ${formatLsn(hole.start)} to ${formatLsn(hole.end)} on timeline ${hole.timeline}`;
  const why = {
    hole: `${missing}; without a hole it reaches only to ${reach}`,
    'beyond-end': `the stored WAL ends before it, at ${reach}`,
    'before-start': `it lies before the end of backup ${backup.id} (LSN ${formatLsn(backup.stopLsn)})`,
    'not-found': `it is nowhere in the stored WAL, which reaches to ${reach}`,
  }[reason];
  const tooEarly = reachableLsn < backup.stopLsn;
  return new WalnutError(
    'target-unreachable',
    `restore ${server} to ${describeTarget(target)} from backup ${backup.id}: ${why}`,
    {
      hint: tooEarly
        ? `That is before the end of the backup itself (LSN ${formatLsn(backup.stopLsn)}): choose an older backup with --backup.`
        : reachableTime === null
          ? `The furthest that can be restored is --to-lsn ${formatLsn(reachableLsn)}.`
          : `The furthest that can be restored is --to-time '${reachableTime}'.`,
      details: {
        reason,
        backup: backup.id,
        reachableLsn: formatLsn(reachableLsn),
        hole:
          hole === null
            ? null
            : {
                timeline: hole.timeline,
                fromLsn: formatLsn(hole.start),
                toLsn: formatLsn(hole.end),
              },
      },
    },
  );
}

/** Adds to a refusal where else the target may lie: on a cluster from before an upgrade or initdb, which is not searched. */
export function mentionEarlierClusters(
  error: unknown,
  { target }: Wish,
  backups: readonly BackupRecord[],
): unknown {
  const isAboutTarget = target.kind !== 'latest' && target.kind !== 'immediate';
  if (!hasCode(error, 'target-unreachable') || !isAboutTarget || backups.length === 0) return error;
  const names = backups
    .map(({ id, manifest }) => `--backup ${id} (PostgreSQL ${manifest.majorVersion})`)
    .join(', ');
  return new WalnutError(error.code, error.message, {
    hint: `${error.hint ?? ''} Only the present cluster was looked at; to look at one from before it, name its backup: ${names}.`.trim(),
    details: error.details,
    cause: error,
  });
}
