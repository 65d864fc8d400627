/** Which packs are worth rewriting: those of which little is still needed. Reads manifests and maps only. */
import {
  readBackupCatalog,
  type BackupCatalog,
  type BackupRecord,
} from '../catalog/backup-catalog.ts';
import type { NamedObject } from '../catalog/backup-deletion.ts';
import { readKnownDamage, type KnownDamage } from '../catalog/known-damage.ts';
import { liveReaders } from '../catalog/readers.ts';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { readMapChunk, type ChunkReference } from '../repository/backup-map.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { LiveFrames } from './live-frames.ts';
import { listBackupObjects } from './read-retention.ts';

export type PackPlan = {
  readonly key: string;
  readonly storedBytes: number;
  readonly plainBytes: number;
  readonly livePlainBytes: number;
  /** Why it is left as it is; null when it is to be rewritten. */
  readonly heldBack: string | null;
};

export type CompactionPlan = {
  readonly catalog: BackupCatalog;
  readonly objects: readonly NamedObject[];
  /** Packs below the threshold, the emptiest first. */
  readonly packs: readonly PackPlan[];
  readonly live: LiveFrames;
};

export type CompactionRequest = {
  readonly store: ObjectStore;
  readonly server: string;
  /** Packs of which a smaller share is live are rewritten. */
  readonly thresholdPercent: number;
  readonly now: Date;
};

/** @throws WalnutError `object-damaged` when the needs of a backup cannot be read: nothing can be called dead then. */
export async function planCompaction(request: CompactionRequest): Promise<CompactionPlan> {
  const { store, server, now, thresholdPercent } = request;
  const catalog = await readBackupCatalog(store, server);
  const [unreadable] = catalog.unreadable;
  if (unreadable !== undefined) throw needsUnknown(server, unreadable.id, unreadable.reason);
  const objects = await listBackupObjects(store, server);
  const candidates = sparsePacks(catalog.backups, thresholdPercent);
  const live = new LiveFrames(candidates.keys());
  const unclear = await gatherLive(store, live, { catalog, candidates });
  const readers = await liveReaders(store, server, now);
  const facts = {
    unclear,
    known: await readKnownDamage(store, server),
    stored: new Map(objects.map(({ key, sizeBytes }) => [key, sizeBytes])),
    beingRead: packsOf(catalog.backups, new Set(readers.flatMap(({ backups }) => backups))),
  };
  const packs = [...candidates].map(([key, { storedBytes, plainBytes }]) => {
    const livePlainBytes = Math.min(plainBytes, live.plainBytes(key));
    const pack = { key, storedBytes, plainBytes, livePlainBytes };
    return { ...pack, heldBack: whyHeldBack(pack, facts) };
  });
  return {
    catalog,
    objects,
    live,
    packs: packs
      .filter((pack) => shareOf(pack) * 100 < thresholdPercent)
      .toSorted((one, other) => shareOf(one) - shareOf(other)),
  };
}

/** Live part of a pack, 0 to 1. */
export function shareOf({
  plainBytes,
  livePlainBytes,
}: Pick<PackPlan, 'plainBytes' | 'livePlainBytes'>): number {
  return plainBytes === 0 ? 0 : livePlainBytes / plainBytes;
}

type PackFacts = BackupRecord['manifest']['packs'][number];

/** Packs of which no single backup needs enough; what all of them need together is found out from the maps. */
function sparsePacks(
  backups: readonly BackupRecord[],
  thresholdPercent: number,
): Map<string, PackFacts> {
  const fullest = new Map<string, PackFacts>();
  for (const pack of backups.flatMap(({ manifest }) => manifest.packs)) {
    const known = fullest.get(pack.key);
    if (known === undefined || shareOf(pack) > shareOf(known)) fullest.set(pack.key, pack);
  }
  return new Map([...fullest].filter(([, pack]) => shareOf(pack) * 100 < thresholdPercent));
}

/** Answers packs named by backups of whose map not everything can be read. */
async function gatherLive(
  store: ObjectStore,
  live: LiveFrames,
  { catalog, candidates }: { catalog: BackupCatalog; candidates: ReadonlyMap<string, PackFacts> },
): Promise<ReadonlySet<string>> {
  const concerned = catalog.backups.filter(({ manifest }) =>
    manifest.packs.some(({ key }) => candidates.has(key)),
  );
  const chunks = new Map<string, ChunkReference>();
  for (const { manifest } of concerned) {
    for (const chunk of manifest.chunks) chunks.set(chunk.key, chunk);
  }
  const unreadable = new Set<string>();
  for (const chunk of chunks.values()) {
    try {
      for (const entry of await readMapChunk(store, chunk)) live.add(entry);
    } catch (error) {
      if (!hasCode(error, 'object-damaged', 'object-missing')) throw error;
      unreadable.add(chunk.key);
    }
  }
  const hit = concerned.filter(({ manifest }) =>
    manifest.chunks.some(({ key }) => unreadable.has(key)),
  );
  return new Set(hit.flatMap(({ manifest }) => manifest.packs.map(({ key }) => key)));
}

function packsOf(
  backups: readonly BackupRecord[],
  ids: ReadonlySet<BackupId>,
): ReadonlySet<string> {
  const read = backups.filter(({ id }) => ids.has(id));
  return new Set(read.flatMap(({ manifest }) => manifest.packs.map(({ key }) => key)));
}

type HoldFacts = {
  readonly unclear: ReadonlySet<string>;
  readonly known: KnownDamage;
  readonly stored: ReadonlyMap<string, number>;
  readonly beingRead: ReadonlySet<string>;
};

function whyHeldBack(
  { key, storedBytes }: Pick<PackPlan, 'key' | 'storedBytes'>,
  { unclear, known, stored, beingRead }: HoldFacts,
): string | null {
  if (unclear.has(key)) return 'the map of a backup that needs it is damaged';
  if (known.has(key)) return 'it was found damaged';
  if (stored.get(key) !== storedBytes) return 'it is missing or cut';
  return beingRead.has(key) ? 'it is being read' : null;
}

function needsUnknown(server: string, id: BackupId, reason: string): WalnutError {
  return new WalnutError(
    'object-damaged',
    `compact ${server}: what backup ${id} needs is not known: ${reason}`,
    { hint: `Bring its manifest back from a copy, or \`walnut delete ${server} ${id}\`.` },
  );
}
