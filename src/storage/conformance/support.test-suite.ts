import type { LeaseOwner, ObjectStore } from '../object-store.ts';

/** The store of the running test. */
export type StoreOf = () => ObjectStore;

export const OWNER: LeaseOwner = {
  command: 'walnut backup shop',
  host: 'db1.example',
  processId: 4711,
  startedAt: '2026-11-23T00:00:00Z',
};

export const bytes = (text: string): Buffer => Buffer.from(text);

/** The code of the error that a promise fails with, or `fulfilled`. */
export async function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'fulfilled',
    (error: unknown) => (error instanceof Error && 'code' in error ? error.code : error),
  );
}

export async function keysBelow(store: ObjectStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
}
