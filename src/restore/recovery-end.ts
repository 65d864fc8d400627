import type { ReachedTarget } from '../catalog/time-index.ts';
import type { RecoverySettingsTarget } from '../postgres/cluster/recovery-settings.ts';
import type { Lsn } from '../postgres/lsn.ts';
import type { RecoveryAction } from './restore-request.ts';
import type { RecoveryTarget } from './target.ts';

/** Where recovery will end, as the plan resolved it. */
export type RecoveryEnd = Pick<
  ReachedTarget,
  'timeline' | 'stopTimeline' | 'neededLsn' | 'lastSegment' | 'lastCommit' | 'recordLsn'
> & {
  /** `consistency`: as soon as the cluster is consistent, at the end of the backup. */
  readonly by: ReachedTarget['by'] | 'consistency';
};

/** 2000-01-01 UTC, in microseconds since 1970. */
const POSTGRES_EPOCH_MICROS = 946_684_800_000_000n;

/** What PostgreSQL is told, and what it does there. */
export type RecoveryOrder = {
  readonly target: RecoverySettingsTarget;
  readonly action: RecoveryAction;
};

export type OrderRequest = {
  readonly target: RecoveryTarget;
  readonly end: RecoveryEnd;
  /** Null: promote without a target, pause with one. */
  readonly wanted: RecoveryAction | null;
  /** Where the backup stopped: no earlier position is a possible target. */
  readonly consistentLsn: Lsn;
};

/** The target that makes recovery end where the plan says, and do there what was asked. */
export function recoveryOrder({ target, end, wanted, consistentLsn }: OrderRequest): RecoveryOrder {
  const action = wanted ?? (target.kind === 'latest' ? 'promote' : 'pause');
  if (target.kind === 'latest' && action === 'promote') return { target, action };
  // Without a record that PostgreSQL recognises as the target it would ignore the action (latest) or end FATAL (a time
  // after the last commit): POSTGRES.md 0.11. The start of the last complete record always is one.
  if (end.by === 'end-of-wal' || target.kind === 'latest') {
    return { target: { kind: 'lsn', lsn: end.recordLsn, inclusive: true }, action };
  }
  const stopsBefore = target.kind === 'time' || (target.kind === 'xid' && !target.inclusive);
  if (
    stopsBefore &&
    action === 'pause' &&
    end.lastCommit !== null &&
    end.lastCommit.lsn >= consistentLsn
  ) {
    // PostgreSQL stops just before the commit that is no longer wanted, with everything else of that transaction
    // replayed: after a DROP TABLE its lock keeps everybody from reading the table, which is what one paused for. The
    // last commit before is the same moment without that lock (docs/decisions/2026-11-23-pause-at-the-last-commit.md).
    return { target: { kind: 'lsn', lsn: end.lastCommit.lsn, inclusive: true }, action };
  }
  if (target.kind !== 'time') return { target, action };
  const { kind, timeUs, inclusive } = target;
  return { target: { kind, micros: BigInt(timeUs) + POSTGRES_EPOCH_MICROS, inclusive }, action };
}
