/** Looks for single records in the WAL itself, where the index knows only of some kinds. */
import type { Lsn } from '../postgres/lsn.ts';
import { segmentNumberAt, segmentStart } from '../postgres/segment-name.ts';
import { RecordWalker } from '../postgres/wal/record-walker.ts';
import type { WalRecord } from '../postgres/wal/wal-record.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readPathSegment, walIdentity } from './segment-content.ts';
import type { WalInventory } from './wal-inventory.ts';
import type { WalPath, WalPathSegment } from './wal-path.ts';

export type RecordPlace = {
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
};

/** The first record on the path that begins at or after `lsn`, with its segment's position; null when none does. */
export async function findRecordFrom(
  store: ObjectStore,
  inventory: WalInventory,
  { path, lsn }: { readonly path: WalPath; readonly lsn: Lsn },
): Promise<(RecordPlace & { readonly position: number }) | null> {
  const number = segmentNumberAt(lsn, inventory.segmentBytes);
  const first = path.segments.findIndex((segment) => segment.number >= number);
  if (first < 0) return null;
  // One walk over neighbours, because the record may go on over several of them.
  const walk = new RecordWalk(inventory, path.segments[first], (record) => record.lsn >= lsn);
  for (const segment of path.segments.slice(first)) {
    const { bytes, length } = await readPathSegment(store, inventory, segment);
    const record = walk.feed(bytes.subarray(0, length));
    if (record !== null) {
      return record.endLsn > path.end ? null : { ...record, position: first };
    }
    if (walk.isOver) return null;
  }
  return null;
}

/** The last record of a segment that ends at or before `end`; null when none does. */
export async function lastRecordBefore(
  store: ObjectStore,
  inventory: WalInventory,
  { segment, end }: { readonly segment: WalPathSegment; readonly end: Lsn },
): Promise<RecordPlace | null> {
  let last: RecordPlace | null = null;
  const walk = new RecordWalk(inventory, segment, (record) => {
    if (record.endLsn <= end) last = { lsn: record.lsn, endLsn: record.endLsn };
    return record.endLsn > end;
  });
  const { bytes, length } = await readPathSegment(store, inventory, segment);
  walk.feed(bytes.subarray(0, length));
  return last;
}

class RecordWalk {
  readonly #walker: RecordWalker;
  #found: RecordPlace | null = null;
  #isOver = false;

  constructor(
    inventory: WalInventory,
    segment: WalPathSegment | undefined,
    isWanted: (record: WalRecord) => boolean,
  ) {
    const identity = walIdentity(inventory.incarnation);
    this.#walker = new RecordWalker({
      ...identity,
      start: segmentStart(segment?.number ?? 0n, inventory.segmentBytes),
      visitor: {
        wantedBytes: () => 0,
        record: (record) => {
          if (this.#found === null && isWanted(record)) {
            this.#found = { lsn: record.lsn, endLsn: record.endLsn };
          }
          return this.#found === null;
        },
      },
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  feed(bytes: Uint8Array): RecordPlace | null {
    this.#isOver = this.#walker.feed(bytes) === 'stopped';
    return this.#found;
  }
}
