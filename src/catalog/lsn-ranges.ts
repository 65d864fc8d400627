import { maxLsn, type Lsn } from '../postgres/lsn.ts';
import type { LsnRange } from '../postgres/timeline-history.ts';

/** Ranges of one timeline, sorted, with those that touch or overlap made one. */
export function mergeRanges(ranges: readonly LsnRange[]): LsnRange[] {
  const merged: { timeline: LsnRange['timeline']; start: Lsn; end: Lsn }[] = [];
  for (const range of ranges.toSorted((first, second) => (first.start < second.start ? -1 : 1))) {
    const last = merged.at(-1);
    if (last !== undefined && range.start <= last.end) last.end = maxLsn(last.end, range.end);
    else merged.push({ ...range });
  }
  return merged;
}

/** What lies between sorted, disjoint ranges of one timeline. */
export function missingBetween(ranges: readonly LsnRange[]): LsnRange[] {
  return ranges.slice(1).flatMap((next, index) => {
    const before = ranges[index];
    return before === undefined
      ? []
      : [{ timeline: next.timeline, start: before.end, end: next.start }];
  });
}

/** The parts of `ranges` that none of `taken` (sorted, disjoint) covers. */
export function subtractRanges(
  ranges: readonly LsnRange[],
  taken: readonly LsnRange[],
): LsnRange[] {
  return ranges.flatMap(({ timeline, start, end }) => {
    const left: LsnRange[] = [];
    let at = start;
    for (const cover of taken) {
      if (cover.end <= at || cover.start >= end) continue;
      if (cover.start > at) left.push({ timeline, start: at, end: cover.start });
      at = maxLsn(at, cover.end);
    }
    if (at < end) left.push({ timeline, start: at, end });
    return left;
  });
}
