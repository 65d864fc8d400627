/** Which WAL of one incarnation the repository holds, found out from the names and heads of the stored objects. */
import type { Lsn } from '../postgres/lsn.ts';
import type { LsnRange, TimelineHistory } from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { IncarnationName } from '../repository/layout.ts';
import type { Incarnation } from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export type WalScope = {
  readonly server: string;
  readonly incarnation: Incarnation;
};

/** An object that holds the bytes [offset, offset + length) of a segment that is not stored whole. */
export type OpenSegmentPart = {
  readonly key: string;
  readonly kind: 'wal-partial' | 'wal-piece';
  readonly offset: number;
  readonly length: number;
};

export type OpenSegment = {
  readonly number: bigint;
  readonly parts: readonly OpenSegmentPart[];
  /** The end of the bytes that the parts hold without a hole from the segment's start. */
  readonly end: Lsn;
};

/** Segments [first, last], all stored whole. */
export type SegmentRun = { readonly first: bigint; readonly last: bigint };

export type TimelineInventory = {
  readonly timeline: TimelineId;
  /** Ascending, never touching each other. */
  readonly runs: readonly SegmentRun[];
  /** Segments of which only parts are stored, ascending. */
  readonly open: readonly OpenSegment[];
  /** Stored WAL, ascending, disjoint. */
  readonly ranges: readonly LsnRange[];
  /** Sealed indexes: first and last segment number, and key. */
  readonly indexes: readonly (SegmentRun & { readonly key: string })[];
  /** Ranges that the server no longer had when they were asked for. */
  readonly recordedGaps: readonly LsnRange[];
  readonly segments: number;
  readonly storedBytes: number;
};

export type WalInventory = WalScope & {
  readonly name: IncarnationName;
  readonly segmentBytes: number;
  /** Ascending. */
  readonly timelines: ReadonlyMap<TimelineId, TimelineInventory>;
  /** The histories of all timelines known, timeline 1 included. */
  readonly histories: ReadonlyMap<TimelineId, TimelineHistory>;
  /** History files that are stored but cannot be read: key and reason. */
  readonly damaged: readonly { readonly key: string; readonly reason: string }[];
};

export declare function readWalInventory(
  store: ObjectStore,
  scope: WalScope,
): Promise<WalInventory>;

/** The newest timeline that has WAL or a history; null when there is neither. */
export declare function newestTimeline(inventory: WalInventory): TimelineId | null;

/** @throws WalnutError `target-unreachable` when the timeline's history file is not stored or damaged. */
export declare function historyOf(inventory: WalInventory, timeline: TimelineId): TimelineHistory;

/** Missing WAL between what is stored, per timeline, in order; recorded gaps included. */
export declare function gapsOf(inventory: WalInventory): LsnRange[];

/** WAL that a recovery reads, segment by segment, from a position along a timeline's history. */
export type WalPath = {
  readonly timeline: TimelineId;
  readonly from: Lsn;
  /** Stored without a hole up to here. Equal to `from` when nothing is. */
  readonly end: Lsn;
  /** The timeline on which `end` lies. */
  readonly endTimeline: TimelineId;
  /** First missing range when WAL goes on behind it; null when `end` is simply the end of what is stored. */
  readonly hole: LsnRange | null;
  readonly segments: readonly WalPathSegment[];
};

export type WalPathSegment = {
  readonly number: bigint;
  readonly name: string;
  /** The timeline whose file serves it: the newest of the history that holds it, as PostgreSQL asks for it. */
  readonly timeline: TimelineId;
  /** Null for a whole segment. */
  readonly open: OpenSegment | null;
};

/**
 * Follows WAL from `from` along the history of `timeline`, as recovery would.
 * @throws WalnutError as {@link historyOf}.
 */
export declare function followWal(
  inventory: WalInventory,
  place: { readonly timeline: TimelineId; readonly from: Lsn },
): WalPath;
