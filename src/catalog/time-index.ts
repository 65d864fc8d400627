/**
 * Where a recovery target lies in the stored WAL, by the rules of PostgreSQL's recovery: `recoveryStopsBefore` and
 * `recoveryStopsAfter`, src/backend/access/transam/xlogrecovery.c. Times are µs since 2000-01-01 UTC, as in WAL.
 */
import { assert } from '../lib/assert.ts';
import { maxLsn, toLsn, type Lsn } from '../postgres/lsn.ts';
import { segmentNumberAt } from '../postgres/segment-name.ts';
import type { LsnRange } from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { IndexedTransaction } from '../postgres/wal/segment-index.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readArchiveProgress } from './archive-progress.ts';
import { findRecordFrom, lastRecordBefore, type RecordPlace } from './record-lookup.ts';
import { isCommit, transactionsEndingIn, type SegmentSummary } from './segment-summary.ts';
import type { WalInventory } from './wal-inventory.ts';
import { followWal, type WalPath } from './wal-path.ts';
import { WalScan } from './wal-scan.ts';

export type WalTarget =
  | { readonly kind: 'time'; readonly timeUs: number; readonly inclusive: boolean }
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

export type ReachedTarget = {
  readonly reached: true;
  /** The timeline to recover along, as asked. */
  readonly timeline: TimelineId;
  /** The timeline of that history whose file holds the stop. */
  readonly stopTimeline: TimelineId;
  /**
   * - `record`: PostgreSQL meets a record that ends recovery, so its own setting of the target's kind can be used;
   * - `end-of-wal`: recovery ends behind the last complete record: latest, or a time after the last commit that the
   *   archive is known to cover. Written as `recovery_target_lsn` = {@link recordLsn}, inclusive.
   */
  readonly by: 'record' | 'end-of-wal';
  /** Start of the record that ends recovery; for `end-of-wal` of the last complete record. */
  readonly recordLsn: Lsn;
  /** Whether that record is still replayed. */
  readonly recordReplayed: boolean;
  /** All WAL before this position is needed: the end of that record. */
  readonly neededLsn: Lsn;
  /** Name of the last segment that recovery reads. */
  readonly lastSegment: string;
  /** The last commit that the restored cluster holds, when one lies in the WAL replayed. */
  readonly lastCommit: IndexedTransaction | null;
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
  /** The latest moment that can be asked for; null when no record in the WAL there is carries a time. */
  readonly reachableUs: number | null;
};

export type TargetResolution = ReachedTarget | UnreachedTarget;

/**
 * Finds where recovery from `search` would stop.
 * @throws WalnutError `target-unreachable` when the timeline's history is unknown; `object-damaged` when a WAL object
 * that had to be read is damaged.
 */
export async function resolveTarget(
  store: ObjectStore,
  inventory: WalInventory,
  { target, search }: { readonly target: WalTarget; readonly search: WalSearch },
): Promise<TargetResolution> {
  const lookup = new TargetLookup(store, inventory, search);
  return lookup.resolve(target);
}

/**
 * The latest moment up to which recovery along a path is known to have everything: the last time in its records, or a
 * later one at which the archive was seen to be complete. Null when neither is known.
 */
export async function coveredUntil(
  store: ObjectStore,
  inventory: WalInventory,
  path: WalPath,
): Promise<number | null> {
  const lookup = new WalScan(store, inventory, path);
  let proven: number | null = null;
  for (let position = lookup.length - 1; position >= 0 && proven === null; position -= 1) {
    proven = (await lookup.summaryAt(position))?.provenUs ?? null;
  }
  const progress = await readArchiveProgress(store, inventory);
  const isSeen =
    progress !== null && progress.timeline === path.endTimeline && progress.lsn <= path.end;
  if (!isSeen) return proven;
  return Math.max(progress.completeUs, proven ?? progress.completeUs);
}

/**
 * Whether WAL is known to go on where a backup stopped: a record begins there or behind, in the same segment. False also
 * where only reading that segment would tell. What leads there is looked at as {@link resolveTarget} does.
 * @throws WalnutError as {@link resolveTarget}
 */
export async function isKnownToGoOn(
  store: ObjectStore,
  inventory: WalInventory,
  search: WalSearch,
): Promise<boolean> {
  return new TargetLookup(store, inventory, search).isKnownToGoOn();
}

type Stop = RecordPlace & {
  readonly position: number;
  readonly replayed: boolean;
  readonly by: ReachedTarget['by'];
};

/** A match, or the position of the first segment that does not continue the one before it, or neither. */
type Found = { readonly stop: Stop | null; readonly brokenAt: number | null };

class TargetLookup {
  readonly #store: ObjectStore;
  readonly #inventory: WalInventory;
  readonly #search: WalSearch;
  readonly #path: WalPath;
  readonly #scan: WalScan;

  constructor(store: ObjectStore, inventory: WalInventory, search: WalSearch) {
    this.#store = store;
    this.#inventory = inventory;
    this.#search = search;
    this.#path = followWal(inventory, { timeline: search.timeline, from: search.startLsn });
    this.#scan = new WalScan(store, inventory, this.#path);
  }

  async resolve(target: WalTarget): Promise<TargetResolution> {
    if (this.#path.end < this.#search.stopLsn) return this.#unreached('beyond-end', null);
    switch (target.kind) {
      case 'time':
        return this.#resolveTime(target);
      case 'xid':
        return this.#resolveTransaction(target);
      case 'name':
        return this.#resolveName(target.name);
      case 'lsn':
        return this.#resolveLsn(target);
      case 'latest':
        break;
    }
    // What lies behind a hole is later than its edge: "latest" would quietly be an earlier moment, and be promoted there.
    if (this.#path.hole !== null) return this.#unreached('hole', null);
    return this.#resolveEnd();
  }

  async isKnownToGoOn(): Promise<boolean> {
    const { stopLsn } = this.#search;
    await this.#findBreakBefore(stopLsn);
    const number = segmentNumberAt(stopLsn, this.#inventory.segmentBytes);
    const position = this.#path.segments.findIndex((segment) => segment.number === number);
    if (position < 0 || this.#path.segments[position]?.open !== null) return false;
    const { lastRecordLsn, validEnd } = (await this.#scan.factsAt(position)) ?? {};
    if (lastRecordLsn === undefined || validEnd === undefined) return false;
    return lastRecordLsn >= stopLsn && validEnd <= this.#path.end;
  }

  async #resolveTime(target: WalTarget & { kind: 'time' }): Promise<TargetResolution> {
    const { timeUs, inclusive } = target;
    const isLater = (time: number): boolean => (inclusive ? time > timeUs : time >= timeUs);
    const found = await this.#findTransaction({
      couldLieIn: ({ transactions }) => transactions !== null && isLater(transactions.maxUs),
      matches: (transaction) => isLater(transaction.timeUs),
      replayed: false,
    });
    if (found.stop !== null) return this.#reached(found.stop);
    if (found.brokenAt !== null) return this.#unreached('hole', found.brokenAt);
    const covered = await coveredUntil(this.#store, this.#inventory, this.#path);
    if (covered === null || timeUs > covered) return this.#unreached('beyond-end', null);
    return this.#resolveEnd();
  }

  async #resolveTransaction(target: WalTarget & { kind: 'xid' }): Promise<TargetResolution> {
    const { xid, inclusive } = target;
    const found = await this.#findTransaction({
      couldLieIn: ({ transactions }) =>
        transactions !== null && transactions.minXid <= xid && xid <= transactions.maxXid,
      matches: (transaction) => transaction.xid === xid,
      replayed: inclusive,
    });
    if (found.stop !== null) return this.#reached(found.stop);
    return this.#unreached('not-found', found.brokenAt);
  }

  async #resolveName(name: string): Promise<TargetResolution> {
    const found = await this.#find(async (summary, position) => {
      const point = summary.restorePoints.find(
        (candidate) => candidate.name === name && this.#isOnPath(candidate),
      );
      return point === undefined ? null : { ...point, position, replayed: true, by: 'record' };
    });
    if (found.stop !== null) return this.#reached(found.stop);
    return this.#unreached('not-found', found.brokenAt);
  }

  async #resolveLsn(target: WalTarget & { kind: 'lsn' }): Promise<TargetResolution> {
    const { lsn, inclusive } = target;
    if (lsn < this.#search.startLsn) return this.#unreached('before-start', null);
    const broken = await this.#findBreakBefore(lsn);
    if (broken.stop === null && broken.brokenAt !== null) {
      return this.#unreached('hole', broken.brokenAt);
    }
    const record = await findRecordFrom(this.#store, this.#inventory, { path: this.#path, lsn });
    if (record !== null) {
      return this.#reached({ ...record, replayed: inclusive, by: 'record' });
    }
    const last = await this.#lastRecord(this.#scan.length - 1);
    // Everything before the end of the last record is asked for, which is what there is.
    if (last !== null && lsn <= last.endLsn) return this.#reached(last);
    return this.#unreached('beyond-end', null);
  }

  async #resolveEnd(): Promise<TargetResolution> {
    const { brokenAt } = await this.#find(async () => null);
    if (brokenAt !== null) return this.#unreached('hole', brokenAt);
    const last = await this.#lastRecord(this.#scan.length - 1);
    return last === null ? this.#unreached('beyond-end', null) : this.#reached(last);
  }

  async #findTransaction(wanted: {
    readonly couldLieIn: (summary: SegmentSummary) => boolean;
    readonly matches: (transaction: IndexedTransaction) => boolean;
    readonly replayed: boolean;
  }): Promise<Found> {
    return this.#find(async (summary, position) => {
      if (!wanted.couldLieIn(summary)) return null;
      const match = (await this.#transactionsAt(position)).find((one) => wanted.matches(one));
      if (match === undefined) return null;
      return { ...match, position, replayed: wanted.replayed, by: 'record' };
    });
  }

  async #find(
    look: (summary: SegmentSummary, position: number) => Promise<Stop | null>,
  ): Promise<Found> {
    for (let position = 0; position < this.#scan.length; position += 1) {
      const summary = await this.#scan.summaryAt(position);
      if (summary === null) break;
      if (position > 0 && summary.joined === false) return { stop: null, brokenAt: position };
      const stop = await look(summary, position);
      if (stop !== null) return { stop, brokenAt: null };
    }
    return { stop: null, brokenAt: null };
  }

  async #findBreakBefore(lsn: Lsn): Promise<Found> {
    return this.#find(async (summary) =>
      summary.startLsn > lsn ? { ...NOWHERE, by: 'record' } : null,
    );
  }

  async #transactionsAt(position: number): Promise<IndexedTransaction[]> {
    const facts = await this.#scan.factsAt(position);
    if (facts === null) return [];
    const previous = await this.#scan.factsAt(position - 1);
    return transactionsEndingIn(facts, previous).filter((one) => this.#isOnPath(one));
  }

  #isOnPath({ lsn, endLsn }: RecordPlace): boolean {
    return lsn >= this.#search.startLsn && endLsn <= this.#path.end;
  }

  /** The last complete record at or before a segment of the path. */
  async #lastRecord(from: number): Promise<Stop | null> {
    for (let position = from; position >= 0; position -= 1) {
      const summary = await this.#scan.summaryAt(position);
      const record = await this.#lastRecordIn(summary, position);
      if (record === null) continue;
      if (record.lsn < this.#search.startLsn) return null;
      return { ...record, position, replayed: true, by: 'end-of-wal' };
    }
    return null;
  }

  async #lastRecordIn(
    summary: SegmentSummary | null,
    position: number,
  ): Promise<RecordPlace | null> {
    const segment = this.#path.segments[position];
    if (summary === null || segment === undefined || summary.lastRecord === null) return null;
    if (summary.lastRecord.endLsn <= this.#path.end) return summary.lastRecord;
    // The file goes on behind the point where the history leaves its timeline.
    return lastRecordBefore(this.#store, this.#inventory, { segment, end: this.#path.end });
  }

  async #reached(stop: Stop): Promise<TargetResolution> {
    const consistentAt = stop.replayed ? stop.endLsn : stop.lsn;
    if (consistentAt < this.#search.stopLsn) return this.#unreached('before-start', null);
    const segments = this.#path.segments;
    const size = BigInt(this.#inventory.segmentBytes);
    // A record that ends exactly with its segment does not need the next one.
    const lastNumber = (maxLsn(stop.endLsn, toLsn(1n)) - 1n) / size;
    const last = segments.find(({ number }) => number === lastNumber) ?? segments[stop.position];
    assert(last !== undefined, 'the record that ends recovery lies on the path');
    return {
      reached: true,
      timeline: this.#search.timeline,
      stopTimeline: last.timeline,
      by: stop.by,
      recordLsn: stop.lsn,
      recordReplayed: stop.replayed,
      neededLsn: stop.endLsn,
      lastSegment: last.name,
      lastCommit: await this.#lastCommitBefore(stop),
    };
  }

  async #lastCommitBefore(stop: Stop): Promise<IndexedTransaction | null> {
    const isBefore = (one: IndexedTransaction): boolean =>
      isCommit(one) && (stop.replayed ? one.endLsn <= stop.endLsn : one.endLsn <= stop.lsn);
    for (let position = stop.position; position >= 0; position -= 1) {
      const summary = await this.#scan.summaryAt(position);
      if ((summary?.transactions?.lastCommit ?? null) === null) continue;
      const found = (await this.#transactionsAt(position)).findLast((one) => isBefore(one));
      if (found !== undefined) return found;
    }
    return null;
  }

  async #unreached(
    reason: UnreachedTarget['reason'],
    brokenAt: number | null,
  ): Promise<UnreachedTarget> {
    const reachableUs = await coveredUntil(this.#store, this.#inventory, this.#path);
    const hole = brokenAt === null ? this.#path.hole : this.#brokenRange(brokenAt);
    const isCut = hole !== null && reason !== 'before-start';
    const reachableLsn = brokenAt === null || hole === null ? this.#path.end : hole.start;
    return { reached: false, reason: isCut ? 'hole' : reason, hole, reachableLsn, reachableUs };
  }

  #brokenRange(position: number): LsnRange | null {
    const segment = this.#path.segments[position];
    if (segment === undefined) return null;
    const size = BigInt(this.#inventory.segmentBytes);
    const start = toLsn(segment.number * size);
    return { timeline: segment.timeline, start, end: toLsn(start + size) };
  }
}

const NOWHERE = {
  lsn: toLsn(0n),
  endLsn: toLsn(0n),
  position: 0,
  replayed: false,
} as const;
