/**
 * A backup's manifest: the small head that names everything a restore needs. Storing it is the commit of the backup
 * (docs/repository-format.md, "Manifest"). The list of files stands in map chunks, which the head names by hash.
 */
import { z } from 'zod';
import { hasCode, type WalnutError } from '../lib/walnut-error.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { BACKUP_TYPES, isBackupId, type BackupId } from './backup-id.ts';
import { backupKeys, parseRevision } from './layout.ts';
import { damaged } from './object-header.ts';
import { openObject, putSealed } from './sealed-object.ts';

export const MANIFEST_BYTES_MAX: number = 64 * 1024 * 1024;

const lsn = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/);
const count = z.number().int().nonnegative();
const backupId = z.custom<BackupId>((value) => typeof value === 'string' && isBackupId(value));
const time = z.iso.datetime();

const damageSchema = z.strictObject({
  file: z.string(),
  block: count,
  /** Name for people, such as `shop.public.orders`, when it could be found out. */
  relation: z.string().nullable(),
});

const manifestSchema = z.strictObject({
  version: z.literal(1),
  id: backupId,
  type: z.enum(BACKUP_TYPES),
  server: z.string(),
  name: z.string().nullable(),
  parent: backupId.nullable(),
  source: z.enum(['local', 'connection', 'stream']),
  /** How it was known which pages changed since the parent; null for a full backup. */
  changeSource: z.enum(['archive', 'summaries', 'compare']).nullable(),
  fromStandby: z.boolean(),
  walnutVersion: z.string(),
  systemIdentifier: z.string(),
  majorVersion: z.number().int(),
  serverVersionNum: z.number().int(),
  timeline: z.number().int(),
  startLsn: lsn,
  stopLsn: lsn,
  /** Timeline of the stop: differs from `timeline` only for a standby that followed a switch. */
  stopTimeline: z.number().int(),
  /** By the database server's clock. */
  startedAt: time,
  finishedAt: time,
  durationMs: count,
  cluster: z.strictObject({
    blockBytes: z.number().int(),
    segmentBlocks: z.number().int(),
    walSegmentBytes: z.number().int(),
    dataChecksumVersion: z.number().int(),
    dataDirectory: z.string().nullable(),
    dataDirectoryMode: z.number().int(),
  }),
  /** Byte for byte, base64. */
  controlFile: z.base64(),
  backupLabel: z.base64(),
  tablespaceMap: z.base64(),
  settings: z.record(z.string(), z.string()),
  /** Names are null where the server could not be asked for them: over replication connections only. */
  tablespaces: z.array(
    z.strictObject({ oid: count, name: z.string().nullable(), location: z.string() }),
  ),
  /** Null where the server could not be asked. */
  databases: z.array(z.strictObject({ oid: count, name: z.string() })).nullable(),
  /** Configuration files that lie outside the data directory, base64. */
  externalFiles: z.array(
    z.strictObject({ setting: z.string(), path: z.string(), content: z.base64() }),
  ),
  totals: z.strictObject({
    clusterBytes: count,
    readBytes: count,
    storedBytes: count,
    files: count,
    changedFiles: count,
    pages: count,
    changedPages: count,
    damagedPages: count,
  }),
  damage: z.array(damageSchema),
  warnings: z.array(z.string()),
  chunks: z.array(
    z.strictObject({
      key: z.string(),
      hash: z.string(),
      firstPath: z.string(),
      lastPath: z.string(),
      files: count,
      storedBytes: count,
    }),
  ),
  /** Every pack that the map refers to, also those of earlier backups. */
  packs: z.array(
    z.strictObject({
      key: z.string(),
      storedBytes: count,
      /** Of all frames of the pack, not compressed. */
      plainBytes: count,
      /** Of these, what this backup refers to. */
      livePlainBytes: count,
    }),
  ),
});

export type Manifest = z.infer<typeof manifestSchema>;

export type PageDamage = z.infer<typeof damageSchema>;

export type StoredManifest = {
  readonly key: string;
  readonly revision: number;
  readonly storedBytes: number;
  readonly manifest: Manifest;
};

/** The commit point of a backup. Everything the manifest names must be durable before. */
export async function storeManifest(
  store: ObjectStore,
  manifest: Manifest,
  revision: number,
): Promise<string> {
  const key = backupKeys.manifest(manifest.server, manifest.id, revision);
  const plain = Buffer.from(JSON.stringify(manifestSchema.parse(manifest)), 'utf8');
  await putSealed(store, key, { kind: 'manifest', plain, level: 3 });
  return key;
}

/**
 * The highest valid revision of a backup's manifest, or null when the backup has none: an attempt, not a backup.
 * Throws `object-damaged` when there are revisions and none of them is valid.
 */
export async function loadManifest(
  store: ObjectStore,
  server: string,
  id: BackupId,
): Promise<StoredManifest | null> {
  const names = await store.listFolder(backupKeys.folder(server, id));
  const revisions = names
    .filter((name) => name.startsWith('manifest-'))
    .flatMap((name) => parseRevision(name) ?? [])
    .toSorted((first, second) => second - first);
  let failure: WalnutError | undefined;
  for (const revision of revisions) {
    try {
      return await readManifest(store, { server, id, revision });
    } catch (error) {
      if (!hasCode(error, 'object-damaged', 'object-missing')) throw error;
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  return null;
}

type ManifestPlace = { readonly server: string; readonly id: BackupId; readonly revision: number };

/** A manifest under another backup's key is a swapped object: its content is sound, and wrong here. */
async function readManifest(store: ObjectStore, place: ManifestPlace): Promise<StoredManifest> {
  const { server, id, revision } = place;
  const key = backupKeys.manifest(server, id, revision);
  const stored = await store.get(key, MANIFEST_BYTES_MAX);
  const manifest = parseManifest(stored, key);
  if (manifest.id !== id || manifest.server !== server) {
    throw damaged(key, `it is the manifest of backup ${manifest.id} of server ${manifest.server}`);
  }
  return { key, revision, storedBytes: stored.length, manifest };
}

/** Bytes of files that packs hold for this backup; zero pages of relations are in none. */
export function livePlainBytes({ packs }: Manifest): number {
  return packs.reduce((sum, pack) => sum + pack.livePlainBytes, 0);
}

/** Checks and parses a stored manifest. Throws `object-damaged`. */
export function parseManifest(stored: Uint8Array, key: string): Manifest {
  const { plain } = openObject(stored, 'manifest', key);
  try {
    return manifestSchema.parse(JSON.parse(plain.toString('utf8')));
  } catch (error) {
    throw damaged(key, 'its content is no manifest of a known form', error);
  }
}
