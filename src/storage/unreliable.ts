import { WalnutError } from '../lib/walnut-error.ts';
import type { ObjectStore, ObjectWriter } from './object-store.ts';

/** The operations that can fail; `writePart` and `commit` are counted over all writers of the store. */
type FaultyOperation =
  | 'beginWrite'
  | 'writePart'
  | 'commit'
  | 'put'
  | 'replace'
  | 'read'
  | 'get'
  | 'stat'
  | 'delete'
  | 'acquireLease';

/** One thing that goes wrong: the `call`th call (from 1) of `operation`. */
export type Fault = {
  readonly operation: FaultyOperation;
  readonly call: number;
  /** `before` (default): nothing happened. `after`: it was done, and the answer got lost. */
  readonly moment?: 'before' | 'after';
  /** Default: a `storage` error that names the fault. */
  readonly error?: Error;
};

/** Decorates a store for tests so that the named calls fail, the same ones in every run. Listing never fails. */
export function unreliable(store: ObjectStore, faults: readonly Fault[]): ObjectStore {
  const counts = new Map<FaultyOperation, number>();

  const call = async <T>(operation: FaultyOperation, act: () => Promise<T>): Promise<T> => {
    const count = (counts.get(operation) ?? 0) + 1;
    counts.set(operation, count);
    const fault = faults.find((one) => one.operation === operation && one.call === count);
    if (fault === undefined) return act();
    if (fault.moment === 'after') await act();
    throw fault.error ?? new WalnutError('storage', `${operation}: planned fault in call ${count}`);
  };

  const wrapWriter = (writer: ObjectWriter): ObjectWriter => ({
    writePart: async (part) => call('writePart', async () => writer.writePart(part)),
    commit: async () => call('commit', async () => writer.commit()),
    abort: async () => writer.abort(),
  });

  return {
    properties: store.properties,
    get description() {
      return store.description;
    },
    beginWrite: async (key) =>
      call('beginWrite', async () => wrapWriter(await store.beginWrite(key))),
    put: async (key, content) => call('put', async () => store.put(key, content)),
    replace: async (key, content) => call('replace', async () => store.replace(key, content)),
    read: async (key, offset, into) => call('read', async () => store.read(key, offset, into)),
    get: async (key, maxBytes) => call('get', async () => store.get(key, maxBytes)),
    stat: async (key) => call('stat', async () => store.stat(key)),
    list: (prefix) => store.list(prefix),
    listFolder: async (prefix) => store.listFolder(prefix),
    delete: async (key) => call('delete', async () => store.delete(key)),
    acquireLease: async (key, owner) =>
      call('acquireLease', async () => store.acquireLease(key, owner)),
    freeBytes: async () => store.freeBytes(),
    removeStaleTemporaries: async (olderThanMs) => store.removeStaleTemporaries(olderThanMs),
    close: async () => store.close(),
  };
}
