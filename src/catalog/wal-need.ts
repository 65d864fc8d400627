/** Which WAL segments are needed, timeline by timeline, and what lies between them. */
import type { Lsn } from '../postgres/lsn.ts';
import { segmentNumberAt, segmentStart } from '../postgres/segment-name.ts';
import {
  extentOf,
  timelinesOf,
  type LsnRange,
  type TimelineHistory,
} from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';

/** Segments [first, last]; last null: all that follow. */
export type SegmentSpan = { readonly first: bigint; readonly last: bigint | null };

/** Ascending and disjoint on each timeline. */
export type WalNeed = ReadonlyMap<TimelineId, readonly SegmentSpan[]>;

/** WAL [from, to) along a history; to null: as far as it goes. */
export type NeededWal = {
  readonly history: TimelineHistory;
  readonly from: Lsn;
  readonly to: Lsn | null;
};

/**
 * Of every timeline of each history the segments that overlap the needed WAL. The segment with a switch point is needed
 * on both timelines: recovery reads the child's copy, and a restore to the parent's end the parent's.
 */
export function walNeed(needed: readonly NeededWal[], segmentBytes: number): WalNeed {
  const spans = new Map<TimelineId, SegmentSpan[]>();
  for (const wal of needed) {
    for (const timeline of timelinesOf(wal.history)) {
      const span = spanOn(timeline, wal, segmentBytes);
      if (span !== null) spans.set(timeline, [...(spans.get(timeline) ?? []), span]);
    }
  }
  return new Map([...spans].map(([timeline, own]) => [timeline, mergeSpans(own)]));
}

export function isNeeded(spans: readonly SegmentSpan[], number: bigint): boolean {
  return spans.some(({ first, last }) => first <= number && (last === null || number <= last));
}

/** The stretches that nobody needs: before, between and behind the needed ones. */
export function unneededSpans(spans: readonly SegmentSpan[]): SegmentSpan[] {
  const gaps: SegmentSpan[] = [];
  let next: bigint | null = 0n;
  for (const { first, last } of spans) {
    if (next !== null && first > next) gaps.push({ first: next, last: first - 1n });
    next = last === null ? null : last + 1n;
  }
  return next === null ? gaps : [...gaps, { first: next, last: null }];
}

export function rangeOfSpan(
  timeline: TimelineId,
  { first, last }: { readonly first: bigint; readonly last: bigint },
  segmentBytes: number,
): LsnRange {
  const start = segmentStart(first, segmentBytes);
  return { timeline, start, end: segmentStart(last + 1n, segmentBytes) };
}

function spanOn(timeline: TimelineId, wal: NeededWal, segmentBytes: number): SegmentSpan | null {
  const extent = extentOf(wal.history, timeline);
  if (extent === null) return null;
  const at = (lsn: Lsn): bigint => segmentNumberAt(lsn, segmentBytes);
  const first = at(extent.start > wal.from ? extent.start : wal.from);
  const ends: bigint[] = [];
  if (extent.end !== null) ends.push(at(extent.end));
  // An end on a segment's border needs no segment behind it; one more does no harm and spares a special case.
  if (wal.to !== null) ends.push(at(wal.to));
  const last = ends.length === 0 ? null : ends.reduce((one, other) => (one < other ? one : other));
  return last !== null && last < first ? null : { first, last };
}

function mergeSpans(spans: readonly SegmentSpan[]): SegmentSpan[] {
  const merged: { first: bigint; last: bigint | null }[] = [];
  for (const span of spans.toSorted((one, other) => (one.first < other.first ? -1 : 1))) {
    const before = merged.at(-1);
    if (before === undefined) merged.push({ ...span });
    else if (before.last === null) break;
    else if (span.first > before.last + 1n) merged.push({ ...span });
    else if (span.last === null || span.last > before.last) before.last = span.last;
  }
  return merged;
}
