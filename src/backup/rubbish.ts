/**
 * What dead backup attempts left behind. Plan, show, apply: the plan names every object; only names are deleted, and
 * only while the server's backup lease is held, under which nobody else writes there.
 */
import { isUnreachable, readReachableObjects } from '../catalog/reachable-objects.ts';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import { readAttempt } from '../repository/attempt.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { backupKeys } from '../repository/layout.ts';
import { loadManifest } from '../repository/manifest.ts';
import { listBackupIds } from '../repository/repository.ts';
import type { Lease, ObjectInfo, ObjectStore } from '../storage/object-store.ts';
import type { DeadAttempt } from './attempt-pages.ts';

/** Attempts whose pages are looked at; older ones hold what younger ones hold too. */
const ATTEMPTS_KEPT = 2;

type AttemptRubbish = {
  readonly id: BackupId;
  readonly objects: readonly ObjectInfo[];
  readonly bytes: number;
};

export type RubbishPlan = { readonly server: string; readonly attempts: readonly AttemptRubbish[] };

/**
 * A backup folder without any manifest is a dead attempt: while the lease is held, none can be alive. What a backup
 * took over of it lives on.
 */
export async function planRubbish(store: ObjectStore, server: string): Promise<RubbishPlan> {
  const dead = await deadAttempts(store, server);
  if (dead.length === 0) return { server, attempts: [] };
  const reachable = await readReachableObjects(store, server);
  const attempts: AttemptRubbish[] = [];
  for (const id of dead) {
    const objects: ObjectInfo[] = [];
    for await (const object of store.list(backupKeys.folder(server, id))) {
      if (isUnreachable(reachable, object.key)) objects.push(object);
    }
    const bytes = objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    if (objects.length > 0) attempts.push({ id, objects, bytes });
  }
  return { server, attempts };
}

async function deadAttempts(store: ObjectStore, server: string): Promise<BackupId[]> {
  const dead: BackupId[] = [];
  for (const id of await listBackupIds(store, server)) {
    const names = await store.listFolder(backupKeys.folder(server, id));
    if (!names.some((name) => name.startsWith('manifest-') || name === 'keep')) dead.push(id);
  }
  return dead;
}

/**
 * Parts dead attempts whose pages the next backup may take over from those that are removed at once: of another
 * cluster, without the note of an attempt, or older.
 */
export async function partAttempts(
  store: ObjectStore,
  { server, attempts }: RubbishPlan,
  systemIdentifier: bigint,
): Promise<{ readonly usable: readonly DeadAttempt[]; readonly rubbish: RubbishPlan }> {
  const usable: DeadAttempt[] = [];
  const rubbish: AttemptRubbish[] = [];
  for (const attempt of attempts.toReversed()) {
    const packs = attempt.objects
      .map(({ key }) => key)
      .filter((key) => key.startsWith(`${backupKeys.folder(server, attempt.id)}pack-`));
    const isOfCluster = await isAttemptOf(store, { server, id: attempt.id }, systemIdentifier);
    if (packs.length > 0 && isOfCluster && usable.length < ATTEMPTS_KEPT) {
      usable.push({ id: attempt.id, packs });
    } else {
      rubbish.unshift(attempt);
    }
  }
  return { usable, rubbish: { server, attempts: rubbish } };
}

async function isAttemptOf(
  store: ObjectStore,
  place: { readonly server: string; readonly id: BackupId },
  systemIdentifier: bigint,
): Promise<boolean> {
  try {
    const attempt = await readAttempt(store, place);
    return attempt.systemIdentifier === String(systemIdentifier);
  } catch (error) {
    if (!hasCode(error, 'object-missing', 'object-damaged')) throw error;
    return false;
  }
}

/** The attempt note goes last, so that an interrupted removal is found and finished by the next backup. */
export async function removeRubbish(
  store: ObjectStore,
  plan: RubbishPlan,
  lease: Lease,
): Promise<void> {
  for (const { id, objects } of plan.attempts) {
    if (!(await lease.isHeld())) {
      throw new WalnutError(
        'locked',
        `remove dead attempt ${id} of server ${plan.server}: the lease was lost`,
      );
    }
    if ((await loadManifest(store, plan.server, id)) !== null) continue;
    const note = backupKeys.attempt(plan.server, id);
    const content = objects.filter(({ key }) => key !== note);
    for (const { key } of content) await store.delete(key);
    if (content.length < objects.length) await store.delete(note);
  }
}
