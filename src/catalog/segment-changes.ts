import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { segmentNumberAt, segmentStart } from '../postgres/segment-name.ts';
import type { RecordChanges } from '../postgres/wal/change-chain.ts';
import {
  ChangeCollector,
  COLLECTED_BYTES,
  type RecordBounds,
} from '../postgres/wal/change-collector.ts';
import { decodeChangeSpan } from '../postgres/wal/change-span-codec.ts';
import type { ChangeSpan } from '../postgres/wal/change-span.ts';
import { isParsed, tryParseRecord } from '../postgres/wal/record-parser.ts';
import { RecordWalker } from '../postgres/wal/record-walker.ts';
import { SegmentDescriber } from '../postgres/wal/segment-facts.ts';
import { openObject } from '../repository/sealed-object.ts';
import { readWalObjectChanges } from '../repository/wal-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readPathSegment, segmentKey, walIdentity } from './segment-content.ts';
import type { StoredIndex, WalInventory } from './wal-inventory.ts';
import type { WalPathSegment } from './wal-path.ts';

/** Ten bytes per changed block of a hundred terabytes would be less. */
const SEALED_BYTES_MAX: number = 1024 * 1024 * 1024;

/** Reads what stored WAL changes, from where it was noted or from the WAL itself. */
export class ChangeReader {
  readonly #store: ObjectStore;
  readonly #inventory: WalInventory;

  constructor(store: ObjectStore, inventory: WalInventory) {
    this.#store = store;
    this.#inventory = inventory;
  }

  /** @throws WalnutError `object-damaged`, also when it is not of the WAL that its key says, or `object-missing`. */
  async sealed({ key, first, last }: StoredIndex): Promise<ChangeSpan> {
    const stored = await this.#store.get(key, SEALED_BYTES_MAX);
    const span = decodeChangeSpan(openObject(stored, 'wal-changes', key).plain);
    const { segmentBytes } = this.#inventory;
    const fits =
      span.startLsn === segmentStart(first, segmentBytes) &&
      span.endLsn === segmentStart(last + 1n, segmentBytes);
    if (fits) return span;
    throw new WalnutError('object-damaged', `read ${key}: it holds changes of other WAL`);
  }

  /** What was noted when the segment arrived; decoded anew when that is missing or damaged, or for an open one. */
  async segment(segment: WalPathSegment): Promise<ChangeSpan> {
    const noted = segment.open === null ? await this.#noted(segment) : null;
    return noted ?? this.decoded(segment);
  }

  /** Decoded from the WAL itself. @throws WalnutError `object-damaged`, `object-missing`. */
  async decoded(segment: WalPathSegment, bounds: RecordBounds = {}): Promise<ChangeSpan> {
    const { bytes, length } = await readPathSegment(this.#store, this.#inventory, segment);
    const describer = new SegmentDescriber({
      name: segment.name,
      ...walIdentity(this.#inventory.incarnation),
      changes: bounds,
    });
    describer.feed(bytes.subarray(0, length));
    const span = describer.changes();
    if (span !== undefined) return span;
    throw new WalnutError('object-damaged', `read WAL segment ${segment.name}: it holds no WAL`);
  }

  /**
   * What the record that begins at `lsn` says, read from the segments that hold it; null when they do not hold all of it.
   * @param segments in order; no more are read than are needed.
   */
  async record(lsn: Lsn, segments: readonly WalPathSegment[]): Promise<RecordChanges | null> {
    const { segmentBytes, incarnation } = this.#inventory;
    const start = segmentStart(segmentNumberAt(lsn, segmentBytes), segmentBytes);
    const collector = new ChangeCollector(start, { from: lsn });
    let isFound = false;
    const walker = new RecordWalker({
      start,
      ...walIdentity(incarnation),
      visitor: {
        wantedBytes: (manager, info) => (isParsed(manager, info) ? Infinity : COLLECTED_BYTES),
        record: (record) => {
          if (record.lsn !== lsn) return !isFound;
          const fact = tryParseRecord(record);
          if (fact === false) return false;
          collector.add(record, fact);
          isFound = true;
          return true;
        },
      },
    });
    for (const segment of segments) {
      const { bytes, length } = await readPathSegment(this.#store, this.#inventory, segment);
      walker.feed(bytes.subarray(0, length));
      if (isFound) return { map: collector.map, unusable: collector.unusable.list() };
      if (walker.stop !== undefined) return null;
    }
    return null;
  }

  async #noted(segment: WalPathSegment): Promise<ChangeSpan | null> {
    try {
      const key = segmentKey(this.#inventory, segment);
      const noted = await readWalObjectChanges(this.#store, key);
      if (noted.length === 0) return null;
      const span = decodeChangeSpan(noted);
      const start = segmentStart(segment.number, this.#inventory.segmentBytes);
      return span.startLsn === start ? span : null;
    } catch (error) {
      if (!hasCode(error, 'object-damaged', 'unsupported')) throw error;
      return null;
    }
  }
}
