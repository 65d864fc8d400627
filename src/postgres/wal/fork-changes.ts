import { BlockSet, CHUNK_BLOCKS } from './block-set.ts';
import type { ForkIdentity } from './change-map.ts';

/** Larger than any block number: `InvalidBlockNumber`. */
const NO_LIMIT = 0xffff_ffff;

/** What changed in one fork. Blocks at or above the limit are changed by definition and not kept. */
export class ForkChanges implements ForkIdentity {
  readonly tablespaceOid: number;
  readonly databaseOid: number;
  readonly relfilenode: number;
  readonly fork: number;
  /** The next fork whose relfilenode and fork number are the same, of another database or tablespace. */
  sibling: ForkChanges | undefined;
  readonly #chunks = new Map<number, BlockSet>();
  #limit = NO_LIMIT;
  /** Most references are near the one before. */
  #lastChunk = -1;
  #lastSet = new BlockSet();

  constructor(identity: ForkIdentity) {
    this.tablespaceOid = identity.tablespaceOid;
    this.databaseOid = identity.databaseOid;
    this.relfilenode = identity.relfilenode;
    this.fork = identity.fork;
  }

  get limit(): number | null {
    return this.#limit === NO_LIMIT ? null : this.#limit;
  }

  mark(block: number): void {
    if (block >= this.#limit) return;
    const chunk = block >>> 16;
    if (chunk !== this.#lastChunk) this.#enter(chunk);
    this.#lastSet.add(block & 0xffff);
  }

  lower(limit: number): void {
    if (limit >= this.#limit) return;
    this.#limit = limit;
    this.#cut();
  }

  addAll(other: ForkChanges): void {
    if (other.#limit < this.#limit) this.lower(other.#limit);
    for (const [chunk, set] of other.#chunks) {
      if (chunk * CHUNK_BLOCKS >= this.#limit) continue;
      this.#enter(chunk);
      this.#lastSet.addAll(set);
    }
    this.#cut();
  }

  /** The changed blocks in [begin, end), ascending. */
  blocks(begin: number, end: number): Uint32Array {
    const parts: { readonly base: number; readonly offsets: Uint16Array }[] = [];
    let count = 0;
    const first = Math.floor(begin / CHUNK_BLOCKS);
    for (const chunk of this.chunkNumbers()) {
      const base = chunk * CHUNK_BLOCKS;
      if (chunk < first || base >= end) continue;
      const from = Math.max(0, begin - base);
      const offsets = this.#set(chunk).blocks(from, Math.min(CHUNK_BLOCKS, end - base));
      parts.push({ base, offsets });
      count += offsets.length;
    }
    const found = new Uint32Array(count);
    let at = 0;
    for (const { base, offsets } of parts) {
      for (const offset of offsets) {
        found[at] = base + offset;
        at += 1;
      }
    }
    return found;
  }

  get blockCount(): number {
    let count = 0;
    for (const set of this.#chunks.values()) count += set.count;
    return count;
  }

  /** The chunks in which anything changed, ascending. */
  chunkNumbers(): number[] {
    return [...this.#chunks.keys()].toSorted((first, second) => first - second);
  }

  /** Forgets what lies at or above the limit. */
  #cut(): void {
    const last = Math.floor(this.#limit / CHUNK_BLOCKS);
    for (const [chunk, set] of this.#chunks) {
      if (chunk === last) set.cut(this.#limit % CHUNK_BLOCKS);
      if (chunk > last || set.count === 0) this.#chunks.delete(chunk);
    }
    this.#lastChunk = -1;
  }

  #set(chunk: number): BlockSet {
    return this.#chunks.get(chunk) ?? new BlockSet();
  }

  #enter(chunk: number): void {
    let set = this.#chunks.get(chunk);
    if (set === undefined) {
      set = new BlockSet();
      this.#chunks.set(chunk, set);
    }
    this.#lastChunk = chunk;
    this.#lastSet = set;
  }
}
