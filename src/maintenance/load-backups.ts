import { parseLsn, type Lsn } from '../postgres/lsn.ts';
import { toTimelineId, type TimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from '../repository/backup-id.ts';
import type { ChunkReference } from '../repository/backup-map.ts';
import { backupKeys, incarnationName, parseRevision } from '../repository/layout.ts';
import { MANIFEST_BYTES_MAX, parseManifest, type Manifest } from '../repository/manifest.ts';
import { damaged } from '../repository/object-header.ts';
import { listBackupIds } from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { DamageLedger } from './damage-ledger.ts';
import { faultOf } from './fault.ts';

/** Of a backup what verification needs: manifests are too large to keep many of. */
export type BackupUse = {
  readonly id: BackupId;
  readonly incarnation: string;
  readonly timeline: TimelineId;
  readonly stopTimeline: TimelineId;
  readonly startLsn: Lsn;
  readonly stopLsn: Lsn;
  readonly walSegmentBytes: number;
};

export type ChunkUse = { readonly reference: ChunkReference; readonly backups: BackupId[] };

export type PackUse = { readonly storedBytes: number; readonly backups: Set<BackupId> };

export type LoadedBackups = {
  /** In order of their ids. */
  readonly backups: readonly BackupUse[];
  /** By key: what the backups' manifests name. */
  readonly chunks: ReadonlyMap<string, ChunkUse>;
  readonly packs: ReadonlyMap<string, PackUse>;
  /** Manifests read: objects and bytes. */
  readonly objects: number;
  readonly bytes: number;
};

type Loading = {
  readonly store: ObjectStore;
  readonly server: string;
  readonly ledger: DamageLedger;
  readonly backups: BackupUse[];
  readonly chunks: Map<string, ChunkUse>;
  readonly packs: Map<string, PackUse>;
  objects: number;
  bytes: number;
};

export type LoadRequest = {
  readonly server: string;
  /** Null for all backups. */
  readonly only: BackupId | null;
  readonly ledger: DamageLedger;
};

/** Checks every revision of every manifest, and answers what the newest valid ones name. */
export async function loadBackups(
  store: ObjectStore,
  { server, only, ledger }: LoadRequest,
): Promise<LoadedBackups> {
  const loading: Loading = {
    store,
    server,
    ledger,
    backups: [],
    chunks: new Map(),
    packs: new Map(),
    objects: 0,
    bytes: 0,
  };
  const ids = await listBackupIds(store, server);
  for (const id of ids) {
    if (only === null || only === id) await loadBackup(loading, id);
  }
  return loading;
}

async function loadBackup(loading: Loading, id: BackupId): Promise<void> {
  const { store, server, ledger } = loading;
  const names = await store.listFolder(backupKeys.folder(server, id));
  const revisions = names
    .flatMap((name) => (name.startsWith('manifest-') ? (parseRevision(name) ?? []) : []))
    .toSorted((first, second) => second - first);
  const faults: { readonly key: string; readonly reason: string }[] = [];
  let valid: number | null = null;
  for (const revision of revisions) {
    const key = backupKeys.manifest(server, id, revision);
    try {
      const manifest = await readManifest(loading, key, id);
      if (valid === null) note(loading, manifest);
      valid ??= revision;
    } catch (error) {
      faults.push({ key, reason: faultOf(error) });
    }
  }
  for (const { key, reason } of faults) {
    ledger.add(key, reason);
    const what =
      valid === null
        ? 'the whole backup: no valid revision of its manifest is left'
        : `one revision of the manifest; revision ${valid} is used`;
    ledger.hit(key, [id], { what });
  }
}

async function readManifest(loading: Loading, key: string, id: BackupId): Promise<Manifest> {
  const stored = await loading.store.get(key, MANIFEST_BYTES_MAX);
  loading.objects += 1;
  loading.bytes += stored.length;
  const manifest = parseManifest(stored, key);
  if (manifest.id !== id || manifest.server !== loading.server) {
    throw damaged(key, `it is the manifest of backup ${manifest.id} of server ${manifest.server}`);
  }
  return manifest;
}

function note({ backups, chunks, packs }: Loading, manifest: Manifest): void {
  const { id, systemIdentifier, majorVersion } = manifest;
  backups.push({
    id,
    incarnation: incarnationName(BigInt(systemIdentifier), majorVersion),
    timeline: toTimelineId(manifest.timeline),
    stopTimeline: toTimelineId(manifest.stopTimeline),
    startLsn: parseLsn(manifest.startLsn),
    stopLsn: parseLsn(manifest.stopLsn),
    walSegmentBytes: manifest.cluster.walSegmentBytes,
  });
  for (const reference of manifest.chunks) {
    const use = chunks.get(reference.key);
    if (use === undefined) chunks.set(reference.key, { reference, backups: [id] });
    else use.backups.push(id);
  }
  for (const { key, storedBytes } of manifest.packs) {
    const use = packs.get(key);
    if (use === undefined) packs.set(key, { storedBytes, backups: new Set([id]) });
    else use.backups.add(id);
  }
}
