/** Where a recovery target lies in the stored WAL, by the rules of PostgreSQL's recovery (xlogrecovery.c). */
import type { Lsn } from '../postgres/lsn.ts';
import type { LsnRange } from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { WalInventory } from './wal-inventory.ts';

export type WalTarget =
  | { readonly kind: 'time'; readonly micros: bigint; readonly inclusive: boolean }
  | { readonly kind: 'lsn'; readonly lsn: Lsn; readonly inclusive: boolean }
  | { readonly kind: 'xid'; readonly xid: number; readonly inclusive: boolean }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'latest' };

/** Where recovery begins, and from where on a target may be met: the start and stop of the backup. */
export type WalSearch = {
  readonly timeline: TimelineId;
  readonly startLsn: Lsn;
  readonly stopLsn: Lsn;
};

/** Microseconds are since 1970-01-01 UTC. */
export type CommitMoment = {
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
  readonly micros: bigint;
  readonly xid: number;
};

export type ReachedTarget = {
  readonly reached: true;
  /** The timeline to recover along, as asked. */
  readonly timeline: TimelineId;
  /** The timeline of that history on which the stop lies. */
  readonly stopTimeline: TimelineId;
  /**
   * - `record`: PostgreSQL meets a record that ends recovery, so its own setting of the target's kind can be used;
   * - `end-of-wal`: recovery ends behind the last complete record: latest, or a time after the last commit that the
   *   archive is known to cover. Written as `recovery_target_lsn` = {@link lastRecordLsn}, inclusive.
   */
  readonly by: 'record' | 'end-of-wal';
  /** Start of the record that ends recovery; for `end-of-wal` the start of the last complete record. */
  readonly recordLsn: Lsn;
  /** Whether that record is still replayed. */
  readonly recordReplayed: boolean;
  /** All WAL before this position is needed: the end of that record. */
  readonly neededLsn: Lsn;
  /** Name of the last segment that recovery reads. */
  readonly lastSegment: string;
  /** The last commit that the restored cluster holds, when one lies in the WAL replayed. */
  readonly lastCommit: CommitMoment | null;
};

export type UnreachedTarget = {
  readonly reached: false;
  /**
   * `hole`: WAL is missing in between; `beyond-end`: WAL ends before the target; `before-start`: the target lies
   * before the stop of the backup; `not-found`: no such name or transaction in all the WAL there is.
   */
  readonly reason: 'hole' | 'beyond-end' | 'before-start' | 'not-found';
  readonly hole: LsnRange | null;
  /** How far recovery could get. */
  readonly reachableLsn: Lsn;
  /** The latest moment that can be asked for; null when no commit lies in the WAL there is. */
  readonly reachableMicros: bigint | null;
};

export type TargetResolution = ReachedTarget | UnreachedTarget;

/**
 * Finds where recovery from `search` would stop.
 * @throws WalnutError `target-unreachable` when the timeline's history is unknown; `object-damaged` when the facts of
 * a WAL object that had to be read are damaged.
 */
export declare function resolveTarget(
  store: ObjectStore,
  inventory: WalInventory,
  request: { readonly target: WalTarget; readonly search: WalSearch },
): Promise<TargetResolution>;
