import { hasCode } from '../lib/walnut-error.ts';
import { toLsn, type Lsn } from '../postgres/lsn.ts';
import { segmentStart } from '../postgres/segment-name.ts';
import { decodeSegmentFacts } from '../postgres/wal/segment-facts-codec.ts';
import { readWalObjectHead } from '../repository/wal-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** An object that holds the bytes [offset, offset + length) of a segment that is not stored whole. */
export type OpenSegmentPart = {
  readonly key: string;
  readonly kind: 'wal-partial' | 'wal-piece';
  readonly offset: number;
  /** Of a `.partial` file: up to the end of its last valid record, because behind it lies chance. */
  readonly length: number;
};

export type OpenSegment = {
  readonly number: bigint;
  readonly parts: readonly OpenSegmentPart[];
  /** The end of the bytes that the parts hold without a hole from the segment's start. */
  readonly end: Lsn;
};

export type FoundParts = {
  readonly number: bigint;
  readonly segmentBytes: number;
  /** Lengths of `.partial` files are not known from their names and are found out here. */
  readonly parts: readonly OpenSegmentPart[];
};

/** Finds out how far the parts of an open segment reach; a `.partial` file that cannot be read reaches nowhere. */
export async function measureParts(
  store: ObjectStore,
  { number, segmentBytes, parts: found }: FoundParts,
): Promise<OpenSegment> {
  const parts: OpenSegmentPart[] = [];
  for (const part of found) {
    const length = part.kind === 'wal-partial' ? await validLength(store, part.key) : part.length;
    parts.push({ ...part, length });
  }
  const start = segmentStart(number, segmentBytes);
  return { number, parts, end: toLsn(start + BigInt(coverOf(parts).length)) };
}

/**
 * The fewest parts that hold the segment's bytes from its start without a hole, in order, and how far they go. Of parts
 * that go equally far, the earlier in the list is taken.
 */
export function coverOf(parts: readonly OpenSegmentPart[]): {
  readonly parts: readonly OpenSegmentPart[];
  readonly length: number;
} {
  const chosen: OpenSegmentPart[] = [];
  let length = 0;
  for (;;) {
    const next = parts
      .filter(({ offset }) => offset <= length)
      .reduce<OpenSegmentPart | null>(
        (best, part) => (best === null || endOf(part) > endOf(best) ? part : best),
        null,
      );
    if (next === null || endOf(next) <= length) return { parts: chosen, length };
    chosen.push(next);
    length = endOf(next);
  }
}

/** Where a part's bytes end in the segment. */
export function endOf({ offset, length }: OpenSegmentPart): number {
  return offset + length;
}

async function validLength(store: ObjectStore, key: string): Promise<number> {
  try {
    const facts = decodeSegmentFacts((await readWalObjectHead(store, key)).facts);
    return Number(facts.validEnd - facts.startLsn);
  } catch (error) {
    if (hasCode(error, 'object-damaged', 'object-missing')) return 0;
    throw error;
  }
}
