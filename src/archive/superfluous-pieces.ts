import { coverOf, endOf } from '../catalog/open-segment.ts';
import { holdsSegment, type WalInventory } from '../catalog/wal-inventory.ts';
import { parseSegmentName } from '../postgres/segment-name.ts';
import { parsePieceName, walKeys } from '../repository/layout.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/**
 * Removes, by name, pieces that a receiver could not remove any more before it died: those of segments that are stored
 * whole, and those whose bytes others hold. Answers how many.
 */
export async function removeSuperfluousPieces(
  store: ObjectStore,
  inventory: WalInventory,
): Promise<number> {
  let removed = 0;
  for (const key of await superfluousPieces(store, inventory)) {
    await store.delete(key);
    removed += 1;
  }
  return removed;
}

async function superfluousPieces(store: ObjectStore, inventory: WalInventory): Promise<string[]> {
  const { server, name: incarnation, segmentBytes } = inventory;
  const keys: string[] = [];
  for (const stored of inventory.timelines.values()) {
    const folder = walKeys.timeline({ server, incarnation, timeline: stored.timeline });
    for (const name of await store.listFolder(folder)) {
      const piece = parsePieceName(name);
      if (piece === null) continue;
      const { number } = parseSegmentName(piece.segment, segmentBytes);
      if (holdsSegment(stored, number)) keys.push(`${folder}${name}`);
    }
    for (const { parts } of stored.open) {
      // A `.partial` file may be damaged without our knowing it: pieces are compared with pieces only.
      const pieces = parts.filter(({ kind }) => kind === 'wal-piece');
      const cover = coverOf(pieces);
      const covered = pieces.filter((part) => endOf(part) <= cover.length);
      const surplus = covered.filter((part) => !cover.parts.includes(part));
      keys.push(...surplus.map(({ key }) => key));
    }
  }
  return keys;
}
