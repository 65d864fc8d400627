/**
 * What a retention policy deletes, decided from a picture of the repository: pure, so that it can be shown, tested and
 * trusted. The algorithm is that of the guide, "Retention".
 */
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { backupsOnHistory, type BackupCatalog, type BackupRecord } from './backup-catalog.ts';
import { planDeletion, type BackupDeletion, type NamedObject } from './backup-deletion.ts';
import type { KeepMark } from './keep-mark.ts';
import { liveBranches, type LiveBranch } from './live-branches.ts';
import {
  hasRules,
  keptByRules,
  windowBegin,
  type BackupFacts,
  type KeepReason,
  type KeptBackups,
  type RetentionPolicy,
} from './retention-policy.ts';
import { expiringWal, type ExpiringWal, type StoredWalObject } from './wal-expiry.ts';
import { newestTimeline, type WalInventory } from './wal-inventory.ts';
import { walNeed, type NeededWal } from './wal-need.ts';

/** The WAL archive of one incarnation as it was found. */
export type ArchiveContents = {
  readonly inventory: WalInventory;
  readonly objects: readonly StoredWalObject[];
  /** When each timeline but the first branched off, or later. */
  readonly forkedAt: ReadonlyMap<TimelineId, Date>;
};

export type RetentionInput = {
  readonly catalog: BackupCatalog;
  /** Why a backup does not count as one that can be restored. */
  readonly unsound: ReadonlyMap<BackupId, string>;
  readonly marks: ReadonlyMap<BackupId, KeepMark>;
  readonly beingRead: ReadonlySet<BackupId>;
  /** Everything under `backup/`. */
  readonly objects: readonly NamedObject[];
  /** Oldest incarnation first. */
  readonly archives: readonly ArchiveContents[];
  readonly policy: RetentionPolicy;
  readonly now: Date;
};

export type PlannedBackup = {
  readonly backup: BackupRecord;
  /** Why it stays; none: it goes. */
  readonly reasons: readonly KeepReason[];
};

export type PlannedArchive = ExpiringWal & {
  readonly inventory: WalInventory;
  /** Why nothing of it goes, when something might have. */
  readonly heldBack: string | null;
};

export type RetentionPlan = {
  readonly server: string;
  readonly now: Date;
  /** Null without any rule: nothing expires then. */
  readonly windowBegin: Date | null;
  /** Why nothing at all goes; null when what the plan names may go. */
  readonly heldBack: string | null;
  readonly backups: readonly PlannedBackup[];
  /** Oldest first. */
  readonly deletions: readonly BackupDeletion[];
  readonly leftovers: readonly NamedObject[];
  readonly archives: readonly PlannedArchive[];
};

export function planRetention(input: RetentionInput): RetentionPlan {
  const { catalog, policy, now } = input;
  const begin = windowBegin(policy, factsOf(input), now);
  const { kept, branches } = decide(input, begin);
  const heldBack = whyHeldBack(input);
  const goes = (id: BackupId): boolean => heldBack === null && !kept.has(id);
  const wanted = catalog.backups.filter(({ id }) => goes(id)).map(({ id }) => id);
  const { backups: deletions, leftovers } = planDeletion({
    catalog,
    objects: input.objects,
    wanted,
  });
  return {
    server: catalog.server,
    now,
    windowBegin: hasRules(policy) ? begin : null,
    heldBack,
    backups: catalog.backups.map((backup) => ({ backup, reasons: kept.get(backup.id) ?? [] })),
    deletions,
    leftovers: heldBack === null ? leftovers : [],
    archives: input.archives.map((archive) => {
      const own = branches.get(archive) ?? [];
      return planArchive(archive, { input, kept, branches: own, isHeld: heldBack !== null });
    }),
  };
}

function factsOf({ catalog, unsound, marks, beingRead }: RetentionInput): BackupFacts {
  return { backups: catalog.backups, unsound, marks, beingRead };
}

type Decision = {
  readonly kept: KeptBackups;
  readonly branches: ReadonlyMap<ArchiveContents, readonly LiveBranch[]>;
};

/** The window reaches back through incarnations until one has a backup that ended before it began. */
function decide(input: RetentionInput, begin: Date): Decision {
  const kept = keptByRules(input.policy, factsOf(input), input.now);
  const branches = new Map<ArchiveContents, readonly LiveBranch[]>();
  const bases: BackupRecord[] = [];
  let isInWindow = true;
  for (const archive of input.archives.toReversed()) {
    const { inventory, forkedAt } = archive;
    const backups = backupsOf(archive, input);
    const { unsound } = input;
    const live = liveBranches({
      inventory,
      forkedAt,
      backups,
      unsound,
      kept,
      windowBegin: begin,
      isInWindow,
    });
    branches.set(archive, live);
    for (const { base } of live) if (base !== null) bases.push(base);
    isInWindow &&= live.every(({ base }) => base === null);
  }
  // Only now: a backup that is but a base must not make its branch a kept one.
  for (const { id } of new Set(bases)) kept.set(id, [...(kept.get(id) ?? []), 'window-base']);
  return { kept, branches };
}

function backupsOf(
  { inventory }: ArchiveContents,
  { catalog }: RetentionInput,
): readonly BackupRecord[] {
  return catalog.backups.filter(({ incarnation }) => incarnation === inventory.name);
}

function whyHeldBack({ catalog, policy, unsound }: RetentionInput): string | null {
  if (!hasRules(policy)) return 'no retention rule is configured';
  const [unreadable] = catalog.unreadable;
  if (unreadable !== undefined) {
    return `what backup ${unreadable.id} needs is not known: ${unreadable.reason}`;
  }
  const hasSound = catalog.backups.some(({ id }) => !unsound.has(id));
  return hasSound ? null : 'there is no sound backup';
}

type ArchivePlanning = {
  readonly input: RetentionInput;
  readonly kept: KeptBackups;
  readonly branches: readonly LiveBranch[];
  readonly isHeld: boolean;
};

function planArchive(
  archive: ArchiveContents,
  { input, kept, branches, isHeld }: ArchivePlanning,
): PlannedArchive {
  const { inventory, objects } = archive;
  const nothing = { inventory, objects: [], ranges: [], sealing: [] };
  if (isHeld) return { ...nothing, heldBack: null };
  const unknown = unknownTimeline(archive);
  if (unknown !== null) {
    return { ...nothing, heldBack: `the history of timeline ${unknown} is not known` };
  }
  const { segmentBytes } = inventory;
  const needed: NeededWal[] = branches.map(({ history, from }) => ({ history, from, to: null }));
  for (const backup of backupsOf(archive, input)) {
    if (kept.has(backup.id)) needed.push(...wantedBy(backup, inventory, kept));
  }
  const expiring = expiringWal({
    objects,
    need: walNeed(needed, segmentBytes),
    changeNeed: walNeed(neededChanges(archive, input, kept), segmentBytes),
    segmentBytes,
  });
  return { inventory, ...expiring, heldBack: null };
}

/**
 * What changed since the start of every backup that may still be a parent: a differential rests on the newest full one, an
 * incremental on the newest, and where there is no full one, on any.
 */
function neededChanges(
  archive: ArchiveContents,
  input: RetentionInput,
  kept: KeptBackups,
): NeededWal[] {
  const { inventory } = archive;
  const newest = newestTimeline(inventory);
  const history = newest === null ? undefined : inventory.histories.get(newest);
  if (history === undefined || archive !== input.archives.at(-1)) return [];
  const parents = backupsOnHistory(backupsOf(archive, input), history).filter(
    ({ id }) => kept.has(id) && !input.unsound.has(id),
  );
  const oldest = parents.findLast(({ manifest }) => manifest.type === 'full') ?? parents[0];
  return oldest === undefined ? [] : [{ history, from: oldest.startLsn, to: null }];
}

/** From start to stop; of a backup that is being read, all that a recovery from it may ask for. */
function wantedBy(
  { id, startLsn, stopLsn, timeline, stopTimeline }: BackupRecord,
  { histories }: WalInventory,
  kept: KeptBackups,
): NeededWal[] {
  const isRead = kept.get(id)?.includes('being-read') === true;
  const own = [histories.get(stopTimeline), histories.get(timeline)].filter(
    (history) => history !== undefined,
  );
  const needed: NeededWal[] = own.map((history) => ({ history, from: startLsn, to: stopLsn }));
  if (!isRead) return needed;
  for (const history of histories.values()) {
    const leads = [...history.ancestors.map((entry) => entry.timeline), history.timeline];
    if (leads.includes(stopTimeline)) needed.push({ history, from: startLsn, to: null });
  }
  return needed;
}

/** A timeline with WAL or a kept backup whose history file is missing or damaged: what leads to it cannot be told. */
function unknownTimeline({ inventory }: ArchiveContents): TimelineId | null {
  const unknown = [...inventory.timelines.keys()].find((one) => !inventory.histories.has(one));
  if (unknown !== undefined) return unknown;
  const [damaged] = inventory.damaged;
  if (damaged === undefined) return null;
  const name = damaged.key.slice(damaged.key.lastIndexOf('/') + 1);
  return Number.parseInt(name, 16) as TimelineId;
}

/** Whether there is anything to do. */
export function isEmptyPlan({ deletions, leftovers, archives }: RetentionPlan): boolean {
  return (
    deletions.length === 0 &&
    leftovers.length === 0 &&
    archives.every(({ objects }) => objects.length === 0)
  );
}
