import { ForkChanges } from './fork-changes.ts';

/** One fork of a relation's files, named as in WAL. */
export type ForkIdentity = {
  /** 1663 for the default tablespace, 1664 for shared relations. */
  readonly tablespaceOid: number;
  /** 0 for shared relations. */
  readonly databaseOid: number;
  readonly relfilenode: number;
  /** 0 main, 1 free space map, 2 visibility map, 3 init. */
  readonly fork: number;
};

/** Two OIDs whose files are to be read whole: `CREATE DATABASE` and `DROP DATABASE` name no relations. */
export type RewrittenDatabase = Pick<ForkIdentity, 'tablespaceOid' | 'databaseOid'>;

/** Slots of the cache of forks that the walk met last; a power of two. */
const RECENT_FORKS = 1024;

/**
 * Which blocks of which relation forks WAL changed in a range. A map may say too much and never too little, but only of
 * main and init forks: PostgreSQL does not log every change of a free space map (left out here altogether) and, before
 * 17.11 and 18.6, of a visibility map. Those two forks are to be read whole whatever a map says.
 *
 * Blocks at or above a fork's limit block all count as changed and are not listed. Merging is associative and commutative.
 * Memory grows with what changed, not with the WAL that told it.
 */
export class ChangeMap {
  /** By relfilenode × 4 + fork; the same of other databases follow as siblings. */
  readonly #forks = new Map<number, ForkChanges>();
  readonly #recent: (ForkChanges | undefined)[] = Array.from({ length: RECENT_FORKS });
  readonly #rewritten = new Map<string, RewrittenDatabase>();

  /** Lowest limit block of the fork in the range; null when it was neither created nor truncated. */
  limitBlock(fork: ForkIdentity): number | null {
    return this.#find(fork)?.limit ?? null;
  }

  /** Changed blocks in [begin, end) below the limit block, ascending. Empty when none. */
  changedBlocks(fork: ForkIdentity, begin: number, end: number): Uint32Array {
    return this.#find(fork)?.blocks(begin, end) ?? new Uint32Array(0);
  }

  /** All files of this database in this tablespace are to be read whole. */
  isRewritten(tablespaceOid: number, databaseOid: number): boolean {
    return this.#rewritten.has(`${tablespaceOid}/${databaseOid}`);
  }

  /** Takes note that a block changed. */
  mark(fork: ForkIdentity, block: number): void {
    this.#forkOf(fork).mark(block);
  }

  /** Takes note that a fork had no more than `block` blocks at some moment of the range. */
  limit(fork: ForkIdentity, block: number): void {
    this.#forkOf(fork).lower(block);
  }

  rewrite({ tablespaceOid, databaseOid }: RewrittenDatabase): void {
    this.#rewritten.set(`${tablespaceOid}/${databaseOid}`, { tablespaceOid, databaseOid });
  }

  /** Adds what another map says; that one stays as it is. */
  merge(other: ChangeMap): void {
    for (const changes of other.#all()) this.#forkOf(changes).addAll(changes);
    for (const database of other.#rewritten.values()) this.rewrite(database);
  }

  /** All forks in order of tablespace, database, relfilenode and fork. */
  forks(): ForkChanges[] {
    return [...this.#all()].toSorted(
      (first, second) =>
        first.tablespaceOid - second.tablespaceOid ||
        first.databaseOid - second.databaseOid ||
        first.relfilenode - second.relfilenode ||
        first.fork - second.fork,
    );
  }

  /** In order of tablespace and database. */
  rewrittenDatabases(): RewrittenDatabase[] {
    return [...this.#rewritten.values()].toSorted(
      (first, second) =>
        first.tablespaceOid - second.tablespaceOid || first.databaseOid - second.databaseOid,
    );
  }

  *#all(): Iterable<ForkChanges> {
    for (const first of this.#forks.values()) {
      for (let at: ForkChanges | undefined = first; at !== undefined; at = at.sibling) yield at;
    }
  }

  #forkOf(identity: ForkIdentity): ForkChanges {
    const slot = (identity.relfilenode * 4 + identity.fork) & (RECENT_FORKS - 1);
    const recent = this.#recent[slot];
    if (recent !== undefined && isSame(recent, identity)) return recent;
    const found = this.#find(identity) ?? this.#add(identity);
    this.#recent[slot] = found;
    return found;
  }

  #find(identity: ForkIdentity): ForkChanges | undefined {
    let found = this.#forks.get(identity.relfilenode * 4 + identity.fork);
    while (found !== undefined && !isSame(found, identity)) found = found.sibling;
    return found;
  }

  #add(identity: ForkIdentity): ForkChanges {
    const key = identity.relfilenode * 4 + identity.fork;
    const changes = new ForkChanges(identity);
    changes.sibling = this.#forks.get(key);
    this.#forks.set(key, changes);
    return changes;
  }
}

function isSame(first: ForkIdentity, second: ForkIdentity): boolean {
  return (
    first.relfilenode === second.relfilenode &&
    first.fork === second.fork &&
    first.databaseOid === second.databaseOid &&
    first.tablespaceOid === second.tablespaceOid
  );
}
