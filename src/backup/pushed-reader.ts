import type { FileRange, RangeReader, RangeSink } from './cluster-source.ts';

/** Answers ranges from content that the main thread pushed: the files of a `BASE_BACKUP` stream. */
export class PushedRangeReader implements RangeReader {
  #bytes: Uint8Array = new Uint8Array(0);

  /** The content of the next task's items, one after the other. */
  offer(bytes: Uint8Array): void {
    this.#bytes = bytes;
  }

  async readRanges(ranges: readonly FileRange[], sink: RangeSink): Promise<void> {
    let at = 0;
    for (const [index, range] of ranges.entries()) {
      const part = this.#bytes.subarray(at, at + range.length);
      at += range.length;
      sink.bufferFor(index).set(part);
      await sink.received(index, part.length);
    }
  }

  async close(): Promise<void> {
    this.#bytes = new Uint8Array(0);
  }
}
