/** What a backup rests on: its type, its parent, and how the pages that changed since are known. */
import {
  readBackupCatalog,
  type BackupCatalog,
  type BackupRecord,
} from '../catalog/backup-catalog.ts';
import { readWalInventory } from '../catalog/wal-inventory.ts';
import type { ControlFile } from '../postgres/cluster/control-file.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { BackupType } from '../repository/backup-id.ts';
import { readKnownDamage, type KnownDamage } from '../catalog/known-damage.ts';
import type { Manifest } from '../repository/manifest.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import { warnOf, type BackupContext } from './backup-context.ts';
import { chooseParent, type ClusterLayout } from './choose-parent.ts';
import { findChanges } from './find-changes.ts';
import { requireStandardSegments } from './admit-server.ts';
import type { PageChanges } from './page-changes.ts';

export type ChangeSource = 'archive' | 'summaries' | 'compare';

export type BackupGround = {
  readonly type: BackupType;
  /** What the backup is a difference to; null for a full one. */
  readonly parent: BackupRecord | null;
  /** Whose pages and map chunks may be shared; null shares nothing. */
  readonly earlier: Manifest | null;
  readonly changeSource: ChangeSource | null;
  /** Null when every page is read. */
  readonly changes: PageChanges | null;
  readonly damage: KnownDamage;
};

/** Where the backup has started, and the control file as it was then. */
export type StartOnServer = {
  readonly lsn: Lsn;
  readonly timeline: TimelineId;
  readonly control: ControlFile;
};

/**
 * Called when the backup has started on the server: from its start LSN follows which parents will do and which WAL
 * tells of all changes. Whatever is not proven makes the backup read more, and is said.
 */
export async function decideGround(
  context: BackupContext,
  start: StartOnServer,
): Promise<BackupGround> {
  const { options, connected } = context;
  const { store, server } = options;
  const catalog = await readBackupCatalog(store, server);
  const damage = await readKnownDamage(store, server);
  const layout = layoutOf(start.control);
  const full = fullGround(context, catalog, { layout, damage });
  if (options.type === 'full' || options.fresh) return full;
  const type = options.type ?? 'incremental';
  const scope = { server, incarnation: connected.incarnation };
  const { histories } = await readWalInventory(store, scope);
  const history = histories.get(start.timeline);
  if (history === undefined) {
    return insteadOf(
      context,
      full,
      `the history of timeline ${start.timeline} is not in the repository`,
    );
  }
  const parent = usableParent(context, catalog, { type, history, layout, startLsn: start.lsn });
  if (parent === null) return full;
  const found = await findChanges(context, { parent, history, startLsn: start.lsn });
  if (found.kind === 'unusable') {
    return insteadOf(
      context,
      full,
      `WAL since ${parent.id} does not tell all changes: ${found.reason}`,
    );
  }
  const earlier = parent.manifest;
  const ground = { type, parent, earlier, damage };
  if (found.kind === 'known') {
    const { changeSource, changes } = found;
    return { ...ground, changeSource, changes };
  }
  warnOf(context)(
    `it is not known which pages changed since ${parent.id} (${found.reason}): every page is read and compared`,
  );
  return { ...ground, changeSource: 'compare', changes: null };
}

type Judged = { readonly layout: ClusterLayout; readonly damage: KnownDamage };

/** A full backup reads everything, and stores again only what the newest sound backup does not hold already. */
function fullGround(
  { options, connected }: BackupContext,
  { backups }: BackupCatalog,
  { layout, damage }: Judged,
): BackupGround {
  const incarnation = nameOfIncarnation(connected.incarnation);
  const newest = backups.findLast(
    (backup) =>
      backup.incarnation === incarnation &&
      !backup.damaged &&
      backup.manifest.cluster.segmentBlocks === layout.segmentBlocks,
  );
  const earlier = options.fresh ? null : (newest?.manifest ?? null);
  return { type: 'full', parent: null, earlier, changeSource: null, changes: null, damage };
}

function layoutOf(control: ControlFile): ClusterLayout {
  requireStandardSegments(control);
  return {
    blockBytes: control.blockSize,
    segmentBlocks: control.relationSegmentBlocks,
    walSegmentBytes: control.walSegmentBytes,
    dataChecksumVersion: control.dataChecksumVersion,
  };
}

type ParentWish = {
  readonly type: Exclude<BackupType, 'full'>;
  readonly history: TimelineHistory;
  readonly layout: ClusterLayout;
  readonly startLsn: Lsn;
};

/** Says which backups were passed over, and why there is a full backup instead when none will do. */
function usableParent(
  context: BackupContext,
  { backups }: BackupCatalog,
  wish: ParentWish,
): BackupRecord | null {
  const { progress, connected, options } = context;
  const incarnation = nameOfIncarnation(connected.incarnation);
  const { parent, passedOver } = chooseParent({ ...wish, backups, incarnation });
  if (parent !== null) {
    for (const { id, reason } of passedOver) progress.note(`${id} is no parent: ${reason}`);
    progress.note(
      `${wish.type} on top of ${parent.id}, which began at ${formatLsn(parent.startLsn)}`,
    );
    return parent;
  }
  const [newest] = passedOver;
  if (newest === undefined) {
    const what = wish.type === 'differential' ? 'full backup' : 'backup';
    const reason = `there is no ${what} of this server yet`;
    if (options.type === null) progress.note(`full backup: ${reason}`);
    else insteadOf(context, null, reason);
    return null;
  }
  insteadOf(context, null, `${newest.id} is no parent: ${newest.reason}`);
  return null;
}

/** A full backup where another was asked for or could have been expected: said, and kept with the backup. */
function insteadOf<Ground extends BackupGround | null>(
  context: BackupContext,
  full: Ground,
  reason: string,
): Ground {
  const { type } = context.options;
  const wanted =
    type === null ? 'an incremental' : `${type === 'differential' ? 'a' : 'an'} ${type}`;
  warnOf(context)(`full backup instead of ${wanted} one: ${reason}`);
  return full;
}
