/**
 * Which packs and map chunks the backups of a server need. Packs are shared: a manifest may point into the folder of an
 * earlier backup, of one that was deleted since, or of an attempt that never became one. So an object under `backup/`
 * lives while any manifest names it, wherever it lies.
 */
import type { ObjectStore } from '../storage/object-store.ts';
import { readBackupCatalog, type BackupCatalog, type DamagedBackup } from './backup-catalog.ts';

export type ReachableObjects = {
  readonly server: string;
  /** Keys of all packs that a readable manifest names. */
  readonly packs: ReadonlySet<string>;
  /** Keys of all map chunks that a readable manifest names. */
  readonly chunks: ReadonlySet<string>;
  /**
   * Backups that have a manifest which cannot be read. What they need is not known: while there is one, nothing is
   * rubbish, because everything may be theirs.
   */
  readonly unreadable: readonly DamagedBackup[];
};

/** Reads every manifest of the server. True only while the backup lease is held: others may commit or delete. */
export async function readReachableObjects(
  store: ObjectStore,
  server: string,
): Promise<ReachableObjects> {
  return reachableObjects(await readBackupCatalog(store, server));
}

function reachableObjects({
  server,
  backups,
  unreadable,
}: Pick<BackupCatalog, 'server' | 'backups' | 'unreadable'>): ReachableObjects {
  const packs = new Set<string>();
  const chunks = new Set<string>();
  for (const { manifest } of backups) {
    for (const { key } of manifest.packs) packs.add(key);
    for (const { key } of manifest.chunks) chunks.add(key);
  }
  return { server, packs, chunks, unreadable };
}

/** Whether a pack or map chunk is proven to be of use to nobody. Never true while a backup is unreadable. */
export function isUnreachable(reachable: ReachableObjects, key: string): boolean {
  if (reachable.unreadable.length > 0) return false;
  return !reachable.packs.has(key) && !reachable.chunks.has(key);
}
