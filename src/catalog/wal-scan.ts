/** Reads what is known about each segment of a path, in order: from sealed indexes where there are any. */
import { hasCode } from '../lib/walnut-error.ts';
import type { SegmentFacts } from '../postgres/wal/segment-facts.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readSegmentFacts } from './segment-content.ts';
import { summarizeSegment, type SegmentSummary } from './segment-summary.ts';
import { readIndex } from './wal-index.ts';
import type { WalInventory } from './wal-inventory.ts';
import type { WalPath, WalPathSegment } from './wal-path.ts';

/** Facts kept in memory: neighbours are read twice, for themselves and for the record that straddles to the next. */
const FACTS_KEPT = 4;

export class WalScan {
  readonly path: WalPath;
  readonly #store: ObjectStore;
  readonly #inventory: WalInventory;
  readonly #facts = new Map<string, SegmentFacts>();
  readonly #indexes = new Map<string, ReadonlyMap<string, SegmentSummary>>();

  constructor(store: ObjectStore, inventory: WalInventory, path: WalPath) {
    this.#store = store;
    this.#inventory = inventory;
    this.path = path;
  }

  get length(): number {
    return this.path.segments.length;
  }

  /** The facts of the path's segment at `position`; null when there is none. */
  async factsAt(position: number): Promise<SegmentFacts | null> {
    const segment = this.path.segments[position];
    if (segment === undefined) return null;
    const known = this.#facts.get(segment.name);
    if (known !== undefined) return known;
    const facts = await readSegmentFacts(this.#store, this.#inventory, segment);
    const [oldest] = this.#facts.keys();
    if (oldest !== undefined && this.#facts.size >= FACTS_KEPT) this.#facts.delete(oldest);
    this.#facts.set(segment.name, facts);
    return facts;
  }

  /** The summary of the path's segment at `position`; null when there is none. */
  async summaryAt(position: number): Promise<SegmentSummary | null> {
    const segment = this.path.segments[position];
    if (segment === undefined) return null;
    const indexed = await this.#fromIndex(segment);
    // Without its predecessor the index could not know the record that straddles into the first segment.
    if (indexed !== null && indexed.joined !== null) return indexed;
    const facts = await this.factsAt(position);
    return facts === null ? null : summarizeSegment(facts, await this.factsAt(position - 1));
  }

  async #fromIndex(segment: WalPathSegment): Promise<SegmentSummary | null> {
    const stored = this.#inventory.timelines.get(segment.timeline);
    const index = stored?.indexes.find(
      ({ first, last }) => first <= segment.number && segment.number <= last,
    );
    if (index === undefined || segment.open !== null) return null;
    let summaries = this.#indexes.get(index.key);
    if (summaries === undefined) {
      summaries = await this.#readIndex(index.key, index);
      this.#indexes.set(index.key, summaries);
    }
    return summaries.get(segment.name) ?? null;
  }

  async #readIndex(
    key: string,
    index: Parameters<typeof readIndex>[1],
  ): Promise<ReadonlyMap<string, SegmentSummary>> {
    try {
      return await readIndex(this.#store, { ...index, key });
    } catch (error) {
      // A damaged index costs time, not truth: the segments still say the same.
      if (!hasCode(error, 'object-damaged', 'object-missing')) throw error;
      return new Map();
    }
  }
}
