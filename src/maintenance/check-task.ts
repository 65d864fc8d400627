import type { ObjectStore } from '../storage/object-store.ts';
import { checkPack, type FrameFault } from './check-pack.ts';
import { checkWalObject, type WalObjectCheck } from './check-wal-object.ts';

/** One object to check, in a form that crosses threads. */
export type CheckTask = PackTask | WalTask;

export type PackTask = {
  readonly kind: 'pack';
  readonly key: string;
  readonly expectedBytes: number | null;
  /** Share of the frames to read; null for all. */
  readonly samplePercent: number | null;
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
  { random, signal }: { readonly random: () => number; readonly signal?: AbortSignal },
): Promise<CheckVerdict> {
  if (task.kind === 'wal') return { ...(await checkWalObject(store, task)), frames: [] };
  const { key, expectedBytes, samplePercent } = task;
  const draw = (): boolean => samplePercent === null || random() * 100 < samplePercent;
  return checkPack(store, {
    key,
    expectedBytes,
    draw,
    ...(signal === undefined ? {} : { signal }),
  });
}
