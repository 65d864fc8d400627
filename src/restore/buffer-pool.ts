const SMALLEST_BYTES: number = 64 * 1024;

/**
 * Memory that is used again, in powers of two. Left to the allocator, buffers of changing size cost fresh pages for each
 * and gaps between them that stay. Holds as much as was ever in use at a time: its users have limits.
 */
export class BufferPool {
  readonly #free = new Map<number, Buffer[]>();

  /** At least so many bytes, with any content. */
  take(bytes: number): Buffer {
    let size = SMALLEST_BYTES;
    while (size < bytes) size *= 2;
    return this.#free.get(size)?.pop() ?? Buffer.allocUnsafeSlow(size);
  }

  /** @param buffer one that {@link take} answered, whole. */
  give(buffer: Buffer): void {
    const free = this.#free.get(buffer.length);
    if (free === undefined) this.#free.set(buffer.length, [buffer]);
    else free.push(buffer);
  }
}
