/** Before WAL goes, what changed in it is sealed where a later backup may still ask for it. */
import { sealChanges } from '../catalog/seal-changes.ts';
import type { PlannedArchive } from '../catalog/retention-plan.ts';
import type { SegmentRun } from '../catalog/wal-expiry.ts';
import type { WalInventory } from '../catalog/wal-inventory.ts';
import { hasCode } from '../lib/walnut-error.ts';
import { segmentNumberAt } from '../postgres/segment-name.ts';
import { switchPointOf } from '../postgres/timeline-history.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** False on a full disk: to be tried again when there is room. Changes that are lost cost a backup time, and nothing else. */
export async function keepChanges(
  store: ObjectStore,
  { inventory, sealing }: PlannedArchive,
): Promise<boolean> {
  try {
    for (const run of sealing) {
      for (const part of partsOf(inventory, run)) await sealParts(store, inventory, part);
    }
    return true;
  } catch (error) {
    if (!hasCode(error, 'disk-full')) throw error;
    return false;
  }
}

/**
 * A gap parts a run: what does not join is of no use to any backup, which then reads all pages instead. Each step passes
 * at least one segment.
 */
async function sealParts(
  store: ObjectStore,
  inventory: WalInventory,
  run: SegmentRun,
): Promise<void> {
  let { first } = run;
  while (first <= run.last) {
    const sealed = await sealChanges(store, inventory, { ...run, first });
    if (sealed.kind === 'sealed') return;
    const broken = segmentNumberAt(sealed.lsn, inventory.segmentBytes);
    if (broken > first) {
      await sealChanges(store, inventory, { ...run, first, last: broken - 1n });
      first = broken;
    } else {
      first += 1n;
    }
  }
}

/** A segment with a switch point is sealed alone: its changes behind the point are of no use to the timelines after it. */
function partsOf(inventory: WalInventory, run: SegmentRun): SegmentRun[] {
  const { segmentBytes } = inventory;
  const cuts = [...inventory.histories.values()].flatMap((history) => {
    const left = switchPointOf(history, run.timeline);
    return left === null ? [] : [segmentNumberAt(left, segmentBytes)];
  });
  const parts: SegmentRun[] = [];
  let { first } = run;
  for (const cut of cuts.toSorted((one, other) => (one < other ? -1 : 1))) {
    if (cut < first || cut > run.last) continue;
    if (cut > first) parts.push({ ...run, first, last: cut - 1n });
    parts.push({ ...run, first: cut, last: cut });
    first = cut + 1n;
  }
  return first > run.last ? parts : [...parts, { ...run, first }];
}
