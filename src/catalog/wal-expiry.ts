/** Which stored WAL of one incarnation goes, given what is needed: explicit names, oldest first. */
import type { LsnRange } from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import { segmentNumberAt, segmentNumberBefore } from '../postgres/segment-name.ts';
import {
  isNeeded,
  rangeOfSpan,
  unneededSpans,
  type SegmentSpan,
  type WalNeed,
} from './wal-need.ts';
import type { WalKey } from './wal-key.ts';

export type StoredWalObject = {
  readonly key: string;
  readonly sizeBytes: number;
  /** Neither history nor backup history files: those are kept for ever. */
  readonly parsed: Exclude<WalKey, { kind: 'history' | 'backup-history' }>;
};

export type ExpiringWal = {
  /** In the order in which they go: by position, then timeline. */
  readonly objects: readonly StoredWalObject[];
  /** What is given up with them, per timeline: whole stretches that nobody needs, so holes in them are no losses. */
  readonly ranges: readonly LsnRange[];
  /** Segments that go while what changed in them is still needed: to be sealed before. */
  readonly sealing: readonly SegmentRun[];
};

export type SegmentRun = {
  readonly timeline: TimelineId;
  readonly first: bigint;
  readonly last: bigint;
};

/** Segments whose changes are joined at once: bounds the memory of sealing. */
const SEALED_SEGMENTS_MAX = 256n;

export type WalExpiryRequest = {
  readonly objects: readonly StoredWalObject[];
  readonly need: WalNeed;
  /** WAL of which it must stay known what changed, whether it is needed itself or not. */
  readonly changeNeed: WalNeed;
  readonly segmentBytes: number;
};

export function expiringWal(request: WalExpiryRequest): ExpiringWal {
  const { objects, need, changeNeed, segmentBytes } = request;
  const going: Placed[] = [];
  const ranges: LsnRange[] = [];
  for (const [timeline, own] of Map.groupBy(objects, timelineOf)) {
    for (const span of unneededSpans(need.get(timeline) ?? [])) {
      const inSpan = own
        .map((object) => ({ object, ...segmentsOf(object, segmentBytes) }))
        .filter(({ first, last }) => isWithin(span, first, last))
        .filter((placed) => !tellsNeededChanges(placed, changeNeed));
      const lasts = inSpan.filter(({ object }) => isWalItself(object)).map(({ last }) => last);
      going.push(...inSpan);
      const [one, ...others] = lasts;
      if (one === undefined) continue;
      const stored = others.reduce((most, last) => (last > most ? last : most), one);
      const last = span.last ?? stored;
      ranges.push(rangeOfSpan(timeline, { first: span.first, last }, segmentBytes));
    }
  }
  const inOrder = going.toSorted((one, other) => compare(one, other));
  const leaving = inOrder.map(({ object }) => object);
  return { objects: leaving, ranges, sealing: runsToSeal(leaving, request) };
}

type Placed = StoredRun & { readonly object: StoredWalObject };
type StoredRun = { readonly first: bigint; readonly last: bigint };

function tellsNeededChanges({ object, first, last }: Placed, changeNeed: WalNeed): boolean {
  const { parsed } = object;
  if (parsed.kind !== 'changes') return false;
  const spans = changeNeed.get(parsed.timeline) ?? [];
  return spans.some((span) => span.first <= last && (span.last === null || first <= span.last));
}

/** Runs of segments that follow each other and whose changes nothing sealed tells yet. */
function runsToSeal(
  leaving: readonly StoredWalObject[],
  { objects, changeNeed }: WalExpiryRequest,
): SegmentRun[] {
  const runs: SegmentRun[] = [];
  for (const [timeline, own] of Map.groupBy(leaving, timelineOf)) {
    const sealed = objects.flatMap(({ parsed }) =>
      parsed.kind === 'changes' && parsed.timeline === timeline ? [parsed] : [],
    );
    for (const { parsed } of own) {
      if (parsed.kind !== 'segment') continue;
      const { number } = parsed;
      const isTold = sealed.some(({ first, last }) => first <= number && number <= last);
      if (isTold || !isNeeded(changeNeed.get(timeline) ?? [], number)) continue;
      const run = runs.at(-1);
      const continues =
        run?.timeline === timeline &&
        run.last + 1n === number &&
        number - run.first < SEALED_SEGMENTS_MAX;
      if (continues) runs[runs.length - 1] = { ...run, last: number };
      else runs.push({ timeline, first: number, last: number });
    }
  }
  return runs;
}

/** Of a segment itself, its copies and pieces; not what is known about it. */
function isWalItself({ parsed }: StoredWalObject): boolean {
  return parsed.kind === 'segment' || parsed.kind === 'partial' || parsed.kind === 'piece';
}

/** What speaks of several segments goes after the last of them. */
function compare(one: Placed, other: Placed): number {
  if (one.last !== other.last) return one.last < other.last ? -1 : 1;
  const timelines = timelineOf(one.object) - timelineOf(other.object);
  if (timelines !== 0) return timelines;
  const kinds = Number(isWalItself(other.object)) - Number(isWalItself(one.object));
  if (kinds !== 0) return kinds;
  return one.object.key < other.object.key ? -1 : 1;
}

function timelineOf({ parsed }: StoredWalObject): TimelineId {
  return parsed.timeline;
}

function segmentsOf(
  { parsed }: StoredWalObject,
  segmentBytes: number,
): { readonly first: bigint; readonly last: bigint } {
  switch (parsed.kind) {
    case 'segment':
    case 'partial':
    case 'piece':
      return { first: parsed.number, last: parsed.number };
    case 'gap':
      return {
        first: segmentNumberAt(parsed.start, segmentBytes),
        last: segmentNumberBefore(parsed.end, segmentBytes),
      };
    case 'index':
    case 'changes':
    default:
      return { first: parsed.first, last: parsed.last };
  }
}

function isWithin(span: SegmentSpan, first: bigint, last: bigint): boolean {
  return span.first <= first && (span.last === null || last <= span.last);
}
