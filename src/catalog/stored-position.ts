import type { Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, segmentNumberBefore, segmentStart } from '../postgres/segment-name.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import { parsePieceName, walKeys } from '../repository/layout.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { coverOf, type OpenSegmentPart } from './open-segment.ts';
import type { WalScope } from './wal-inventory.ts';

export type WalPoint = { readonly timeline: TimelineId; readonly lsn: Lsn };

/**
 * Whether the segment that ends or is written at a position is stored up to there, whole or in pieces: looks at that one
 * segment, not at the others.
 */
export async function isStoredUpTo(
  store: ObjectStore,
  { server, incarnation }: WalScope,
  { timeline, lsn }: WalPoint,
): Promise<boolean> {
  const segmentBytes = incarnation.walSegmentBytes;
  const number = segmentNumberBefore(lsn, segmentBytes);
  const name = formatSegmentName({ timeline, number }, segmentBytes);
  const place = { server, incarnation: nameOfIncarnation(incarnation), timeline };
  if ((await store.stat(walKeys.segment(place, name))) !== null) return true;
  const folder = walKeys.timeline(place);
  const pieces = (await store.listFolder(folder)).flatMap((file): OpenSegmentPart[] => {
    const piece = parsePieceName(file);
    return piece?.segment === name ? [{ key: folder + file, kind: 'wal-piece', ...piece }] : [];
  });
  return coverOf(pieces).length >= Number(lsn - segmentStart(number, segmentBytes));
}
