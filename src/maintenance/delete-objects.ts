/** Carries out what deletion plans name, and nothing else. Everything is checked again immediately before it goes. */
import { assert } from '../lib/assert.ts';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import type { BackupDeletion, DeletionPlan, NamedObject } from '../catalog/backup-deletion.ts';
import { isKept, readKeepMark } from '../catalog/keep-mark.ts';
import { leaseLost } from '../catalog/readers.ts';
import { readReachableObjects } from '../catalog/reachable-objects.ts';
import { loadManifest } from '../repository/manifest.ts';
import type { Lease, ObjectStore } from '../storage/object-store.ts';

export type DeletionRun = {
  readonly store: ObjectStore;
  readonly server: string;
  /** For messages: `expire`. */
  readonly command: string;
  readonly lease: Lease;
  readonly signal: AbortSignal;
  /** Told after each object that is gone. */
  readonly onDeleted: (object: NamedObject) => void;
};

export type BackupRemoval = DeletionRun & {
  /** Whether a mark that keeps a backup is to be respected; not when a person said so. */
  readonly respectsMarks: boolean;
  readonly now: Date;
};

/**
 * The manifests, oldest backup first. From then on the backups do not exist, and what follows can be done at any time
 * and by anyone: {@link removeContent}.
 */
export async function removeManifests(
  run: BackupRemoval,
  { backups }: DeletionPlan,
): Promise<void> {
  for (const backup of backups) {
    await requireUnchanged(run, backup);
    await removeNames(run, backup.manifests);
  }
}

/** What nobody reaches any more, and the notes of the attempts last. */
export async function removeContent(
  run: DeletionRun,
  { backups, leftovers }: DeletionPlan,
): Promise<void> {
  await removeUnreached(run, [
    ...backups.flatMap(({ content }) => content),
    ...leftovers,
    ...backups.flatMap(({ notes }) => notes),
  ]);
}

/** Packs and chunks are compared with what the manifests reach now, whatever was planned. */
export async function removeUnreached(
  run: DeletionRun,
  objects: readonly NamedObject[],
): Promise<void> {
  if (objects.length === 0) return;
  const reachable = await readReachableObjects(run.store, run.server);
  for (const { key } of objects) {
    const isReached = reachable.packs.has(key) || reachable.chunks.has(key);
    assert(!isReached, `nothing that a manifest names is deleted: ${key}`);
  }
  await removeNames(run, objects);
}

/** The lease is asked for before every single object. */
export async function removeNames(
  { store, server, command, lease, signal, onDeleted }: DeletionRun,
  objects: readonly NamedObject[],
): Promise<void> {
  for (const object of objects) {
    signal.throwIfAborted();
    if (!(await lease.isHeld())) throw leaseLost(command, server);
    await store.delete(object.key);
    onDeleted(object);
  }
}

async function requireUnchanged(run: BackupRemoval, planned: BackupDeletion): Promise<void> {
  const { store, server, command, now, respectsMarks } = run;
  const { id, manifestKey } = planned;
  if ((await presentManifest(run, planned)) !== manifestKey) {
    throw new WalnutError('failed', `${command} backup ${id} of server ${server}: it has changed`, {
      hint: 'Something else changes this repository; find it, then run the command again.',
    });
  }
  if (respectsMarks && isKept(await readKeepMark(store, { server, id }), now)) {
    throw new WalnutError(
      'locked',
      `${command} backup ${id} of server ${server}: it was marked to be kept meanwhile`,
      { hint: 'Run the command again: the next plan keeps it.' },
    );
  }
}

async function presentManifest(
  { store, server }: BackupRemoval,
  { id, manifestKey }: BackupDeletion,
): Promise<string | null> {
  try {
    return (await loadManifest(store, server, id))?.key ?? null;
  } catch (error) {
    if (manifestKey !== null || !hasCode(error, 'object-damaged', 'object-missing')) throw error;
    return null;
  }
}
