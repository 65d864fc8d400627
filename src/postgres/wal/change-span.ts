import type { Lsn } from '../lsn.ts';
import type { MajorVersion } from '../version.ts';
import type { ChangeMap } from './change-map.ts';
import type { UnusableWal } from './unusable-wal.ts';

/** Consecutive bytes of one record, page headers not counted: what is kept of them. */
export type RecordFragment = {
  /** How many there are. */
  readonly length: number;
  /** All of them, or so many of the first that every block reference lies in them (`REFERENCE_BYTES_MAX`). */
  readonly bytes: Uint8Array;
  /** CRC-32C of all of them. */
  readonly crc: number;
};

/**
 * What a stretch of WAL (a segment, or a run of segments) says about relation files, and all that is needed to join it
 * with its neighbours without reading WAL again.
 */
export type ChangeSpan = {
  /** Start of its first segment. */
  readonly startLsn: Lsn;
  /** Where the next span begins; of one that is not {@link isClosed}, the end of its last whole record. */
  readonly endLsn: Lsn;
  /** Whether WAL goes on at `endLsn`, a segment's start; otherwise it ends inside a segment, for now or for good. */
  readonly isClosed: boolean;
  readonly segmentBytes: number;
  readonly majorVersion: MajorVersion;
  readonly systemIdentifier: bigint;
  /** Of the first and the last page. */
  readonly timelines: { readonly first: number; readonly last: number };
  /** The first record that begins here, and its `xl_prev`. */
  readonly firstRecord: { readonly lsn: Lsn; readonly prev: Lsn } | undefined;
  /** The last record that begins and ends here. */
  readonly lastRecordLsn: Lsn | undefined;
  /** What continues a record that began before. */
  readonly head:
    | (RecordFragment & {
        /** `xlp_rem_len` of the first page; more than `length` when the record goes on behind the span. */
        readonly remainingBytes: number;
        /** The record was given up by a crash and never took effect. */
        readonly overwritten: boolean;
      })
    | undefined;
  /** The record that begins here and goes on behind the span; it is not in the map. */
  readonly tail: (RecordFragment & { readonly lsn: Lsn; readonly totalBytes: number }) | undefined;
  /** Of the records that begin and end here. */
  readonly map: ChangeMap;
  /** Why WAL is not all that happened. */
  readonly unusable: readonly UnusableWal[];
};
