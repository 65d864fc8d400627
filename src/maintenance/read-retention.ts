/** Gathers from the repository what a retention plan is decided on. Reads only. */
import { readBackupCatalog, type BackupCatalog } from '../catalog/backup-catalog.ts';
import type { NamedObject } from '../catalog/backup-deletion.ts';
import { readKeepMarks, type KeepMark } from '../catalog/keep-mark.ts';
import { readKnownDamage } from '../catalog/known-damage.ts';
import { liveReaders } from '../catalog/readers.ts';
import type { ArchiveContents, RetentionInput } from '../catalog/retention-plan.ts';
import type { RetentionPolicy } from '../catalog/retention-policy.ts';
import type { StoredWalObject } from '../catalog/wal-expiry.ts';
import { readWalInventory, type WalScope } from '../catalog/wal-inventory.ts';
import { parseWalKey } from '../catalog/wal-key.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { backupKeys, walKeys } from '../repository/layout.ts';
import { nameOfIncarnation, readServerRecord } from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { unsoundBackups } from './soundness.ts';

/** Everything about a server that deletion is decided on. */
export type ServerPicture = Omit<RetentionInput, 'policy'>;

export async function readServerPicture(
  store: ObjectStore,
  server: string,
  now: Date,
): Promise<ServerPicture> {
  const catalog = await readBackupCatalog(store, server);
  const objects = await listBackupObjects(store, server);
  const archives = await readArchives(store, server);
  const known = await readKnownDamage(store, server);
  const inventories = archives.map(({ inventory }) => inventory);
  return {
    catalog,
    objects,
    archives,
    now,
    unsound: unsoundBackups({ catalog, objects, known, inventories }),
    marks: await readMarks(store, catalog),
    beingRead: await readBeingRead(store, server, now),
  };
}

export function retentionInput(picture: ServerPicture, policy: RetentionPolicy): RetentionInput {
  return { ...picture, policy };
}

export async function listBackupObjects(
  store: ObjectStore,
  server: string,
): Promise<NamedObject[]> {
  const objects: NamedObject[] = [];
  for await (const { key, sizeBytes } of store.list(backupKeys.all(server))) {
    objects.push({ key, sizeBytes });
  }
  return objects;
}

async function readMarks(
  store: ObjectStore,
  { server, backups }: BackupCatalog,
): Promise<ReadonlyMap<BackupId, KeepMark>> {
  return readKeepMarks(
    store,
    server,
    backups.map(({ id }) => id),
  );
}

async function readBeingRead(
  store: ObjectStore,
  server: string,
  now: Date,
): Promise<ReadonlySet<BackupId>> {
  return new Set((await liveReaders(store, server, now)).flatMap(({ backups }) => backups));
}

/** Oldest incarnation first, as the server's record lists them. */
async function readArchives(store: ObjectStore, server: string): Promise<ArchiveContents[]> {
  const record = await readServerRecord(store, server);
  const archives: ArchiveContents[] = [];
  for (const incarnation of record?.incarnations ?? []) {
    archives.push(await readArchive(store, { server, incarnation }));
  }
  return archives;
}

/** The objects are listed before the inventory is made, so that nothing is planned that the inventory does not know. */
async function readArchive(store: ObjectStore, scope: WalScope): Promise<ArchiveContents> {
  const { server, incarnation } = scope;
  const prefix = walKeys.incarnation(server, nameOfIncarnation(incarnation));
  const objects: StoredWalObject[] = [];
  const forkedAt = new Map<TimelineId, Date>();
  for await (const { key, sizeBytes, modifiedAt } of store.list(prefix)) {
    const parsed = parseWalKey(key.slice(prefix.length), incarnation.walSegmentBytes);
    if (parsed === null || parsed.kind === 'backup-history') continue;
    // A history file is stored when its timeline begins, or later: too late a time only keeps more.
    if (parsed.kind === 'history') forkedAt.set(parsed.timeline, modifiedAt);
    else objects.push({ key, sizeBytes, parsed });
  }
  return { inventory: await readWalInventory(store, scope), objects, forkedAt };
}
