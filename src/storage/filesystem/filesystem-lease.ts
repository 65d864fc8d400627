import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { sleep } from '../../lib/sleep.ts';
import { WalnutError, hasCode } from '../../lib/walnut-error.ts';
import type { Lease, LeaseOwner, ObjectStore } from '../object-store.ts';
import type { DurableFolders } from './durable-folders.ts';
import { explainFailure, isAbsent, type FilesystemRoot } from './error-mapping.ts';
import { openWriter } from './filesystem-writer.ts';
import { isProcessAlive } from './temporary-file.ts';

/** Primary result codes of SQLite, https://www.sqlite.org/rescode.html */
const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;

const OWNER_BYTES_MAX = 16_384;

/** The owner's name is written just after the lease is taken: a second comer that is too early looks again. */
const OWNER_LOOKS_MAX = 10;
const OWNER_LOOK_PAUSE_MS = 20;

export type LeaseRequest = {
  readonly root: FilesystemRoot;
  readonly folders: DurableFolders;
  readonly key: string;
  readonly owner: LeaseOwner;
  /** Where the owner's name is kept, under the lease's key. */
  readonly store: Pick<ObjectStore, 'get' | 'replace' | 'delete'>;
};

/**
 * Takes the lease `key`: an exclusive transaction of SQLite, never committed, on the empty file `.<name>.lock` beside
 * the key. SQLite locks by POSIX record locks, which the kernel frees with the process, and keeps a table of its own
 * against a second taker in the same process. Those locks also vanish when this process opens and closes the file by
 * any other way, so the file has a name that no key can have, is created under another name and is never opened here.
 */
export async function acquireFilesystemLease(request: LeaseRequest): Promise<Lease> {
  try {
    const path = await createLockFile(request);
    const identity = await identify(path);
    const database = await beginExclusive(path);
    if (database === null) throw await lockedBy(request);
    const lease = new FilesystemLease(request, { path, identity, database });
    try {
      await confirm(lease);
      await writeOwner(request);
      return lease;
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (error) {
    throw await explainFailure(error, `take lease ${request.key}`, request.root);
  }
}

type HeldLock = {
  readonly path: string;
  readonly identity: string | null;
  readonly database: DatabaseSync;
};

class FilesystemLease implements Lease {
  readonly key: string;
  readonly #request: LeaseRequest;
  readonly #lock: HeldLock;

  constructor(request: LeaseRequest, lock: HeldLock) {
    this.key = request.key;
    this.#request = request;
    this.#lock = lock;
  }

  async isHeld(): Promise<boolean> {
    const { database, identity, path } = this.#lock;
    if (!database.isOpen || !database.isTransaction) return false;
    return identity !== null && (await identify(path)) === identity;
  }

  async release(): Promise<void> {
    const { database } = this.#lock;
    if (!database.isOpen) return;
    try {
      // Before the lock is freed, so that the next owner's name is never the one removed.
      if (await this.isHeld()) await this.#request.store.delete(this.key);
    } finally {
      if (database.isOpen) database.close();
    }
  }
}

/** Between looking at the file and locking it another one may have come to its place. */
async function confirm(lease: Lease): Promise<void> {
  if (await lease.isHeld()) return;
  throw new WalnutError('locked', `take lease ${lease.key}: its lock file was replaced meanwhile`);
}

async function createLockFile({ root, folders, key }: LeaseRequest): Promise<string> {
  const lockKey = `${dirname(key)}/.${basename(key)}.lock`;
  const path = join(root.path, lockKey);
  if ((await identify(path)) !== null) return path;
  const writer = await openWriter({ root, folders, key: lockKey, placing: 'link' });
  await writer.commit().catch((error: unknown) => {
    if (!hasCode(error, 'object-exists')) throw error;
  });
  return path;
}

/** Answers null when somebody holds the lock. */
async function beginExclusive(path: string): Promise<DatabaseSync | null> {
  // Loaded only here: most commands never take a lease.
  const sqlite = await import('node:sqlite');
  const database = new sqlite.DatabaseSync(path, { timeout: 0 });
  try {
    // The journal stays in memory, so nothing is ever written. The second pragma asks for a write that is rolled back:
    // on a file that it cannot write SQLite takes BEGIN EXCLUSIVE for a plain BEGIN, without any lock.
    database.exec('PRAGMA journal_mode = memory; BEGIN EXCLUSIVE; PRAGMA user_version = 1');
    return database;
  } catch (error) {
    database.close();
    if (resultCodeOf(error) === SQLITE_BUSY) return null;
    if (resultCodeOf(error) !== SQLITE_READONLY) throw error;
    throw new WalnutError('permission', `lock ${path}: this user cannot write the file`, {
      hint: 'Run Walnut as the user who owns the repository.',
      cause: error,
    });
  }
}

function resultCodeOf(error: unknown): number {
  const code: unknown = error instanceof Error && 'errcode' in error ? error.errcode : undefined;
  return typeof code === 'number' ? code & 0xff : 0;
}

async function identify(path: string): Promise<string | null> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev} ${ino}`;
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}

/** The name only serves the second comer's message: a full disk must not keep `expire` from the lease it needs. */
async function writeOwner({ store, key, owner }: LeaseRequest): Promise<void> {
  try {
    await store.replace(key, Buffer.from(`${JSON.stringify(owner)}\n`));
  } catch (error) {
    if (!hasCode(error, 'disk-full')) throw error;
    await store.delete(key);
  }
}

async function lockedBy({ store, key }: LeaseRequest): Promise<WalnutError> {
  let owner: LeaseOwner | null = null;
  for (let look = 1; look <= OWNER_LOOKS_MAX && owner === null; look += 1) {
    if (look > 1) await sleep(OWNER_LOOK_PAUSE_MS);
    owner = await readOwner(store, key);
  }
  const holder =
    owner === null
      ? 'another process'
      : `${owner.command} (process ${owner.processId} on ${owner.host}, since ${owner.startedAt})`;
  return new WalnutError('locked', `take lease ${key}: ${holder} holds it`, {
    hint: 'Wait until it has finished, or stop it; the lease is free as soon as that process has ended.',
    details: { owner },
  });
}

/** Null when there is none, or when it is the name of a dead process, left from before the present holder's. */
async function readOwner(store: LeaseRequest['store'], key: string): Promise<LeaseOwner | null> {
  try {
    const owner = parseOwner((await store.get(key, OWNER_BYTES_MAX)).toString());
    const isDead = owner.host === hostname() && !isProcessAlive(owner.processId);
    return isDead ? null : owner;
  } catch (error) {
    if (hasCode(error, 'object-missing', 'object-damaged') || error instanceof SyntaxError) {
      return null;
    }
    throw error;
  }
}

function parseOwner(text: string): LeaseOwner {
  const value: unknown = JSON.parse(text);
  if (typeof value === 'object' && value !== null) {
    const { command, host, processId, startedAt } = value as Record<string, unknown>;
    if (
      typeof command === 'string' &&
      typeof host === 'string' &&
      typeof processId === 'number' &&
      typeof startedAt === 'string'
    ) {
      return { command, host, processId, startedAt };
    }
  }
  throw new SyntaxError(`read the owner of a lease: ${text.slice(0, 200)}`);
}
