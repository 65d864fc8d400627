/** What goes with deleted backups, and what earlier deletions left: explicit names, in the order of deletion. */
import { isBackupId, type BackupId } from '../repository/backup-id.ts';
import { parseRevision } from '../repository/layout.ts';
import type { ObjectInfo } from '../storage/object-store.ts';
import type { BackupCatalog, BackupRecord } from './backup-catalog.ts';

export type NamedObject = Pick<ObjectInfo, 'key' | 'sizeBytes'>;

/** A backup ceases to exist with the last of `manifests`; everything else follows once that is durable. */
export type BackupDeletion = {
  readonly id: BackupId;
  /** The revision that the plan looked at; null for a backup whose manifest cannot be read. */
  readonly manifestKey: string | null;
  /** Outdated and damaged revisions first, the valid one last: until then the backup is whole. */
  readonly manifests: readonly NamedObject[];
  /** Map chunks and packs that no other backup needs, wherever they lie. */
  readonly content: readonly NamedObject[];
  /** The mark that kept it and the note of its attempt, which go last. */
  readonly notes: readonly NamedObject[];
  readonly freedBytes: number;
};

export type DeletionPlan = {
  readonly backups: readonly BackupDeletion[];
  /** What interrupted deletions and compactions left; nobody needs it. Outdated manifests first, notes last. */
  readonly leftovers: readonly NamedObject[];
};

export type DeletionRequest = {
  readonly catalog: BackupCatalog;
  /** Everything under `backup/` of the server. */
  readonly objects: readonly NamedObject[];
  /** In the order in which to delete them. */
  readonly wanted: readonly BackupId[];
};

/** While a backup that stays is unreadable, only manifests and notes go: all content might be needed by it. */
export function planDeletion({ catalog, objects, wanted }: DeletionRequest): DeletionPlan {
  const going = new Set(wanted);
  const uses = countUses(catalog.backups);
  const isKnown = catalog.unreadable.every(({ id }) => going.has(id));
  const sizes = new Map(objects.map(({ key, sizeBytes }) => [key, sizeBytes]));
  const folders = Map.groupBy(objects, ({ key }) => folderOf(key));
  const backups: BackupDeletion[] = [];
  for (const id of wanted) {
    const record = catalog.backups.find((backup) => backup.id === id) ?? null;
    const freed = record === null ? [] : releaseUses(uses, record);
    const content = isKnown ? freed : [];
    const named = content.flatMap((key): NamedObject[] => {
      const sizeBytes = sizes.get(key);
      return sizeBytes === undefined ? [] : [{ key, sizeBytes }];
    });
    backups.push(deletionOf(id, { record, own: folders.get(id) ?? [], content: named }));
  }
  const planned = new Set(backups.flatMap((each) => namesOf(each).map(({ key }) => key)));
  const leftovers = isKnown ? findLeftovers({ catalog, going, folders, uses, planned }) : [];
  return { backups, leftovers };
}

/** Everything that goes with one backup, in order. */
export function namesOf({ manifests, content, notes }: BackupDeletion): NamedObject[] {
  return [...manifests, ...content, ...notes];
}

export function sizeOf(objects: readonly NamedObject[]): number {
  return objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

type Folder = {
  readonly record: BackupRecord | null;
  readonly own: readonly NamedObject[];
  readonly content: readonly NamedObject[];
};

function deletionOf(id: BackupId, { record, own, content }: Folder): BackupDeletion {
  const manifestKey = record?.manifestKey ?? null;
  const manifests = own
    .filter(({ key }) => kindOf(key) === 'manifest')
    .toSorted((one, other) => rank(one.key, manifestKey) - rank(other.key, manifestKey));
  const notes = own
    .filter(({ key }) => kindOf(key) === 'keep' || kindOf(key) === 'attempt')
    .toSorted((one, other) => (one.key > other.key ? -1 : 1));
  const freedBytes = sizeOf([...manifests, ...content, ...notes]);
  return { id, manifestKey, manifests, content, notes, freedBytes };
}

/** Descending revisions, so that of several unreadable ones the eldest goes last; the valid one behind all. */
function rank(key: string, valid: string | null): number {
  if (key === valid) return Number.MAX_SAFE_INTEGER;
  return -(parseRevision(key.slice(key.lastIndexOf('/') + 1)) ?? 0);
}

function countUses(backups: readonly BackupRecord[]): Map<string, number> {
  const uses = new Map<string, number>();
  for (const key of backups.flatMap(keysOf)) uses.set(key, (uses.get(key) ?? 0) + 1);
  return uses;
}

/** Takes a backup's uses away; answers what nobody uses any more: chunks first, then packs. */
function releaseUses(uses: Map<string, number>, backup: BackupRecord): string[] {
  return keysOf(backup).filter((key) => {
    const left = (uses.get(key) ?? 0) - 1;
    uses.set(key, left);
    return left === 0;
  });
}

function keysOf({ manifest }: BackupRecord): string[] {
  return [
    ...new Set([...manifest.chunks.map(({ key }) => key), ...manifest.packs.map(({ key }) => key)]),
  ];
}

type LeftoverSearch = {
  readonly catalog: BackupCatalog;
  readonly going: ReadonlySet<BackupId>;
  readonly folders: ReadonlyMap<string, readonly NamedObject[]>;
  readonly uses: ReadonlyMap<string, number>;
  readonly planned: ReadonlySet<string>;
};

/**
 * Attempts newer than every backup are left alone: the next backup takes over what they copied, and removes the rest.
 */
function findLeftovers({ catalog, going, folders, uses, planned }: LeftoverSearch): NamedObject[] {
  const valid = new Map(catalog.backups.map(({ id, manifestKey }) => [id as string, manifestKey]));
  const newest = [...valid.keys()].toSorted(byText).at(-1);
  const found: Leftover[] = [];
  for (const [id, objects] of folders) {
    if (!isBackupId(id) || newest === undefined || id > newest) continue;
    const manifest = going.has(id) ? undefined : valid.get(id);
    for (const object of objects) {
      if (planned.has(object.key)) continue;
      const isUsed = (uses.get(object.key) ?? 0) > 0;
      const order = isUsed ? null : orderOfLeftover(object.key, manifest, valid.has(id));
      if (order !== null) found.push({ object, order });
    }
  }
  return found
    .toSorted(
      (one, other) => one.order - other.order || (one.object.key < other.object.key ? -1 : 1),
    )
    .map(({ object }) => object);
}

type Leftover = { readonly object: NamedObject; readonly order: number };

/** Null for what stays. */
function orderOfLeftover(
  key: string,
  manifest: string | undefined,
  wasBackup: boolean,
): number | null {
  switch (kindOf(key)) {
    case 'manifest':
      // A damaged revision above the valid one stays: it is evidence, and verify reports it.
      return manifest !== undefined && key < manifest ? 0 : null;
    case 'map':
    case 'pack':
      return 1;
    case 'keep':
    case 'attempt':
      return wasBackup ? null : 2;
    case 'other':
    default:
      return null;
  }
}

function kindOf(key: string): 'manifest' | 'map' | 'pack' | 'keep' | 'attempt' | 'other' {
  const name = key.slice(key.lastIndexOf('/') + 1);
  if (name.startsWith('manifest-') && parseRevision(name) !== null) return 'manifest';
  if (/^pack-\d{6,}$/.test(name)) return 'pack';
  if (/^map-[0-9a-f]{32}$/.test(name)) return 'map';
  return name === 'keep' || name === 'attempt' ? name : 'other';
}

/** The backup in whose folder a key lies: `<server>/backup/<id>/…`. */
function folderOf(key: string): string {
  return key.split('/')[2] ?? '';
}

function byText(one: string, other: string): number {
  return one < other ? -1 : 1;
}
