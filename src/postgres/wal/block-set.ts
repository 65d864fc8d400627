/** Blocks per chunk: a bitmap of a chunk is as large as one page. */
export const CHUNK_BLOCKS = 65_536;
const BITMAP_WORDS = CHUNK_BLOCKS / 32;
/**
 * Up to so many blocks a chunk is a sorted list: inserting into a longer one costs more than setting a bit, and a
 * bitmap of 8 kB is then at most 32 bytes per block.
 */
const LIST_MAX = 256;
const LIST_MIN = 8;

/** A set of block numbers below {@link CHUNK_BLOCKS}, as a short sorted list or a bitmap. */
export class BlockSet {
  #count = 0;
  #list: Uint16Array | undefined = new Uint16Array(LIST_MIN);
  #bits: Uint32Array | undefined;

  get count(): number {
    return this.#count;
  }

  add(block: number): void {
    const bits = this.#bits;
    if (bits === undefined) return this.#insert(block);
    const word = block >>> 5;
    const before = bits[word] as number;
    const after = (before | (1 << (block & 31))) >>> 0;
    if (after === before) return;
    bits[word] = after;
    this.#count += 1;
  }

  addAll(other: BlockSet): void {
    for (const block of other.blocks(0, CHUNK_BLOCKS)) this.add(block);
  }

  /** Forgets all blocks from `limit` on. */
  cut(limit: number): void {
    if (this.#list !== undefined) {
      this.#count = this.#place(limit);
      return;
    }
    const kept = this.blocks(0, limit);
    this.#bits = undefined;
    this.#list = new Uint16Array(LIST_MIN);
    this.#count = 0;
    for (const block of kept) this.add(block);
  }

  /** The blocks in [begin, end), ascending. */
  blocks(begin: number, end: number): Uint16Array {
    if (this.#list !== undefined) return this.#list.slice(this.#place(begin), this.#place(end));
    const bits = this.#bits ?? new Uint32Array(BITMAP_WORDS);
    const found = new Uint16Array(Math.max(0, Math.min(this.#count, end - begin)));
    let count = 0;
    for (let word = begin >>> 5; word << 5 < end; word += 1) {
      let rest = bits[word] ?? 0;
      while (rest !== 0) {
        const block = (word << 5) + 31 - Math.clz32(rest & -rest);
        if (block >= begin && block < end) {
          found[count] = block;
          count += 1;
        }
        rest &= rest - 1;
      }
    }
    return found.subarray(0, count);
  }

  /** How many blocks of the list lie below `block`. */
  #place(block: number): number {
    const list = this.#list as Uint16Array;
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((list[middle] as number) < block) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #insert(block: number): void {
    let list = this.#list as Uint16Array;
    const count = this.#count;
    const last = count === 0 ? -1 : (list[count - 1] as number);
    const place = block > last ? count : this.#place(block);
    if (place < count && list[place] === block) return;
    if (count === LIST_MAX) {
      this.#toBitmap();
      this.add(block);
      return;
    }
    if (count === list.length) {
      const longer = new Uint16Array(2 * count);
      longer.set(list);
      this.#list = longer;
      list = longer;
    }
    if (place < count) list.copyWithin(place + 1, place, count);
    list[place] = block;
    this.#count = count + 1;
  }

  #toBitmap(): void {
    const bits = new Uint32Array(BITMAP_WORDS);
    for (const block of this.blocks(0, CHUNK_BLOCKS)) {
      const word = block >>> 5;
      bits[word] = ((bits[word] as number) | (1 << (block & 31))) >>> 0;
    }
    this.#bits = bits;
    this.#list = undefined;
  }
}
