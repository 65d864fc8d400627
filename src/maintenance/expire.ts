/** Retention, carried out: makes the plan, tells it, and then deletes what it names. */
import { sizeOf, type NamedObject } from '../catalog/backup-deletion.ts';
import { recordExpiredWal, withdrawExpiredWal } from '../catalog/expired-wal.ts';
import { readWalInventory } from '../catalog/wal-inventory.ts';
import { readServerRecord } from '../repository/repository.ts';
import { announceDeletion } from '../catalog/readers.ts';
import {
  isEmptyPlan,
  planRetention,
  type PlannedArchive,
  type RetentionPlan,
} from '../catalog/retention-plan.ts';
import type { RetentionPolicy } from '../catalog/retention-policy.ts';
import { hasCode } from '../lib/walnut-error.ts';
import { thisProcess } from '../lib/this-process.ts';
import { serverKeys } from '../repository/layout.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import {
  removeContent,
  removeManifests,
  removeNames,
  type BackupRemoval,
} from './delete-objects.ts';
import { keepChanges } from './keep-changes.ts';
import { readServerPicture, retentionInput } from './read-retention.ts';
import { windowsAround, type WindowChange } from './window-change.ts';

export type ExpireOptions = {
  readonly store: ObjectStore;
  readonly server: string;
  readonly policy: RetentionPolicy;
  readonly now: Date;
  /** Plan and tell, and change nothing. */
  readonly dryRun: boolean;
};

export type ExpireProgress = {
  /** Told once, before anything is deleted. */
  readonly planned: (outcome: ExpireOutcome) => void;
  readonly deleted: (object: NamedObject) => void;
};

export type ExpireOutcome = {
  readonly plan: RetentionPlan;
  readonly windows: WindowChange;
  /** Bytes that the plan frees. */
  readonly freedBytes: number;
};

const COMMAND = 'expire';

/**
 * Killed at any moment it leaves every kept backup and every moment of the window restorable; the next run finishes.
 * @throws WalnutError `locked` while a backup or another deletion runs, or when a reader comes in between.
 */
export async function expire(
  options: ExpireOptions,
  progress: ExpireProgress,
  signal: AbortSignal,
): Promise<ExpireOutcome> {
  const { store, server, dryRun } = options;
  if (dryRun) return tell(await planExpiry(options), progress);
  const lease = await store.acquireLease(serverKeys.backupLease(server), thisProcess(COMMAND));
  try {
    await takeBackNotes(store, server);
    const outcome = tell(await planExpiry(options), progress);
    if (!isEmptyPlan(outcome.plan)) {
      const onDeleted = progress.deleted;
      const { now } = options;
      const run = { store, server, command: COMMAND, lease, signal, onDeleted, now };
      await apply({ ...run, respectsMarks: true }, outcome.plan);
    }
    return outcome;
  } finally {
    await lease.release();
  }
}

async function planExpiry({ store, server, policy, now }: ExpireOptions): Promise<ExpireOutcome> {
  const picture = await readServerPicture(store, server, now);
  const made = planRetention(retentionInput(picture, policy));
  const left = new Set(made.deletions.map(({ id }) => id));
  const windows = await windowsAround(store, {
    archives: made.archives,
    before: picture.catalog.backups,
    after: picture.catalog.backups.filter(({ id }) => !left.has(id)),
  });
  const freedBytes =
    made.deletions.reduce((sum, each) => sum + each.freedBytes, 0) +
    sizeOf(made.leftovers) +
    made.archives.reduce((sum, { objects }) => sum + sizeOf(objects), 0);
  return { plan: made, windows, freedBytes };
}

/** What an expire that was stopped had given up, and did not delete, is decided on anew. */
async function takeBackNotes(store: ObjectStore, server: string): Promise<void> {
  const record = await readServerRecord(store, server);
  for (const incarnation of record?.incarnations ?? []) {
    const inventory = await readWalInventory(
      store,
      { server, incarnation },
      { countsGivenUp: true },
    );
    const stored = [...inventory.timelines.values()].flatMap(({ ranges }) => ranges);
    try {
      await withdrawExpiredWal(store, { server, incarnation: inventory.name }, stored);
    } catch (error) {
      if (!hasCode(error, 'disk-full')) throw error;
    }
  }
}

function tell(outcome: ExpireOutcome, progress: ExpireProgress): ExpireOutcome {
  progress.planned(outcome);
  return outcome;
}

async function apply(run: BackupRemoval, plan: RetentionPlan): Promise<void> {
  const { store, server, command, lease } = run;
  const unsealed = new Set<PlannedArchive>();
  for (const archive of plan.archives) {
    if (!(await keepChanges(store, archive))) unsealed.add(archive);
  }
  // A reader that came since may count on any backup, and on the WAL behind it.
  const backups = plan.backups
    .filter(({ reasons }) => !reasons.includes('being-read'))
    .map(({ backup }) => backup.id);
  await announceDeletion(store, { server, backups, command, lease }, async () => {
    // From here on no window promises what is about to go.
    for (const archive of plan.archives) await noteExpired(run, archive);
    await removeManifests(run, { backups: plan.deletions, leftovers: [] });
  });
  await removeContent(run, { backups: plan.deletions, leftovers: plan.leftovers });
  for (const archive of unsealed) await keepChanges(store, archive);
  for (const archive of plan.archives) await removeWal(run, archive);
}

async function removeWal(run: BackupRemoval, archive: PlannedArchive): Promise<void> {
  let isNoted = await noteExpired(run, archive);
  for (const object of archive.objects) {
    await removeNames(run, [object]);
    isNoted ||= await noteExpired(run, archive);
  }
}

/** False on a full disk, which only deleting can help: the note is written as soon as there is room for it. */
async function noteExpired(
  { store, server }: BackupRemoval,
  { inventory, ranges }: PlannedArchive,
): Promise<boolean> {
  if (ranges.length === 0) return true;
  try {
    await recordExpiredWal(store, { server, incarnation: inventory.name }, ranges);
    return true;
  } catch (error) {
    if (!hasCode(error, 'disk-full')) throw error;
    return false;
  }
}
