/** Whether the WAL behind the newest backup goes on without a hole. */
import { backupsOnHistory, type BackupRecord } from '../catalog/backup-catalog.ts';
import {
  gapsOf,
  historyOf,
  newestTimeline,
  readWalInventory,
  type WalInventory,
} from '../catalog/wal-inventory.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { extentOf, type LsnRange, type TimelineHistory } from '../postgres/timeline-history.ts';
import { presentIncarnation, readServerRecord } from '../repository/repository.ts';
import type { CheckedRepository } from './check-types.ts';
import { fail, pass, type Finding } from './finding.ts';

const NAME = 'WAL continuity';

export async function checkContinuity(
  { store, backups }: CheckedRepository,
  server: string,
): Promise<Finding> {
  const record = await readServerRecord(store, server);
  if (record === null) return pass(NAME, 'nothing is stored yet');
  const scope = { server, incarnation: presentIncarnation(record) };
  return judgeContinuity(await readWalInventory(store, scope), backups);
}

/**
 * A gap behind the newest undamaged backup cuts off every moment after it, until a new backup begins behind it. Older
 * gaps are history: what lies in them is lost, and no check can be passed by anything one does now.
 */
export function judgeContinuity(
  inventory: WalInventory,
  backups: readonly BackupRecord[],
): Finding {
  const { server } = inventory;
  const gaps = gapsOf(inventory);
  const timeline = newestTimeline(inventory);
  if (timeline === null || gaps.length === 0) return pass(NAME, 'no WAL is missing');
  const history = historyOf(inventory, timeline);
  const usable = backups.filter(
    ({ damaged, incarnation }) => !damaged && incarnation === inventory.name,
  );
  const newest = backupsOnHistory(usable, history).at(-1);
  if (newest === undefined) {
    return pass(NAME, `${describe(gaps)}, and no backup that would need it`);
  }
  const cutting = gaps.filter((gap) => gap.end > newest.startLsn && isOnTheWay(gap, history));
  const [first] = cutting;
  if (first === undefined) {
    return pass(
      NAME,
      `${describe(gaps)}, all of it before backup ${newest.id} or on a timeline left behind`,
    );
  }
  return fail(
    NAME,
    `${describe(cutting)}, behind the newest backup ${newest.id}: no moment after ${formatLsn(first.start)} can be restored`,
    {
      kind: 'other',
      text:
        `Take a new backup: walnut backup ${server}. If the missing segments still exist somewhere, store them with ` +
        `\`walnut wal push ${server} PATH\`.`,
    },
  );
}

/** Whether the way to the newest timeline leads over it. */
function isOnTheWay({ timeline, start, end }: LsnRange, history: TimelineHistory): boolean {
  const extent = extentOf(history, timeline);
  if (extent === null) return false;
  return end > extent.start && (extent.end === null || start < extent.end);
}

function describe(gaps: readonly LsnRange[]): string {
  const [first] = gaps;
  if (first === undefined) return 'no WAL is missing';
  const more = gaps.length === 1 ? '' : ` and in ${gaps.length - 1} more places`;
  return `WAL is missing from ${formatLsn(first.start)} to ${formatLsn(first.end)} on timeline ${first.timeline}${more}`;
}
