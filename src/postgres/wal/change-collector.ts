import type { Lsn } from '../lsn.ts';
import { BlockReferences, REFERENCE_BYTES_MAX } from './block-reference.ts';
import { ChangeMap } from './change-map.ts';
import type { RecordFact } from './record-parser.ts';
import { isStorageFact, type StorageFact } from './storage-record.ts';
import { isTransaction, type RelationFile } from './transaction-record.ts';
import { UnusableReasons } from './unusable-wal.ts';
import type { WalRecord } from './wal-record.ts';

/** `XLR_SPECIAL_REL_UPDATE`: the record changes relation files otherwise than by its block references. */
const SPECIAL_RELATION_UPDATE = 0x01;

const FORK = { main: 0, freeSpaceMap: 1, visibilityMap: 2, init: 3 } as const;

/** Flags of `xl_smgr_truncate`: src/include/catalog/storage_xlog.h. */
const TRUNCATE_HEAP = 0x01;
const TRUNCATE_VISIBILITY_MAP = 0x02;

/** Heap blocks whose bits stand on one page of the visibility map: (8192 − 24) × 4. */
const HEAP_BLOCKS_PER_MAP_PAGE = 32_672;

/** The record bytes that {@link ChangeCollector} needs of a record that says nothing by its main data. */
export const COLLECTED_BYTES: number = REFERENCE_BYTES_MAX;

/** Only records that begin in [from, to) count. */
export type RecordBounds = { readonly from?: Lsn | undefined; readonly to?: Lsn | undefined };

/**
 * Collects, record by record in one walk, what WAL changes in relation files. Rules as in SummarizeWAL of
 * src/backend/postmaster/walsummarizer.c, except that every limit block is the lowest of the range.
 */
export class ChangeCollector {
  readonly map: ChangeMap = new ChangeMap();
  readonly unusable: UnusableReasons = new UnusableReasons();
  readonly #references = new BlockReferences();
  readonly #fromOffset: number;
  readonly #toOffset: number;

  /** @param start LSN from which the walk counts its offsets. */
  constructor(start: Lsn, bounds: RecordBounds = {}) {
    const { from, to } = bounds;
    this.#fromOffset = from === undefined ? 0 : Number(from - start);
    this.#toOffset = to === undefined ? Infinity : Number(to - start);
  }

  /** Takes note of a record, of which `fact` is what its main data says. */
  add(record: WalRecord, fact: RecordFact | undefined): void {
    if (record.offset < this.#fromOffset || record.offset >= this.#toOffset) return;
    const references = this.#references;
    references.open(record, record.heldBytes);
    while (references.next()) {
      if (references.fork !== FORK.freeSpaceMap) this.map.mark(references, references.block);
    }
    if (references.problem !== undefined) this.unusable.add('unreadable-record', record.lsn);
    if (record.prev.low === 0 && record.prev.high === 0) this.unusable.add('wal-reset', record.lsn);
    if (fact !== undefined) this.#addFact(fact, record);
    else if ((record.info & SPECIAL_RELATION_UPDATE) !== 0) {
      this.unusable.add('special-record', record.lsn);
    }
  }

  #addFact(fact: RecordFact, record: WalRecord): void {
    if (isTransaction(fact)) {
      for (const relation of fact.droppedRelations) this.#drop(relation);
      return;
    }
    if ('walLevel' in fact) {
      if (fact.walLevel === 'minimal') this.unusable.add('minimal-wal', record.lsn);
    } else if (isStorageFact(fact)) this.#addStorage(fact);
  }

  #addStorage(fact: StorageFact): void {
    switch (fact.kind) {
      case 'fork-created':
        this.#limit(fact.relation, fact.fork, 0);
        return;
      case 'relation-truncated': {
        const { relation, blocks, flags } = fact;
        if ((flags & TRUNCATE_HEAP) !== 0) this.#limit(relation, FORK.main, blocks);
        const mapPages = Math.ceil(blocks / HEAP_BLOCKS_PER_MAP_PAGE);
        if ((flags & TRUNCATE_VISIBILITY_MAP) !== 0) {
          this.#limit(relation, FORK.visibilityMap, mapPages);
        }
        return;
      }
      case 'database-created':
        this.map.rewrite({ tablespaceOid: fact.tablespace, databaseOid: fact.database });
        return;
      case 'database-dropped':
        for (const tablespaceOid of fact.tablespaces) {
          this.map.rewrite({ tablespaceOid, databaseOid: fact.database });
        }
    }
  }

  #drop(relation: RelationFile): void {
    for (const fork of Object.values(FORK)) this.#limit(relation, fork, 0);
  }

  #limit({ tablespace, database, relation }: RelationFile, fork: number, block: number): void {
    if (fork === FORK.freeSpaceMap) return;
    const identity = {
      tablespaceOid: tablespace,
      databaseOid: database,
      relfilenode: relation,
      fork,
    };
    this.map.limit(identity, block);
  }
}
