import { toLsn, type Lsn } from '../lsn.ts';
import type { WalVersion } from './versions/wal-version.ts';

/**
 * One record as a visitor sees it. The walker reuses the object and its bytes: nothing of it may be kept after the
 * visit. Positions are byte offsets from the LSN where the walk began, because BigInt is too slow per record.
 */
export class WalRecord {
  version: WalVersion;
  /** LSN where the walk began. */
  base: Lsn;
  /** The record's first byte. */
  offset = 0;
  /** The first byte after it and its padding; the end of the segment after a switch. */
  endOffset = 0;
  prev: { high: number; low: number } = { high: 0, low: 0 };
  xid = 0;
  info = 0;
  resourceManager = 0;
  totalBytes = 0;

  /** The record's first {@link heldBytes} bytes, header included, lie at `bytes[start]`. */
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  start = 0;
  heldBytes = 0;

  constructor(version: WalVersion, base: Lsn) {
    this.version = version;
    this.base = base;
  }

  get lsn(): Lsn {
    return toLsn(this.base + BigInt(this.offset));
  }

  /** PostgreSQL's `EndRecPtr`. */
  get endLsn(): Lsn {
    return toLsn(this.base + BigInt(this.endOffset));
  }

  /** Start of the record before. */
  get prevLsn(): Lsn {
    return toLsn((BigInt(this.prev.high) << 32n) | BigInt(this.prev.low));
  }

  /** A view on the held bytes, header included. */
  get held(): Uint8Array {
    return this.bytes.subarray(this.start, this.start + this.heldBytes);
  }
}

/** What walks along. Both methods run synchronously inside `feed`. */
export type RecordVisitor = {
  /**
   * How many of the record's first bytes must lie together when it spans pages or pieces: 0 for a record that does
   * not matter, Infinity for all. Asked only for such records; others are always held whole. The bytes are copied,
   * so a wanted record costs memory as long as it is.
   */
  wantedBytes(resourceManager: number, info: number, totalBytes: number): number;
  /** A whole record whose checksum and link fit. `false` refuses its content and ends the walk before it. */
  record(record: WalRecord): boolean;
  /** A record begun at `lsn` was given up by a crash and overwritten; it never took effect. */
  overwritten?(lsn: Lsn): void;
};
