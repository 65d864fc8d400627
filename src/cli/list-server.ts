/** What `list` and `show` tell of a server, read from the repository alone. */
import {
  readBackupCatalog,
  type BackupRecord,
  type DamagedBackup,
} from '../catalog/backup-catalog.ts';
import { isKept, readKeepMarks, type KeepMark } from '../catalog/keep-mark.ts';
import { readKnownDamage } from '../catalog/known-damage.ts';
import { recoveryWindows, type RecoveryWindow } from '../catalog/recovery-window.ts';
import { gapsOf, plannedGapsOf, readWalInventory } from '../catalog/wal-inventory.ts';
import type { LsnRange } from '../postgres/timeline-history.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import {
  nameOfIncarnation,
  presentIncarnation,
  readServerRecord,
  type Incarnation,
} from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export type IncarnationContents = {
  readonly incarnation: Incarnation;
  readonly windows: readonly RecoveryWindow[];
  readonly gaps: readonly LsnRange[];
  /** Between what is stored: given up by retention. */
  readonly plannedGaps: readonly LsnRange[];
};

export type ServerContents = {
  readonly name: string;
  /** Null until the server was seen for the first time. */
  readonly present: Incarnation | null;
  /** Oldest first; those before the present one only when backups of them are left. */
  readonly incarnations: readonly IncarnationContents[];
  readonly backups: readonly BackupRecord[];
  readonly unreadable: readonly DamagedBackup[];
  readonly kept: ReadonlyMap<string, KeepMark>;
  /** Backups that need something which the last check found damaged in the repository. */
  readonly hit: ReadonlySet<string>;
};

export async function listServerContents(
  store: ObjectStore,
  name: string,
  now: Date,
): Promise<ServerContents> {
  const { backups, unreadable } = await readBackupCatalog(store, name);
  const record = await readServerRecord(store, name);
  const present = record === null ? null : presentIncarnation(record);
  const used = new Set(backups.map(({ incarnation }) => incarnation));
  const incarnations: IncarnationContents[] = [];
  for (const incarnation of record?.incarnations ?? []) {
    if (incarnation !== present && !used.has(nameOfIncarnation(incarnation))) continue;
    const inventory = await readWalInventory(store, { server: name, incarnation });
    const windows = await recoveryWindows(store, inventory, backups);
    const plannedGaps = plannedGapsOf(inventory);
    incarnations.push({ incarnation, windows, gaps: gapsOf(inventory), plannedGaps });
  }
  const kept = await readKept(store, name, { backups, now });
  const known = await readKnownDamage(store, name);
  const isHit = ({ manifest }: BackupRecord): boolean =>
    [...manifest.packs, ...manifest.chunks].some(({ key }) => known.has(key));
  const hit = new Set(backups.filter(isHit).map(({ id }) => id));
  return { name, present, incarnations, backups, unreadable, kept, hit };
}

/** Backups that a person marked to be kept, for as long as the mark holds. */
async function readKept(
  store: ObjectStore,
  server: string,
  { backups, now }: { readonly backups: readonly BackupRecord[]; readonly now: Date },
): Promise<ReadonlyMap<string, KeepMark>> {
  const ids = backups.map(({ id }) => id);
  const marks = await readKeepMarks(store, server, ids);
  return new Map([...marks].filter(([, mark]) => isKept(mark, now)));
}

export type ShownBackup = Pick<ServerContents, 'name' | 'kept'> & { readonly backup: BackupRecord };

/** One backup by its id, or the newest; null when there is none. Throws `object-damaged` for a damaged manifest. */
export async function readShownBackup(
  store: ObjectStore,
  { name, wanted, now }: { readonly name: string; readonly wanted: string; readonly now: Date },
): Promise<ShownBackup | null> {
  const { backups, unreadable } = await readBackupCatalog(store, name);
  const damaged = unreadable.find(({ id }) => id === wanted);
  if (damaged !== undefined) {
    throw new WalnutError('object-damaged', `show backup ${wanted}: ${damaged.reason}`, {
      hint: `Run \`walnut verify ${name}\` to see what else is damaged.`,
    });
  }
  const backup = wanted === 'latest' ? backups.at(-1) : backups.find(({ id }) => id === wanted);
  if (backup === undefined) return null;
  return { name, kept: await readKept(store, name, { backups: [backup], now }), backup };
}
