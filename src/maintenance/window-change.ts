/** How recovery windows change with what is deleted. */
import type { BackupRecord } from '../catalog/backup-catalog.ts';
import { recoveryWindows, type RecoveryWindow } from '../catalog/recovery-window.ts';
import { withoutWal, type WalInventory } from '../catalog/wal-inventory.ts';
import type { LsnRange } from '../postgres/timeline-history.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export type WindowChange = {
  readonly before: readonly RecoveryWindow[];
  readonly after: readonly RecoveryWindow[];
};

export type WindowQuestion = {
  readonly archives: readonly {
    readonly inventory: WalInventory;
    /** WAL that is given up. */
    readonly ranges: readonly LsnRange[];
  }[];
  readonly before: readonly BackupRecord[];
  readonly after: readonly BackupRecord[];
};

export async function windowsAround(
  store: ObjectStore,
  { archives, before, after }: WindowQuestion,
): Promise<WindowChange> {
  const change = { before: [] as RecoveryWindow[], after: [] as RecoveryWindow[] };
  for (const { inventory, ranges } of archives) {
    change.before.push(...(await recoveryWindows(store, inventory, before)));
    const left = withoutWal(inventory, ranges);
    change.after.push(...(await recoveryWindows(store, left, after)));
  }
  return change;
}

/** Moments of one timeline, both ends included. */
export type Moments = { readonly timeline: number; readonly from: Date; readonly to: Date };

/** What could be restored before and cannot after, per timeline; a window of one moment counts as that moment. */
export function lostMoments({ before, after }: WindowChange): Moments[] {
  return before.flatMap((window) => {
    const { timeline } = window;
    const left = after.filter((other) => other.timeline === timeline);
    const lost: Moments[] = [];
    let from: Date | null = window.from;
    for (const { from: begin, to: end } of left) {
      if (from === null || end < from || begin > window.to) continue;
      if (begin > from) lost.push({ timeline, from, to: begin });
      from = end >= window.to ? null : end;
    }
    return from === null ? lost : [...lost, { timeline, from, to: window.to }];
  });
}
