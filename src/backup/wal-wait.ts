/** Waits until the repository holds all WAL that a backup needs; without it the backup could not be restored. */
import { readWalInventory, type WalScope } from '../catalog/wal-inventory.ts';
import { followWal } from '../catalog/wal-path.ts';
import { sleep } from '../lib/sleep.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export type WalWait = {
  readonly store: ObjectStore;
  readonly scope: WalScope;
  /** The timeline on which the backup stopped. */
  readonly timeline: TimelineId;
  readonly startLsn: Lsn;
  readonly stopLsn: Lsn;
  readonly timeoutMs: number;
  /** What the person can do when WAL does not come. */
  readonly hint: string;
  readonly onWaiting: (arrivedLsn: Lsn | null) => void;
  /** Brings WAL from this position on by itself, if it can; answers how many segments. */
  readonly bring: (from: Lsn) => Promise<number>;
  readonly signal: AbortSignal;
};

const POLL_FIRST_MS = 50;
const POLL_MAX_MS = 2000;

export async function waitForBackupWal(wait: WalWait): Promise<void> {
  const deadline = Date.now() + wait.timeoutMs;
  let pauseMs = POLL_FIRST_MS;
  for (;;) {
    const arrived = await arrivedUpTo(wait);
    if (arrived !== null && arrived >= wait.stopLsn) return;
    if (Date.now() > deadline) throw walDidNotCome(wait, arrived);
    wait.onWaiting(arrived);
    if ((await wait.bring(arrived ?? wait.startLsn)) > 0) continue;
    await sleep(pauseMs, wait.signal);
    pauseMs = Math.min(pauseMs * 2, POLL_MAX_MS);
  }
}

/** How far the stored WAL goes without a hole from the backup's start, or null when its beginning is not there yet. */
async function arrivedUpTo({ store, scope, timeline, startLsn }: WalWait): Promise<Lsn | null> {
  const inventory = await readWalInventory(store, scope);
  try {
    const path = followWal(inventory, { timeline, from: startLsn });
    return path.end > startLsn ? path.end : null;
  } catch (error) {
    // The history file of a timeline that has just begun may still be on its way.
    if (error instanceof WalnutError && error.code === 'target-unreachable') return null;
    throw error;
  }
}

function walDidNotCome(wait: WalWait, arrived: Lsn | null): WalnutError {
  const reached =
    arrived === null ? 'none of it is there' : `it is there up to ${formatLsn(arrived)}`;
  return new WalnutError(
    'timeout',
    `wait for WAL from ${formatLsn(wait.startLsn)} to ${formatLsn(wait.stopLsn)} in the repository: ` +
      `${reached} after ${Math.round(wait.timeoutMs / 1000)} s`,
    { hint: wait.hint },
  );
}
