/** The WAL that a recovery reads, chosen segment by segment as PostgreSQL asks for it. */
import { minLsn, toLsn, type Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, segmentNumberAt, segmentStart } from '../postgres/segment-name.ts';
import { extentOf, timelinesOf, type LsnRange } from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { OpenSegment } from './open-segment.ts';
import {
  historyOf,
  holdsSegment,
  type TimelineInventory,
  type WalInventory,
} from './wal-inventory.ts';

/** WAL from a position along a timeline's history. */
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

/** The part that a timeline has of a history. */
export type Extent = {
  readonly timeline: TimelineId;
  readonly stored: TimelineInventory | undefined;
  readonly begin: Lsn;
  readonly beginSegment: bigint;
  /** Null for the newest timeline. */
  readonly end: Lsn | null;
};

/**
 * Follows WAL from `from` along the history of `timeline`, as recovery would.
 * Source: XLogFileReadAnyTLI, src/backend/access/transam/xlogrecovery.c: each segment is tried on the newest timeline
 * that begins in it or before, then on older ones, but never on one older than the timeline last read.
 * @throws WalnutError `target-unreachable` when the timeline's history is unknown.
 */
export function followWal(
  inventory: WalInventory,
  { timeline, from }: { readonly timeline: TimelineId; readonly from: Lsn },
): WalPath {
  const { segmentBytes } = inventory;
  const extents = extentsOf(inventory, timeline);
  const segments: WalPathSegment[] = [];
  let end = from;
  let current = 0;
  for (let number = segmentNumberAt(from, segmentBytes); ; number += 1n) {
    const found = findSegment(extents, { number, from: current, segmentBytes });
    if (found === null || found.end <= end) break;
    const { extent, open } = found;
    current = extents.indexOf(extent);
    const name = formatSegmentName({ timeline: extent.timeline, number }, segmentBytes);
    segments.push({ number, name, timeline: extent.timeline, open });
    end = found.end;
    if (end < segmentStart(number + 1n, segmentBytes)) break;
  }
  const holder = extents.findLast(({ begin }) => begin <= end) ?? extents[0];
  const endTimeline = holder?.timeline ?? timeline;
  return { timeline, from, end, endTimeline, hole: holeAt(extents, end), segments };
}

/** From which stored file PostgreSQL would read a segment of this history; null when none is stored. */
export function servingTimeline(
  inventory: WalInventory,
  { timeline, number }: { readonly timeline: TimelineId; readonly number: bigint },
): TimelineId | null {
  const { segmentBytes } = inventory;
  const extents = extentsOf(inventory, timeline);
  return findSegment(extents, { number, from: 0, segmentBytes })?.extent.timeline ?? null;
}

/** Oldest first. @throws WalnutError `target-unreachable` when the timeline's history is unknown. */
export function extentsOf(inventory: WalInventory, timeline: TimelineId): Extent[] {
  const history = historyOf(inventory, timeline);
  return timelinesOf(history).map((member) => {
    const extent = extentOf(history, member);
    const begin = extent?.start ?? toLsn(0n);
    return {
      timeline: member,
      stored: inventory.timelines.get(member),
      begin,
      beginSegment: segmentNumberAt(begin, inventory.segmentBytes),
      end: extent?.end ?? null,
    };
  });
}

type SegmentSearch = {
  readonly number: bigint;
  /** Index of the oldest extent that may serve. */
  readonly from: number;
  readonly segmentBytes: number;
};

type FoundSegment = {
  readonly extent: Extent;
  readonly open: OpenSegment | null;
  /** How far the file is of use on this history. */
  readonly end: Lsn;
};

function findSegment(extents: readonly Extent[], search: SegmentSearch): FoundSegment | null {
  const { number, from, segmentBytes } = search;
  for (const extent of extents.slice(from).toReversed()) {
    const { stored } = extent;
    if (stored === undefined || extent.beginSegment > number) continue;
    const fileEnd = segmentStart(number + 1n, segmentBytes);
    if (holdsSegment(stored, number)) {
      return { extent, open: null, end: minLsn(fileEnd, extent.end ?? fileEnd) };
    }
    const open = stored.open.find((candidate) => candidate.number === number);
    // A child's piece that ends before the branch point holds less than the parent's file.
    if (open !== undefined && open.end > extent.begin) {
      return { extent, open, end: minLsn(open.end, extent.end ?? open.end) };
    }
  }
  return null;
}

/** Whether a receiver found that the server no longer had some of a missing range: that part does not come any more. */
export function isRecordedGap({ timelines }: WalInventory, missing: LsnRange): boolean {
  const recorded = timelines.get(missing.timeline)?.recordedGaps ?? [];
  return recorded.some(({ start, end }) => start < missing.end && missing.start < end);
}

/** The missing range at `end`, if any WAL of the history is stored behind it. */
function holeAt(extents: readonly Extent[], end: Lsn): LsnRange | null {
  const starts = extents.flatMap((extent) => {
    const limit = extent.end;
    if (limit !== null && limit <= end) return [];
    return (extent.stored?.ranges ?? [])
      .map(({ start }) => start)
      .filter((start) => start > end && (limit === null || start < limit));
  });
  const holder = extents.findLast(({ begin }) => begin <= end);
  const [first, ...others] = starts;
  if (first === undefined || holder === undefined) return null;
  return { timeline: holder.timeline, start: end, end: others.reduce(minLsn, first) };
}
