/** What is made once per block of segments, when its last one is stored. */
import { hasCode } from '../lib/walnut-error.ts';
import type { SegmentPosition } from '../postgres/segment-name.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { sealChanges } from './seal-changes.ts';
import { blockOf, endsBlock, sealIndexes } from './wal-index.ts';
import { readWalInventory, type WalScope } from './wal-inventory.ts';

/**
 * Seals indexes and changes when the stored segment is the last of its block. A damaged segment or one that does not join
 * leaves its block unsealed, which costs readers time and no truth; `verify` reports it.
 */
export async function sealBlock(
  store: ObjectStore,
  scope: WalScope,
  { timeline, number }: SegmentPosition,
): Promise<void> {
  if (!endsBlock(number)) return;
  const inventory = await readWalInventory(store, scope);
  try {
    await sealIndexes(store, inventory);
    await sealChanges(store, inventory, { timeline, ...blockOf(number) });
  } catch (error) {
    if (!hasCode(error, 'object-damaged', 'object-missing')) throw error;
  }
}
