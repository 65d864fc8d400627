/** Deletes backups that a person named: by a plan that is told first, and never the last one by accident. */
import {
  planDeletion,
  sizeOf,
  type DeletionPlan,
  type NamedObject,
} from '../catalog/backup-deletion.ts';
import { isKept } from '../catalog/keep-mark.ts';
import { announceDeletion } from '../catalog/readers.ts';
import { thisProcess } from '../lib/this-process.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { serverKeys } from '../repository/layout.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { removeContent, removeManifests } from './delete-objects.ts';
import { readServerPicture, type ServerPicture } from './read-retention.ts';
import { windowsAround, type WindowChange } from './window-change.ts';

export type DeleteOptions = {
  readonly store: ObjectStore;
  readonly server: string;
  readonly backups: readonly BackupId[];
  readonly now: Date;
  readonly dryRun: boolean;
  /** Also backups that are marked to be kept. */
  readonly includesKept: boolean;
  /** Also the last backup that can be restored. */
  readonly includesLast: boolean;
};

export type DeleteProgress = {
  /** Told once, before anything is deleted. */
  readonly planned: (outcome: DeleteOutcome) => void;
  readonly deleted: (object: NamedObject) => void;
};

export type DeleteOutcome = {
  readonly plan: DeletionPlan;
  readonly windows: WindowChange;
  readonly freedBytes: number;
  /** Why the content of the backups stays for now; null when it goes with them. */
  readonly contentStays: string | null;
};

const COMMAND = 'delete';

/**
 * WAL stays: what of it nobody needs any more is for `expire` to say.
 * @throws WalnutError `no-backup` for an unknown one; `usage` for a kept or the last one without the word for it;
 * `locked` while a backup runs or one of them is being read.
 */
export async function deleteBackups(
  options: DeleteOptions,
  progress: DeleteProgress,
  signal: AbortSignal,
): Promise<DeleteOutcome> {
  const { store, server, dryRun } = options;
  if (dryRun) {
    const outcome = await planNamed(options);
    progress.planned(outcome);
    return outcome;
  }
  const lease = await store.acquireLease(serverKeys.backupLease(server), thisProcess(COMMAND));
  try {
    const outcome = await planNamed(options);
    progress.planned(outcome);
    const run = { store, server, command: COMMAND, lease, signal, onDeleted: progress.deleted };
    const removal = { ...run, now: options.now, respectsMarks: !options.includesKept };
    await announceDeletion(store, { ...run, backups: options.backups }, async () =>
      removeManifests(removal, outcome.plan),
    );
    await removeContent(run, outcome.plan);
    return outcome;
  } finally {
    await lease.release();
  }
}

async function planNamed(options: DeleteOptions): Promise<DeleteOutcome> {
  const { store, server, now } = options;
  const picture = await readServerPicture(store, server, now);
  const wanted = [...new Set(options.backups)].toSorted((one, other) => (one < other ? -1 : 1));
  for (const id of wanted) requireDeletable(options, picture, id);
  const going = new Set(wanted);
  const { catalog, objects, archives } = picture;
  const windows = await windowsAround(store, {
    archives: archives.map(({ inventory }) => ({ inventory, ranges: [] })),
    before: catalog.backups,
    after: catalog.backups.filter(({ id }) => !going.has(id)),
  });
  requireNotLast(options, picture, windows);
  const made = planDeletion({ catalog, objects, wanted });
  const freedBytes =
    made.backups.reduce((sum, each) => sum + each.freedBytes, 0) + sizeOf(made.leftovers);
  const unreadable = catalog.unreadable.find(({ id }) => !going.has(id));
  const contentStays =
    unreadable === undefined ? null : `what backup ${unreadable.id} needs is not known`;
  return { plan: made, windows, freedBytes, contentStays };
}

function requireDeletable(
  { server, includesKept, now }: DeleteOptions,
  { catalog, marks, beingRead }: ServerPicture,
  id: BackupId,
): void {
  const all = [...catalog.backups, ...catalog.unreadable];
  if (!all.some((backup) => backup.id === id)) {
    throw new WalnutError('no-backup', `delete backup ${id} of server ${server}: there is none`, {
      hint: `\`walnut list ${server}\` shows the backups there are.`,
    });
  }
  if (!includesKept && isKept(marks.get(id), now)) {
    throw new WalnutError('usage', `delete backup ${id} of server ${server}: it is to be kept`, {
      hint: `Release it with \`walnut keep ${server} ${id} --release\`, or add --even-kept.`,
    });
  }
  if (beingRead.has(id)) {
    throw new WalnutError('locked', `delete backup ${id} of server ${server}: it is being read`, {
      hint: 'Wait until the restore or verification that reads it has finished, or stop it.',
    });
  }
}

function requireNotLast(
  { server, backups, includesLast }: DeleteOptions,
  { catalog, unsound }: ServerPicture,
  windows: WindowChange,
): void {
  if (includesLast) return;
  const left = catalog.backups.filter(({ id }) => !backups.includes(id));
  const isSound = ({ id }: { readonly id: BackupId }): boolean => !unsound.has(id);
  const hadSound = catalog.backups.some(isSound);
  if (hadSound ? left.some(isSound) : left.length > 0) return;
  const last = windows.before.at(-1);
  const lost =
    last === undefined
      ? 'nothing of the server could be restored any more'
      : `every moment from ${last.from.toISOString()} to ${last.to.toISOString()} would be lost`;
  throw new WalnutError(
    'usage',
    `delete ${backups.join(', ')} of server ${server}: no undamaged backup would be left; ${lost}`,
    { hint: `Take another backup first: \`walnut backup ${server}\`; or add --even-last.` },
  );
}
