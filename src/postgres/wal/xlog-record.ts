import type { ByteReader } from '../../lib/byte-reader.ts';
import { toLsn, type Lsn } from '../lsn.ts';
import { readMainData, type RecordBytes } from './main-data.ts';
import type { WalVersion } from './versions/wal-version.ts';
import { XLOG_OPERATIONS } from './wal-constants.ts';

export const WAL_LEVELS = ['minimal', 'replica', 'logical'] as const;
export type WalLevel = (typeof WAL_LEVELS)[number];

type Checkpoint = {
  readonly kind: 'checkpoint';
  readonly shutdown: boolean;
  readonly redo: Lsn;
  readonly timeline: number;
  readonly previousTimeline: number;
  /** When the checkpoint began, µs since 2000-01-01 UTC (PostgreSQL stores whole seconds). */
  readonly timeUs: number;
  /** `undefined` before 17. */
  readonly walLevel: WalLevel | undefined;
};

/** What Walnut reads from records of the XLOG manager. Times are µs since 2000-01-01 UTC. */
export type XlogFact =
  | Checkpoint
  | { readonly kind: 'restore-point'; readonly timeUs: number; readonly name: string }
  | { readonly kind: 'checkpoint-redo'; readonly walLevel: WalLevel }
  | {
      readonly kind: 'end-of-recovery';
      readonly timeUs: number;
      readonly timeline: number;
      readonly previousTimeline: number;
      /** `undefined` before 17. */
      readonly walLevel: WalLevel | undefined;
    }
  | { readonly kind: 'backup-end'; readonly startLsn: Lsn }
  | { readonly kind: 'parameter-change'; readonly walLevel: WalLevel }
  | { readonly kind: 'switch' }
  | { readonly kind: 'record-overwritten'; readonly overwrittenLsn: Lsn; readonly timeUs: number };

const UNIX_TO_POSTGRES_SECONDS = 946_684_800;
const RESTORE_POINT_NAME_BYTES = 64;

type Reader = (reader: ByteReader, version: WalVersion) => XlogFact;

const READERS: Readonly<Record<number, Reader>> = {
  [XLOG_OPERATIONS.checkpointShutdown]: (reader, version) => readCheckpoint(reader, version, true),
  [XLOG_OPERATIONS.checkpointOnline]: (reader, version) => readCheckpoint(reader, version, false),
  [XLOG_OPERATIONS.switch]: () => ({ kind: 'switch' }),
  [XLOG_OPERATIONS.backupEnd]: (reader) => ({ kind: 'backup-end', startLsn: toLsn(reader.u64()) }),
  [XLOG_OPERATIONS.parameterChange]: readParameterChange,
  [XLOG_OPERATIONS.restorePoint]: readRestorePoint,
  [XLOG_OPERATIONS.endOfRecovery]: readEndOfRecovery,
  [XLOG_OPERATIONS.overwriteContrecord]: (reader) => ({
    kind: 'record-overwritten',
    overwrittenLsn: toLsn(reader.u64()),
    timeUs: readTime(reader),
  }),
  [XLOG_OPERATIONS.checkpointRedo]: (reader) => ({
    kind: 'checkpoint-redo',
    walLevel: readWalLevel(reader),
  }),
};

export function isXlogFact(info: number): boolean {
  return READERS[info & 0xf0] !== undefined;
}

/**
 * Reads a record of the XLOG manager; `undefined` for the kinds that Walnut has no use for (page images, next OID).
 * Structures: src/include/catalog/pg_control.h and src/include/access/xlog_internal.h.
 * @throws RangeError when the content does not fit its type.
 */
export function parseXlogRecord(
  record: RecordBytes & { readonly info: number },
): XlogFact | undefined {
  return READERS[record.info & 0xf0]?.(readMainData(record), record.version);
}

/** Reads a `TimestampTz`: exact for every time within 285 years of 2000. */
export function readTime(reader: ByteReader): number {
  const low = reader.u32();
  return (reader.u32() | 0) * 0x1_0000_0000 + low;
}

function readCheckpoint(reader: ByteReader, version: WalVersion, shutdown: boolean): Checkpoint {
  const redo = toLsn(reader.u64());
  const timeline = reader.u32();
  const previousTimeline = reader.u32();
  // fullPageWrites and padding; the level has the place of padding in versions that do not tell it.
  reader.take(4);
  const level = reader.u32();
  // nextXid … oldestMultiDB and padding lie between; the same length in 13 to 18.
  reader.take(40);
  const unixSeconds = readTime(reader);
  const timeUs = (unixSeconds - UNIX_TO_POSTGRES_SECONDS) * 1_000_000;
  const walLevel = version.checkpointWalLevel ? walLevelOf(level) : undefined;
  return { kind: 'checkpoint', shutdown, redo, timeline, previousTimeline, timeUs, walLevel };
}

function readParameterChange(reader: ByteReader): XlogFact {
  // max_connections, max_worker_processes, max_wal_senders, max_prepared_xacts, max_locks_per_xact.
  reader.take(20);
  return { kind: 'parameter-change', walLevel: readWalLevel(reader) };
}

function readRestorePoint(reader: ByteReader): XlogFact {
  const timeUs = readTime(reader);
  const field = reader.take(RESTORE_POINT_NAME_BYTES);
  const end = field.indexOf(0);
  const name = new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
  return { kind: 'restore-point', timeUs, name };
}

function readEndOfRecovery(reader: ByteReader, version: WalVersion): XlogFact {
  const timeUs = readTime(reader);
  return {
    kind: 'end-of-recovery',
    timeUs,
    timeline: reader.u32(),
    previousTimeline: reader.u32(),
    walLevel: version.checkpointWalLevel ? readWalLevel(reader) : undefined,
  };
}

function readWalLevel(reader: ByteReader): WalLevel {
  return walLevelOf(reader.u32());
}

function walLevelOf(number: number): WalLevel {
  const level = WAL_LEVELS[number];
  if (level === undefined) throw new RangeError('unknown wal_level');
  return level;
}
