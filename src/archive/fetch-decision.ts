/** Decides what the absence of a WAL file means: the end of WAL, or a hole that recovery must not step over. */
import { lastStoredSegment, type WalInventory } from '../catalog/wal-inventory.ts';
import { servingTimeline } from '../catalog/wal-path.ts';
import { parseSegmentName, segmentNumberAt } from '../postgres/segment-name.ts';
import { historyFileName, switchPointOf } from '../postgres/timeline-history.ts';
import { toTimelineId, type TimelineId } from '../postgres/timeline-id.ts';

/** What a restore was planned to need. */
export type FetchPlan = {
  /** Name of the last segment needed. */
  readonly lastSegment?: string | undefined;
  /** The timeline along which to recover. */
  readonly timeline?: TimelineId | undefined;
};

export type Judgement = {
  readonly isHole: boolean;
  /** Why: for a hole, what is stored behind it. */
  readonly reason: string;
};

/** For a history file that is not stored and does not lie behind the plan's timeline. */
export function judgeMissingHistory(inventory: WalInventory, timeline: TimelineId): Judgement {
  // Timeline 1 has none, and recovery asks for it all the same.
  if (timeline === 1) return { isHole: false, reason: 'timeline 1 has no history file' };
  const known = [...inventory.timelines.keys(), ...inventory.histories.keys()];
  const later = known.filter((other) => other >= timeline);
  if (later.length === 0) return { isHole: false, reason: 'no such timeline is known' };
  const newest = toTimelineId(Math.max(...later));
  const what = inventory.timelines.has(newest)
    ? `WAL of timeline ${newest}`
    : historyFileName(newest);
  return { isHole: true, reason: `${what} is stored` };
}

/** For a segment of which nothing usable is stored. */
export function judgeMissingSegment(
  inventory: WalInventory,
  name: string,
  plan: FetchPlan | undefined,
): Judgement {
  const { segmentBytes } = inventory;
  const { timeline, number } = parseSegmentName(name, segmentBytes);
  if (plan?.lastSegment !== undefined) {
    const last = parseSegmentName(plan.lastSegment, segmentBytes);
    if (number > last.number) {
      return { isHole: false, reason: `the restore was planned up to ${plan.lastSegment}` };
    }
    if (isServedElsewhere(inventory, { timeline, number }, plan.timeline ?? last.timeline)) {
      return { isHole: false, reason: 'an older timeline holds this part of the history' };
    }
    return { isHole: true, reason: `the restore was planned up to ${plan.lastSegment}` };
  }
  const behind = storedBehind(inventory, { timeline, number });
  return behind === null
    ? { isHole: false, reason: 'nothing behind it is stored' }
    : { isHole: true, reason: `${behind} is stored` };
}

type Wanted = { readonly timeline: TimelineId; readonly number: bigint };

/**
 * Recovery asks for the segment of a switch point on the new timeline first; as long as nothing of the new one is there,
 * the parent's file is the right answer, and PostgreSQL asks for that next.
 */
function isServedElsewhere(
  inventory: WalInventory,
  { timeline, number }: Wanted,
  target: TimelineId,
): boolean {
  if (!inventory.histories.has(target)) return false;
  const serving = servingTimeline(inventory, { timeline: target, number });
  if (serving === null || serving >= timeline) return false;
  const stored = inventory.timelines.get(timeline);
  return stored === undefined || (lastStoredSegment(stored) ?? -1n) <= number;
}

/** Names something later of the timeline or of its descendants; null when there is nothing. */
function storedBehind(inventory: WalInventory, { timeline, number }: Wanted): string | null {
  for (const stored of inventory.timelines.values()) {
    const last = lastStoredSegment(stored);
    if (last === null || last < number) continue;
    if (stored.timeline === timeline) {
      if (last > number) return `later WAL of timeline ${timeline}`;
      continue;
    }
    const history = inventory.histories.get(stored.timeline);
    const left = history === undefined ? null : switchPointOf(history, timeline);
    if (left === null) continue;
    // The child's own file begins with the parent's WAL of the segment where it branched off.
    const branch = segmentNumberAt(left, inventory.segmentBytes);
    if (number <= branch) return `WAL of timeline ${stored.timeline}, which continues it,`;
  }
  return null;
}
