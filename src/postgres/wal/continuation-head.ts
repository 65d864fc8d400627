import { REFERENCE_BYTES_MAX } from './block-reference.ts';
import type { RecordFragment } from './change-span.ts';
import { FRAGMENT_BYTES_MAX } from './partial-record.ts';
import type { WalBytes } from './wal-bytes.ts';

/** The bytes at the start of a walk that belong to a record begun before it. */
export type HeadContinuation = {
  /** `xlp_rem_len` of the first page: bytes of the record from there on, page headers not counted. */
  readonly remainingBytes: number;
  /** How many of them were walked over; fewer than remain when the record goes on behind the end. */
  readonly length: number;
  /** Those bytes; `undefined` when there are more than {@link FRAGMENT_BYTES_MAX}. */
  readonly bytes: Uint8Array | undefined;
  /** A crash cut the record off and the server wrote over it: it never took effect. */
  readonly overwritten: boolean;
};

/** Gathers the {@link HeadContinuation} of a walk. */
export class ContinuationHead {
  #remaining = -1;
  #length = 0;
  #overwritten = false;
  #crc = 0;
  readonly #parts: Uint8Array[] = [];

  begin(remaining: number, overwritten: boolean): void {
    this.#remaining = overwritten ? 0 : remaining;
    this.#overwritten = overwritten;
  }

  get left(): number {
    return this.#remaining - this.#length;
  }

  overwrite(): void {
    this.#overwritten = true;
  }

  take(source: WalBytes, at: number, available: number): number {
    const taken = Math.min(available, this.left);
    if (this.#length + taken <= FRAGMENT_BYTES_MAX) {
      // A copy: `slice` of a Buffer would be a view on the caller's bytes.
      this.#parts.push(new Uint8Array(source.bytes.subarray(at, at + taken)));
    }
    this.#crc = source.crc(this.#crc, at, at + taken);
    this.#length += taken;
    return taken;
  }

  /** What is kept of the bytes for joining spans. */
  fragment(): RecordFragment {
    const length = this.#length;
    const held = Buffer.concat(this.#parts);
    const bytes = length <= FRAGMENT_BYTES_MAX ? held : held.subarray(0, REFERENCE_BYTES_MAX);
    return { length, bytes, crc: this.#crc };
  }

  facts(): HeadContinuation | undefined {
    if (this.#remaining < 0) return undefined;
    return {
      remainingBytes: this.#remaining,
      length: this.#length,
      bytes: this.#length <= FRAGMENT_BYTES_MAX ? Buffer.concat(this.#parts) : undefined,
      overwritten: this.#overwritten,
    };
  }
}
