import { readMainData, type RecordBytes } from './main-data.ts';
import { readRelationFile, type RelationFile } from './transaction-record.ts';

/** `info & 0xF0` of the Storage manager: src/include/catalog/storage_xlog.h. */
const STORAGE_CREATE = 0x10;
const STORAGE_TRUNCATE = 0x20;

/** What happens to whole forks and databases. */
export type StorageFact =
  | {
      readonly kind: 'fork-created';
      readonly relation: RelationFile;
      /** 0 main, 1 fsm, 2 vm, 3 init. */
      readonly fork: number;
    }
  | {
      readonly kind: 'relation-truncated';
      readonly relation: RelationFile;
      /** Blocks left in the main fork. */
      readonly blocks: number;
      /** `SMGR_TRUNCATE_…`: 1 main fork, 2 visibility map, 4 free space map. */
      readonly flags: number;
    }
  | {
      readonly kind: 'database-created';
      readonly database: number;
      readonly tablespace: number;
      /** Whether its files were copied without a record per page (`STRATEGY file_copy`, and always before 15). */
      readonly byFileCopy: boolean;
    }
  | {
      readonly kind: 'database-dropped';
      readonly database: number;
      readonly tablespaces: readonly number[];
    };

const STORAGE_KINDS: readonly StorageFact['kind'][] = [
  'fork-created',
  'relation-truncated',
  'database-created',
  'database-dropped',
];

export function isStorageFact(fact: { readonly kind: string }): fact is StorageFact {
  return (STORAGE_KINDS as readonly string[]).includes(fact.kind);
}

/** @throws RangeError when the content does not fit its type. */
export function parseStorageRecord(
  record: RecordBytes & { readonly info: number },
): StorageFact | undefined {
  const operation = record.info & 0xf0;
  if (operation === STORAGE_CREATE) {
    const reader = readMainData(record);
    return { kind: 'fork-created', relation: readRelationFile(reader), fork: reader.u32() };
  }
  if (operation === STORAGE_TRUNCATE) {
    const reader = readMainData(record);
    const blocks = reader.u32();
    const relation = readRelationFile(reader);
    return { kind: 'relation-truncated', relation, blocks, flags: reader.u32() };
  }
  return undefined;
}

/** @throws RangeError when the content does not fit its type. */
export function parseDatabaseRecord(
  record: RecordBytes & { readonly info: number },
): StorageFact | undefined {
  const operation = record.info & 0xf0;
  const { createFileCopy, createWalLog, drop } = record.version.databaseOperations;
  if (operation === createFileCopy || operation === createWalLog) {
    const reader = readMainData(record);
    return {
      kind: 'database-created',
      database: reader.u32(),
      tablespace: reader.u32(),
      byFileCopy: operation === createFileCopy,
    };
  }
  if (operation === drop) {
    const reader = readMainData(record);
    const database = reader.u32();
    const count = reader.u32();
    if (count * 4 > reader.remaining) throw new RangeError('tablespaces exceed the record');
    const tablespaces = Array.from({ length: count }, () => reader.u32());
    return { kind: 'database-dropped', database, tablespaces };
  }
  return undefined;
}
