import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import type { MajorVersion } from '../postgres/version.ts';
import { toMajorVersion } from '../postgres/version.ts';
import { assembleSegment, type AssembledSegment } from '../postgres/wal/segment-assembly.ts';
import { decodeSegmentFacts } from '../postgres/wal/segment-facts-codec.ts';
import { describeSegment, type SegmentFacts } from '../postgres/wal/segment-facts.ts';
import { walKeys } from '../repository/layout.ts';
import type { Incarnation } from '../repository/repository.ts';
import { readWalObject, readWalObjectHead } from '../repository/wal-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { coverOf, endOf, type OpenSegment } from './open-segment.ts';
import type { WalInventory, WalScope } from './wal-inventory.ts';
import type { WalPathSegment } from './wal-path.ts';

/** What every WAL page of an incarnation must say about itself. */
export function walIdentity(incarnation: Incarnation): {
  readonly segmentBytes: number;
  readonly majorVersion: MajorVersion;
  readonly systemIdentifier: bigint;
} {
  return {
    segmentBytes: incarnation.walSegmentBytes,
    majorVersion: toMajorVersion(incarnation.majorVersion),
    systemIdentifier: BigInt(incarnation.systemIdentifier),
  };
}

export type OpenContent = AssembledSegment & {
  /** Parts that could not be used. */
  readonly damaged: readonly UnusablePart[];
  /** A part was replaced while we read: look again. */
  readonly hasVanished: boolean;
};

export type UnusablePart = {
  readonly key: string;
  readonly reason: string;
  /** Where its bytes end in the segment. */
  readonly end: number;
};

/**
 * Puts the stored parts of an open segment together, zero-padded to the segment's size. A part that is damaged or has
 * vanished is left out: the others may hold its bytes too.
 */
export async function readOpenSegment(
  store: ObjectStore,
  open: Pick<OpenSegment, 'parts'>,
  segment: { readonly name: string; readonly segmentBytes: number },
): Promise<OpenContent> {
  const damaged: UnusablePart[] = [];
  let hasVanished = false;
  const usable = new Set(open.parts);
  const pieces = new Map<string, Buffer>();
  for (;;) {
    const cover = coverOf([...usable]);
    const missing = cover.parts.find(({ key }) => !pieces.has(key));
    if (missing === undefined) {
      const chosen = cover.parts.map(({ key, offset, length }) => ({
        offset,
        bytes: (pieces.get(key) ?? Buffer.alloc(0)).subarray(0, length),
      }));
      return { ...assembleSegment(chosen, segment), damaged, hasVanished };
    }
    try {
      pieces.set(missing.key, await readWalObject(store, missing.key, missing.kind));
    } catch (error) {
      if (!hasCode(error, 'object-damaged', 'object-missing')) throw error;
      usable.delete(missing);
      if (error.code === 'object-missing') hasVanished = true;
      else damaged.push({ key: missing.key, reason: error.message, end: endOf(missing) });
    }
  }
}

/** A segment as recovery would be given it; `length` is smaller than the segment for one that is open. */
export async function readPathSegment(
  store: ObjectStore,
  inventory: WalInventory,
  segment: WalPathSegment,
): Promise<AssembledSegment> {
  const { name, open } = segment;
  const { segmentBytes } = inventory;
  if (open !== null) return readOpenSegment(store, open, { name, segmentBytes });
  const bytes = await readWalObject(store, segmentKey(inventory, segment), 'wal-segment');
  if (bytes.length !== segmentBytes) {
    throw new WalnutError(
      'object-damaged',
      `read WAL segment ${name}: it has ${bytes.length} bytes, not ${segmentBytes}`,
    );
  }
  return { bytes, length: segmentBytes };
}

/** What was found out about a segment when it arrived; described again when that is not stored, or for an open one. */
export async function readSegmentFacts(
  store: ObjectStore,
  inventory: WalInventory,
  segment: WalPathSegment,
): Promise<SegmentFacts> {
  if (segment.open === null) {
    const { facts } = await readWalObjectHead(store, segmentKey(inventory, segment));
    if (facts.length > 0) return decodeSegmentFacts(facts);
  }
  const { bytes, length } = await readPathSegment(store, inventory, segment);
  const identity = walIdentity(inventory.incarnation);
  return describeSegment(bytes.subarray(0, length), { name: segment.name, ...identity });
}

/** Where a whole segment of a path is stored. */
export function segmentKey(
  { server, name }: WalScope & WalInventory,
  segment: WalPathSegment,
): string {
  const place = { server, incarnation: name, timeline: segment.timeline };
  return walKeys.segment(place, segment.name);
}
