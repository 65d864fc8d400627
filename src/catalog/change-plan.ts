/** From which stored objects the changes of a range of WAL are read; decided from names alone. */
import { minLsn, type Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, segmentNumberAt, segmentStart } from '../postgres/segment-name.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { RecordBounds } from '../postgres/wal/change-collector.ts';
import { recordPosition } from '../postgres/wal/page-header.ts';
import { holdsSegment, type StoredIndex, type WalInventory } from './wal-inventory.ts';
import { extentsOf, type Extent, type WalPathSegment } from './wal-path.ts';

/** WAL in [from, to) along the history of `timeline`. */
export type LsnSpan = { readonly timeline: TimelineId; readonly from: Lsn; readonly to: Lsn };

export type ChangeStep =
  | { readonly kind: 'sealed'; readonly sealed: StoredIndex }
  | {
      readonly kind: 'segment';
      readonly segment: WalPathSegment;
      /** Which of its records count; null for all. */
      readonly bounds: RecordBounds | null;
      /** Whether what lies beyond the bounds is of a dead branch; otherwise it may count too. */
      readonly isCut: boolean;
    };

export type ChangePlan = {
  readonly steps: readonly ChangeStep[];
  /** Where the last step's timeline was left, if that is inside it: nothing behind belongs to the history. */
  readonly cutAt: Lsn | null;
};

/**
 * Chooses, segment by segment from the newest timeline that has it, sealed changes where they lie inside the range, else the
 * segment. Where a segment is gone, sealed changes that reach beyond the range do as well: a map may say too much.
 * @param unusable keys of sealed changes that turned out to be damaged.
 * @throws WalnutError `target-unreachable` when the timeline's history is unknown.
 */
export function planChanges(
  inventory: WalInventory,
  span: LsnSpan,
  unusable: ReadonlySet<string> = new Set(),
): ChangePlan {
  const { segmentBytes } = inventory;
  const extents = extentsOf(inventory, span.timeline);
  const last = lastSegmentOf(span, segmentBytes);
  const steps: ChangeStep[] = [];
  let current = 0;
  let cutAt: Lsn | null = null;
  for (let number = segmentNumberAt(span.from, segmentBytes); number <= last;) {
    const place: Place = {
      number,
      last,
      segmentBytes,
      span,
      isFirst: steps.length === 0,
      unusable,
    };
    const found = findStep(extents.slice(current), place);
    if (found === null) break;
    steps.push(found.step);
    current = extents.indexOf(found.extent);
    cutAt = found.step.kind === 'segment' && found.step.isCut ? found.end : null;
    if (found.end < segmentStart(found.next, segmentBytes)) break;
    number = found.next;
  }
  return { steps, cutAt };
}

/** The last segment in which a record of the range can begin. */
function lastSegmentOf({ from, to }: LsnSpan, segmentBytes: number): bigint {
  const number = segmentNumberAt(to, segmentBytes);
  const isNothing =
    to <= from || to <= recordPosition(segmentStart(number, segmentBytes), segmentBytes);
  return isNothing ? number - 1n : number;
}

type Place = {
  readonly number: bigint;
  /** The last segment needed. */
  readonly last: bigint;
  readonly segmentBytes: number;
  readonly span: LsnSpan;
  readonly isFirst: boolean;
  readonly unusable: ReadonlySet<string>;
};

type FoundStep = {
  readonly step: ChangeStep;
  readonly extent: Extent;
  /** How far it is of use on this history. */
  readonly end: Lsn;
  /** The segment behind it. */
  readonly next: bigint;
};

function findStep(extents: readonly Extent[], place: Place): FoundStep | null {
  for (const extent of extents.toReversed()) {
    if (extent.beginSegment > place.number) continue;
    const found =
      sealedInside(extent, place) ?? segmentStep(extent, place) ?? sealedAround(extent, place);
    if (found !== null) return found;
  }
  return null;
}

/** The longest sealed changes that begin here and reach neither beyond the range nor beyond the timeline's part. */
function sealedInside(extent: Extent, place: Place): FoundStep | null {
  const { number, last, segmentBytes, span } = place;
  const isCutOff = span.from > recordPosition(segmentStart(number, segmentBytes), segmentBytes);
  if (isCutOff) return null;
  const fitting = sealedOf(extent, place).filter(
    (sealed) => sealed.first === number && sealed.last <= last,
  );
  return longest(extent, fitting, segmentBytes);
}

/** Sealed changes that cover the segment and more than the range. */
function sealedAround(extent: Extent, place: Place): FoundStep | null {
  const { number, segmentBytes, isFirst } = place;
  const fitting = sealedOf(extent, place).filter(
    (sealed) =>
      (isFirst ? sealed.first <= number : sealed.first === number) && number <= sealed.last,
  );
  return longest(extent, fitting, segmentBytes);
}

function sealedOf({ stored, end }: Extent, { segmentBytes, unusable }: Place): StoredIndex[] {
  return (stored?.changes ?? []).filter(
    ({ key, last }) =>
      !unusable.has(key) && (end === null || segmentStart(last + 1n, segmentBytes) <= end),
  );
}

function longest(
  extent: Extent,
  fitting: readonly StoredIndex[],
  segmentBytes: number,
): FoundStep | null {
  const [first, ...others] = fitting;
  if (first === undefined) return null;
  const sealed = others.reduce((best, other) => (other.last > best.last ? other : best), first);
  const next = sealed.last + 1n;
  return { step: { kind: 'sealed', sealed }, extent, end: segmentStart(next, segmentBytes), next };
}

function segmentStep(extent: Extent, place: Place): FoundStep | null {
  const { number, segmentBytes } = place;
  const { stored, timeline, begin } = extent;
  if (stored === undefined) return null;
  const next = number + 1n;
  const isWhole = holdsSegment(stored, number);
  const open = isWhole ? null : (stored.open.find((entry) => entry.number === number) ?? null);
  // A child's piece that ends before the branch point holds less than the parent's file.
  if (!isWhole && (open === null || open.end <= begin)) return null;
  const fileEnd = open?.end ?? segmentStart(next, segmentBytes);
  const isCut = extent.end !== null && extent.end < fileEnd;
  const end = extent.end === null ? fileEnd : minLsn(fileEnd, extent.end);
  const name = formatSegmentName({ timeline, number }, segmentBytes);
  const bounds = boundsOf(place, fileEnd, end);
  const step = {
    kind: 'segment',
    segment: { timeline, number, name, open },
    bounds,
    isCut,
  } as const;
  return { step, extent, end, next };
}

/** Which records of a segment count, of which `end` is the last that is of this history; null when all do. */
function boundsOf(place: Place, fileEnd: Lsn, end: Lsn): RecordBounds | null {
  const { number, segmentBytes, span } = place;
  const first = recordPosition(segmentStart(number, segmentBytes), segmentBytes);
  const from = span.from > first ? span.from : undefined;
  const last = minLsn(span.to, end);
  const to = last < fileEnd ? last : undefined;
  return from === undefined && to === undefined ? null : { from, to };
}
