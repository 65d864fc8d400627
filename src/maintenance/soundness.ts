/** Which backups can be counted on: those that could be restored with what the repository holds. */
import type { BackupCatalog, BackupRecord } from '../catalog/backup-catalog.ts';
import type { NamedObject } from '../catalog/backup-deletion.ts';
import type { KnownDamage } from '../catalog/known-damage.ts';
import type { WalInventory } from '../catalog/wal-inventory.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { walOfBackup } from './wal-of-backup.ts';

export type SoundnessFacts = {
  readonly catalog: BackupCatalog;
  /** Everything under `backup/`. */
  readonly objects: readonly NamedObject[];
  readonly known: KnownDamage;
  readonly inventories: readonly WalInventory[];
};

/** Why each of the others does not count. */
export function unsoundBackups(facts: SoundnessFacts): Map<BackupId, string> {
  const sizes = new Map(facts.objects.map(({ key, sizeBytes }) => [key, sizeBytes]));
  const unsound = new Map<BackupId, string>();
  for (const backup of facts.catalog.backups) {
    const reason = whyUnsound(backup, facts, sizes);
    if (reason !== null) unsound.set(backup.id, reason);
  }
  return unsound;
}

function whyUnsound(
  backup: BackupRecord,
  { known, inventories }: SoundnessFacts,
  sizes: ReadonlyMap<string, number>,
): string | null {
  const { manifest, damaged, incarnation } = backup;
  if (damaged) return 'it holds pages that were damaged on the server';
  for (const { key, storedBytes } of [...manifest.packs, ...manifest.chunks]) {
    const size = sizes.get(key);
    if (size === undefined) return `${key} is missing`;
    if (size !== storedBytes) return `${key} has ${size} bytes instead of ${storedBytes}`;
    if (known.has(key)) return `${key} was found damaged`;
  }
  const inventory = inventories.find(({ name }) => name === incarnation);
  if (inventory === undefined) return 'the record of the server does not know its incarnation';
  const [missing] = walOfBackup(inventory, backup).missing;
  return missing === undefined ? null : 'WAL that it needs is missing';
}
