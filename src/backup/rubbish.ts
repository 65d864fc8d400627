/**
 * What dead backup attempts left behind. Plan, show, apply: the plan names every object; only names are deleted, and
 * only while the server's backup lease is held, under which nobody else writes there.
 */
import { WalnutError } from '../lib/walnut-error.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { backupKeys } from '../repository/layout.ts';
import { loadManifest } from '../repository/manifest.ts';
import { listBackupIds } from '../repository/repository.ts';
import type { Lease, ObjectInfo, ObjectStore } from '../storage/object-store.ts';

export type RubbishPlan = {
  readonly server: string;
  readonly attempts: readonly {
    readonly id: BackupId;
    readonly objects: readonly ObjectInfo[];
    readonly bytes: number;
  }[];
};

/** A backup folder without any manifest is a dead attempt: while the lease is held, none can be alive. */
export async function planRubbish(store: ObjectStore, server: string): Promise<RubbishPlan> {
  const attempts = [];
  for (const id of await listBackupIds(store, server)) {
    const names = await store.listFolder(backupKeys.folder(server, id));
    if (names.some((name) => name.startsWith('manifest-') || name === 'keep')) continue;
    const objects: ObjectInfo[] = [];
    for await (const object of store.list(backupKeys.folder(server, id))) objects.push(object);
    const bytes = objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    attempts.push({ id, objects, bytes });
  }
  return { server, attempts };
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
    const attempt = backupKeys.attempt(plan.server, id);
    for (const { key } of objects.filter((object) => object.key !== attempt))
      await store.delete(key);
    await store.delete(attempt);
  }
}
