import { toLsn, type Lsn } from '../lsn.ts';
import { RecordWalker, type RecordWalkerOptions } from './record-walker.ts';
import { isNaturalEnd, type WalStop } from './wal-stop.ts';

export type ValidEnd = {
  /** Where the last valid record ends; after a switch, where the unused rest of the segment begins. */
  readonly lsn: Lsn;
  /** Start of the last valid record that begins in the bytes. */
  readonly lastRecordLsn: Lsn | undefined;
  /** What stands there; `undefined` when the bytes end first. */
  readonly stop: WalStop | undefined;
};

/** What a `.partial` file or a piece is worth: the end of its last valid record. */
export function validEndOf(
  bytes: Uint8Array,
  options: Omit<RecordWalkerOptions, 'visitor'>,
): ValidEnd {
  const walker = new RecordWalker({
    ...options,
    visitor: { wantedBytes: () => 0, record: () => true },
  });
  walker.feed(bytes);
  return {
    lsn: walker.switchedAt ?? walker.validEnd,
    lastRecordLsn: walker.lastRecordLsn,
    stop: walker.stop,
  };
}

/**
 * - `equal`: both hold the same valid WAL
 * - `first-longer`, `second-longer`: one continues the other
 * - `different`: valid WAL of both differs from `lsn` on; they come from different histories
 */
export type PartialComparison =
  | { readonly kind: 'equal' | 'first-longer' | 'second-longer' }
  | { readonly kind: 'different'; readonly lsn: Lsn };

/**
 * Compares two copies of one segment (or of pieces with the same start) up to the last valid record of each; what
 * lies behind it is chance.
 */
export function comparePartials(
  first: Uint8Array,
  second: Uint8Array,
  options: Omit<RecordWalkerOptions, 'visitor'>,
): PartialComparison {
  const ends = [validEndOf(first, options), validEndOf(second, options)] as const;
  if (ends.some(({ stop }) => isForeign(stop, options.start))) {
    return { kind: 'different', lsn: options.start };
  }
  const [firstLength, secondLength] = ends.map(({ lsn }) => Number(lsn - options.start)) as [
    number,
    number,
  ];
  const common = Math.min(firstLength, secondLength, first.length, second.length);
  if (Buffer.compare(first.subarray(0, common), second.subarray(0, common)) !== 0) {
    let at = 0;
    while (first[at] === second[at]) at += 1;
    return { kind: 'different', lsn: toLsn(options.start + BigInt(at)) };
  }
  if (firstLength === secondLength) return { kind: 'equal' };
  return { kind: firstLength > secondLength ? 'first-longer' : 'second-longer' };
}

/** Whether the very first page is WAL of something else, and not merely unwritten or recycled. */
function isForeign(stop: WalStop | undefined, start: Lsn): boolean {
  return stop !== undefined && stop.lsn === start && !isNaturalEnd(stop.reason);
}
