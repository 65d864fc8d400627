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
  for (const { key } of [...manifest.packs, ...manifest.chunks]) {
    if (!sizes.has(key)) return `${key} is missing`;
    if (known.has(key)) return `${key} was found damaged`;
  }
  // Only packs: the same chunk, stored by another release, may be a few bytes longer.
  const cut = manifest.packs.find(({ key, storedBytes }) => sizes.get(key) !== storedBytes);
  if (cut !== undefined) return `${cut.key} has not the size that its manifest tells`;
  const inventory = inventories.find(({ name }) => name === incarnation);
  if (inventory === undefined) return 'the record of the server does not know its incarnation';
  const [missing] = walOfBackup(inventory, backup).missing;
  return missing === undefined ? null : 'WAL that it needs is missing';
}
