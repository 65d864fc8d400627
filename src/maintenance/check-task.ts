import type { ObjectStore } from '../storage/object-store.ts';
import { checkPack, type FrameFault } from './check-pack.ts';
import { checkWalObject, type WalObjectCheck } from './check-wal-object.ts';

/** One object to check, in a form that crosses threads. */
export type CheckTask = PackTask | WalTask;

export type PackTask = {
  readonly kind: 'pack';
  readonly key: string;
  readonly expectedBytes: number | null;
  /** Whether to read the frames too, or the index alone. */
  readonly readsFrames: boolean;
};

export type WalTask = WalObjectCheck & { readonly kind: 'wal' };

export type CheckVerdict = {
  /** Bytes read. */
  readonly bytes: number;
  /** Why the object cannot be used at all; null when it can. */
  readonly fault: string | null;
  /** Of a pack: frames that cannot be read. */
  readonly frames: readonly FrameFault[];
};

export async function runCheckTask(
  store: ObjectStore,
  task: CheckTask,
  signal?: AbortSignal,
): Promise<CheckVerdict> {
  if (task.kind === 'wal') return { ...(await checkWalObject(store, task)), frames: [] };
  const { key, expectedBytes, readsFrames } = task;
  const abort = signal === undefined ? {} : { signal };
  return checkPack(store, { key, expectedBytes, readsFrames, ...abort });
}
