import { combineCrc32c } from '../../lib/crc-combine.ts';
import type { Lsn } from '../lsn.ts';
import { REFERENCE_BYTES_MAX } from './block-reference.ts';
import type { RecordFragment } from './change-span.ts';
import { WalBytes } from './wal-bytes.ts';
import { RECORD_HEADER_BYTES } from './wal-constants.ts';

/** The begun part of a record that straddles the end of what was walked. */
export type TailFragment = {
  readonly lsn: Lsn;
  /** Bytes of the record there are, page headers not counted. */
  readonly length: number;
  /** `xl_tot_len`; `undefined` when even its four bytes are cut. */
  readonly totalBytes: number | undefined;
  /** The record's bytes; `undefined` when there are more than {@link FRAGMENT_BYTES_MAX}. */
  readonly bytes: Uint8Array | undefined;
};

/** The longest fragment that is kept raw: enough for a commit of 4000 subtransactions. */
export const FRAGMENT_BYTES_MAX: number = 16 * 1024;

/** Buffers longer than this are given back after the record that needed them. */
const RETAINED_BYTES_MAX = 1024 * 1024;

/**
 * A record whose bytes come from several pages or pieces: checksums all of them, keeps as many of the first as are
 * wanted, and at least the fragment limit.
 */
export class PartialRecord {
  /** Where the record begins, from the start of the walk. */
  offset = 0;
  gathered = 0;
  totalBytes = 0;
  /** Checksum of the bytes behind the header. */
  bodyCrc = 0;
  headerSeen = false;
  held: WalBytes = new WalBytes(new Uint8Array(2 * FRAGMENT_BYTES_MAX));
  #wanted = FRAGMENT_BYTES_MAX;

  begin(offset: number): void {
    this.offset = offset;
    this.gathered = 0;
    this.totalBytes = 0;
    this.bodyCrc = 0;
    this.headerSeen = false;
    this.#wanted = FRAGMENT_BYTES_MAX;
  }

  /** Bytes of the record that are still to come; the total must be known. */
  get left(): number {
    return this.totalBytes - this.gathered;
  }

  get heldBytes(): number {
    return Math.min(this.gathered, this.#wanted);
  }

  want(bytes: number): void {
    this.#wanted = Math.max(FRAGMENT_BYTES_MAX, bytes);
  }

  /**
   * Takes up to `available` bytes at `at`: first only those of the header, so that the caller can judge it, then of
   * the body. Returns how many.
   */
  take(source: WalBytes, at: number, available: number): number {
    if (this.gathered < RECORD_HEADER_BYTES) {
      const taken = Math.min(available, RECORD_HEADER_BYTES - this.gathered);
      this.held.bytes.set(source.bytes.subarray(at, at + taken), this.gathered);
      this.gathered += taken;
      if (this.gathered >= 4) this.totalBytes = this.held.view.getUint32(0, true);
      return taken;
    }
    const taken = Math.min(available, this.left);
    this.bodyCrc = source.crc(this.bodyCrc, at, at + taken);
    const kept = Math.min(taken, this.#wanted - this.gathered);
    if (kept > 0) this.#keep(source.bytes.subarray(at, at + kept));
    this.gathered += taken;
    return taken;
  }

  facts(lsn: Lsn): TailFragment {
    return {
      lsn,
      length: this.gathered,
      totalBytes: this.gathered < 4 ? undefined : this.totalBytes,
      bytes:
        this.gathered <= FRAGMENT_BYTES_MAX ? this.held.bytes.slice(0, this.gathered) : undefined,
    };
  }

  /** What is kept of the bytes for joining spans. */
  fragment(): RecordFragment {
    const length = this.gathered;
    const headerBytes = Math.min(length, RECORD_HEADER_BYTES);
    const header = this.held.crc(0, 0, headerBytes);
    const kept = length <= FRAGMENT_BYTES_MAX ? length : REFERENCE_BYTES_MAX;
    return {
      length,
      bytes: this.held.bytes.slice(0, kept),
      crc: combineCrc32c(header, this.bodyCrc, length - headerBytes),
    };
  }

  /** Gives back an unusually large buffer. */
  release(): void {
    if (this.held.bytes.length <= RETAINED_BYTES_MAX) return;
    this.held = new WalBytes(new Uint8Array(2 * FRAGMENT_BYTES_MAX));
  }

  /** Grows with the bytes that really came, never with the length that a header claims. */
  #keep(bytes: Uint8Array): void {
    const needed = this.gathered + bytes.length;
    if (needed > this.held.bytes.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.held.bytes.length));
      larger.set(this.held.bytes.subarray(0, this.gathered));
      this.held = new WalBytes(larger);
    }
    this.held.bytes.set(bytes, this.gathered);
  }
}
