/**
 * What a repository asks of the place that keeps its objects: a folder today, a bucket tomorrow.
 *
 * Keys are relative POSIX paths of one or more segments, each matching `[A-Za-z0-9][A-Za-z0-9._-]*`. Objects are
 * immutable: no call overwrites one, except {@link ObjectStore.replace}, which exists for the few small mutable
 * things that no restore needs. A key exists only with its whole content, and only after that content is durable.
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
   * Stores a whole object durably. Fails with `object-exists` when the key is taken, whatever its content is
   * (compare with what is there: the caller decides whether that is the same object).
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

  /** Names directly below `prefix`: folders end with `/`. Does not descend; in byte order. */
  listFolder(prefix: string): Promise<string[]>;

  /** Removes one object by name; one that is already gone is no error. Durable when the promise resolves. */
  delete(key: string): Promise<void>;

  /**
   * Takes an exclusive lease by name, or fails with `locked`, naming the present owner. On a disk the kernel frees
   * the lease when the process dies, however it dies.
   */
  acquireLease(key: string, owner: LeaseOwner): Promise<Lease>;

  /** Bytes that can still be written, or null when the store has no such limit. */
  freeBytes(): Promise<number | null>;

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
  /** Appends a part. The buffer belongs to the writer until the promise resolves. */
  writePart(part: Uint8Array): Promise<void>;
  /**
   * Makes the object durable and visible. `object-exists` when the key was taken meanwhile: the written content is then
   * discarded, and what is stored stays untouched.
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
  /** Whether the lease is still this process's own; asked immediately before and after every commit point. */
  isHeld(): Promise<boolean>;
  release(): Promise<void>;
};
