import { RESOURCE_MANAGERS } from './wal-constants.ts';
import type { RecordBytes } from './main-data.ts';
import { parseDatabaseRecord, parseStorageRecord, type StorageFact } from './storage-record.ts';
import {
  isTransactionEnd,
  parseTransactionEnd,
  type TransactionEnd,
} from './transaction-record.ts';
import { isXlogFact, parseXlogRecord, type XlogFact } from './xlog-record.ts';

/** A record whose content Walnut understands. */
export type ParsableRecord = RecordBytes & {
  readonly resourceManager: number;
  readonly info: number;
  readonly xid: number;
};

export type RecordFact = TransactionEnd | XlogFact | StorageFact;

/** Whether {@link parseRecord} may find something in such a record; cheap, for `wantedBytes` and before parsing. */
export function isParsed(resourceManager: number, info: number): boolean {
  switch (resourceManager) {
    case RESOURCE_MANAGERS.xlog:
      return isXlogFact(info);
    case RESOURCE_MANAGERS.transaction:
      return isTransactionEnd(info);
    case RESOURCE_MANAGERS.storage:
    case RESOURCE_MANAGERS.database:
      return true;
    default:
      return false;
  }
}

/**
 * What a whole record says, if it is of a kind that Walnut reads.
 * @throws RangeError when the content does not fit its type.
 */
export function parseRecord(record: ParsableRecord): RecordFact | undefined {
  switch (record.resourceManager) {
    case RESOURCE_MANAGERS.xlog:
      return parseXlogRecord(record);
    case RESOURCE_MANAGERS.transaction:
      return parseTransactionEnd(record);
    case RESOURCE_MANAGERS.storage:
      return parseStorageRecord(record);
    case RESOURCE_MANAGERS.database:
      return parseDatabaseRecord(record);
    default:
      return undefined;
  }
}

/** As {@link parseRecord}; `false` for a record whose content does not fit its type. */
export function tryParseRecord(record: ParsableRecord): RecordFact | undefined | false {
  if (!isParsed(record.resourceManager, record.info)) return undefined;
  try {
    return parseRecord(record);
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
