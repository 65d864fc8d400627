/**
 * What a repository asks of the place that keeps its objects: a folder today, a bucket tomorrow.
 *
 * Keys are relative POSIX paths of one or more segments, each matching `[A-Za-z0-9][A-Za-z0-9._-]*`, at most 255 bytes
 * long, 1024 in all; any other key fails with `storage`. The first segment is never `tmp`, which belongs to the driver,
 * and no key is a folder of another one. Objects are immutable: no call overwrites one, except
 * {@link ObjectStore.replace}, which exists for the few small mutable things that no restore needs.
 *
 * A key exists only with its whole content, and only after that content is durable. Its *name* is durable once `put`,
 * `commit` or `replace` has resolved, or failed with `object-exists`. Having seen it by `stat`, `get` or `list` is not
 * enough for whoever then answers for the object, such as `archive_command`: call `put` and compare.
 *
 * Errors common to all: `repository-missing` when the place itself is gone, `permission`, `disk-full`, and `storage` for
 * the rest. After any other failure than `object-exists` the object may exist or not; a retry may meet its own.
 */
export type ObjectStore = {
  /** What this store can do, instead of asking which store it is. */
  readonly properties: StoreProperties;

  /** Facts to open the same store again in a worker thread; structured-cloneable, holds no secrets by value. */
  readonly description: StoreDescription;

  /**
   * Begins an object of unknown size. Nothing is visible under `key` before `commit`.
   * The writer owns temporary space until `commit` or `abort`; one of the two must be called.
   */
  beginWrite(key: string): Promise<ObjectWriter>;

  /**
   * Stores a whole object durably; where a sync fails it is written anew. Fails with `object-exists` when the key is
   * taken, whatever its content is (compare with what is there: the caller decides whether that is the same object).
   */
  put(key: string, content: Uint8Array): Promise<void>;

  /** Replaces or creates a small mutable object atomically and durably. Never for what a restore needs. */
  replace(key: string, content: Uint8Array): Promise<void>;

  /**
   * Reads `into.length` bytes from `offset` into the caller's buffer; answers the number of bytes read, smaller only
   * at the end of the object. `object-missing` when there is no such key.
   */
  read(key: string, offset: number, into: Uint8Array): Promise<number>;

  /** The whole object; refuses objects larger than `maxBytes` with `object-damaged`. `object-missing` when absent. */
  get(key: string, maxBytes: number): Promise<Buffer>;

  /** Size and time of an object, or null when there is none. */
  stat(key: string): Promise<ObjectInfo | null>;

  /**
   * All objects whose key begins with `prefix` (whole segments: a prefix ends with `/` or is empty), in byte order of
   * the key. Temporary files are never listed. Objects that appear or vanish while listing may be seen or not.
   */
  list(prefix: string): AsyncIterable<ObjectInfo>;

  /**
   * Names directly below `prefix`: folders end with `/`. Does not descend; in byte order of the keys. A folder that
   * holds no object, left by a killed process, may be shown or not.
   */
  listFolder(prefix: string): Promise<string[]>;

  /** Removes one object by name; one that is already gone is no error. Durable when the promise resolves. */
  delete(key: string): Promise<void>;

  /**
   * Takes an exclusive lease by name, or fails with `locked`, naming the present owner (`details.owner`, or null when
   * it cannot be told). It excludes other processes, other threads and this thread alike. On a disk the kernel frees
   * the lease when the process dies, however it dies. While it is held the key shows the owner as JSON; that object may
   * outlive a killed owner, so it says nothing about whether the lease is held. A full disk does not prevent a lease.
   */
  acquireLease(key: string, owner: LeaseOwner): Promise<Lease>;

  /** Bytes that can still be written, or null when the store has no such limit. */
  freeBytes(): Promise<number | null>;

  /**
   * Removes what writers left that died in mid-write and cannot come back: older than `olderThanMs` and provably without
   * an owner. Answers the names of what was removed.
   */
  removeStaleTemporaries(olderThanMs: number): Promise<string[]>;

  /** Releases handles. Leases must have been released before. */
  close(): Promise<void>;
};

export type StoreProperties = {
  /** Smallest useful size of one part given to {@link ObjectWriter.writePart}, in bytes. */
  readonly partBytesMin: number;
  /** Reads and writes worth having under way at once. */
  readonly concurrency: number;
  /** Whether objects lie on this host's disk, so that reading costs no network. */
  readonly isLocal: boolean;
};

/** One driver's entry per kind of url. */
export type StoreDescription = FilesystemDescription;

export type StoreOptions = {
  /**
   * How many objects stay open between reads, where that means anything: for a process that reads few objects in many
   * pieces and ends soon. What is deleted meanwhile keeps its room until then.
   */
  readonly objectsKeptOpen?: number;
};

export type FilesystemDescription = {
  readonly kind: 'filesystem';
  /** Absolute path of the repository's folder. */
  readonly path: string;
};

export type ObjectInfo = {
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
};

export type ObjectWriter = {
  /**
   * Appends a part; one call at a time. The buffer belongs to the writer until the promise resolves. After a failure
   * the writer is closed and its space free: write the whole object anew, with a new writer.
   */
  writePart(part: Uint8Array): Promise<void>;
  /**
   * Makes the object durable and visible. `object-exists` when the key was taken meanwhile: the written content is then
   * discarded, and what is stored stays untouched. After any failure the writer is closed, as with `writePart`.
   */
  commit(): Promise<void>;
  /** Discards what was written. Safe to call after a failed `writePart` or `commit`, and twice. */
  abort(): Promise<void>;
};

/** Who holds a lease, for the error message of a second comer. */
export type LeaseOwner = {
  readonly command: string;
  readonly host: string;
  readonly processId: number;
  readonly startedAt: string;
};

export type Lease = {
  readonly key: string;
  /** Whether the lease is still this holder's own; asked immediately before and after every commit point. */
  isHeld(): Promise<boolean>;
  /** Frees the lease; a second call does nothing. */
  release(): Promise<void>;
};
