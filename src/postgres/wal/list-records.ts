import type { Lsn } from '../lsn.ts';
import { RecordWalker, type RecordWalkerOptions } from './record-walker.ts';
import type { WalRecord } from './wal-record.ts';

/** A record as a value of its own: slow to make, friendly to read. */
export type ListedRecord = {
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
  readonly prev: Lsn;
  readonly xid: number;
  readonly resourceManager: number;
  readonly info: number;
  readonly totalBytes: number;
  /** The whole record, header included. */
  readonly bytes: Uint8Array;
};

/** All records in the given pieces of contiguous WAL, copied; the walker tells where and why they end. */
export function listRecords(
  pieces: Iterable<Uint8Array>,
  options: Omit<RecordWalkerOptions, 'visitor'>,
): { readonly records: ListedRecord[]; readonly walker: RecordWalker } {
  const records: ListedRecord[] = [];
  const walker = new RecordWalker({
    ...options,
    visitor: {
      wantedBytes: () => Infinity,
      record: (record) => records.push(listed(record)) > 0,
    },
  });
  for (const piece of pieces) {
    if (walker.feed(piece) === 'stopped') break;
  }
  return { records, walker };
}

function listed(record: WalRecord): ListedRecord {
  return {
    lsn: record.lsn,
    endLsn: record.endLsn,
    prev: record.prevLsn,
    xid: record.xid,
    resourceManager: record.resourceManager,
    info: record.info,
    totalBytes: record.totalBytes,
    bytes: new Uint8Array(record.held),
  };
}
