import type { Lsn } from '../lsn.ts';

/** Where a WAL stream puts what arrives until it is read: a copy, because the socket reads into one buffer. */
export type WalMemory = {
  /** The socket is paused while more than this waits to be read. */
  readonly queueBytesMax: number;
  /** Copies WAL that starts at `start`, as much of `part` as can lie together, at least a byte; answers the copy. */
  copy(start: Lsn, part: Uint8Array): Buffer;
  /** A batch is handed out: its bytes stay until the next one is, those of the batch before are given up. */
  turn(): void;
};

/** What may still come when the queue has become full: the rest of one read. */
const READ_BYTES_MAX: number = 256 * 1024;

/**
 * Memory for the bytes of a batch while the batch before it is still being read: two areas that take turns, so that a
 * stream of any length needs no more, and the garbage collector has nothing to follow. Touched only as far as it fills.
 */
export class BatchMemory implements WalMemory {
  readonly queueBytesMax: number;
  #filling: Buffer | null = null;
  #other: Buffer | null = null;
  #used = 0;

  constructor(queueBytesMax: number) {
    this.queueBytesMax = queueBytesMax;
  }

  copy(_start: Lsn, part: Uint8Array): Buffer {
    const area = (this.#filling ??= Buffer.allocUnsafeSlow(this.queueBytesMax + READ_BYTES_MAX));
    const end = this.#used + part.length;
    if (end > area.length) return Buffer.from(part);
    const copied = area.subarray(this.#used, end);
    copied.set(part);
    this.#used = end;
    return copied;
  }

  turn(): void {
    if (this.#used === 0) return;
    [this.#filling, this.#other] = [this.#other, this.#filling];
    this.#used = 0;
  }
}
