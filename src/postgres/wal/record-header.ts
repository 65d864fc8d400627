import { toLsn, type Lsn } from '../lsn.ts';
import { RECORD_HEADER_BYTES } from './wal-constants.ts';
import type { WalStopReason } from './wal-stop.ts';
import type { WalVersion } from './versions/wal-version.ts';

/*
 * XLogRecord, src/include/access/xlogrecord.h, little-endian, aligned to 8 bytes:
 *   0 u32 total length   4 u32 xid   8 u64 prev   16 u8 info   17 u8 rmid   18 padding   20 u32 crc
 * The checksum covers the bytes from 24 to the end, then the bytes from 0 to 20.
 */
export const RECORD_CRC_OFFSET = 20;
const CUSTOM_RESOURCE_MANAGER_MIN = 128;

export type RecordHeader = {
  readonly totalBytes: number;
  readonly xid: number;
  /** Start of the record before this one. */
  readonly prev: Lsn;
  readonly info: number;
  readonly resourceManager: number;
  readonly crc: number;
};

/** Reads a record header without judging it; `undefined` when there are too few bytes. */
export function readRecordHeader(bytes: Uint8Array): RecordHeader | undefined {
  if (bytes.length < RECORD_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    totalBytes: view.getUint32(0, true),
    xid: view.getUint32(4, true),
    prev: toLsn(view.getBigUint64(8, true)),
    info: view.getUint8(16),
    resourceManager: view.getUint8(17),
    crc: view.getUint32(RECORD_CRC_OFFSET, true),
  };
}

/** Judges `xl_tot_len`, the only field that always stands on the page where a record begins. */
export function lengthProblem(totalBytes: number, version: WalVersion): WalStopReason | undefined {
  if (totalBytes === 0) return 'zero-length';
  if (totalBytes < RECORD_HEADER_BYTES || totalBytes > version.recordBytesMax) return 'bad-length';
  return undefined;
}

export function isResourceManager(id: number, version: WalVersion): boolean {
  return (
    id <= version.resourceManagerMax ||
    (version.customResourceManagers && id >= CUSTOM_RESOURCE_MANAGER_MIN)
  );
}
