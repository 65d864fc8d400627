/** A fork of a relation, as WAL names it. */
export type ForkIdentity = {
  readonly tablespaceOid: number;
  readonly databaseOid: number;
  readonly relfilenode: number;
  /** 0 main, 1 fsm, 2 vm, 3 init. */
  readonly fork: number;
};

/** What WAL tells about the pages that changed since a parent began: a superset, never with a hole. */
export type PageChanges = {
  /** Lowest limit block of the fork in the range; null when it was neither created nor truncated. */
  limitBlock(fork: ForkIdentity): number | null;
  /** Changed blocks in [begin, end), ascending. */
  changedBlocks(fork: ForkIdentity, begin: number, end: number): Uint32Array;
  /** All files of this database in this tablespace are to be read whole. */
  isRewritten(tablespaceOid: number, databaseOid: number): boolean;
};
