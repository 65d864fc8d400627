import { lstat, readdir } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { join } from 'node:path';
import { isUtf8 } from 'node:buffer';
import { WalnutError } from '../lib/walnut-error.ts';
import { tablespaceVersionFolder } from '../postgres/cluster/cluster-versions.ts';
import { CONTROL_FILE_PATH } from '../postgres/cluster/control-file.ts';
import type { MajorVersion } from '../postgres/version.ts';
import { fileFailure, systemCodeOf } from './file-failure.ts';
import type { Locations } from './locations.ts';
import { leadsTo } from './owned-files.ts';
import { kindOf, type PresentKind } from './removals.ts';
import { NO_CONTENT } from './target-folder.ts';
import { UNFINISHED_MARKER } from './unfinished-marker.ts';
import { UNSTORED_WAL_PREFIX } from './unstored-wal.ts';

/** Something that stands in the folders of a cluster. */
export type PresentEntry = {
  /** As the map of a backup names it. */
  readonly path: string;
  readonly place: string;
  readonly kind: PresentKind;
  readonly sizeBytes: number;
  /** What it takes on the disk: less than its size where it has holes. */
  readonly allocatedBytes: number;
  readonly linkCount: number;
  /** True for what stands in a plain folder whose place a link will take. */
  readonly isObsolete: boolean;
};

/** A name in a folder; of 10^6 of them nothing more is in memory. */
type Name = { readonly name: string; readonly isFolder: boolean };

type Step = {
  readonly name: string;
  /** Its bytes, one in each code unit. */
  readonly order: string;
  /** False when nothing of that name stands there, and only what is elsewhere counts. */
  readonly isPresent: boolean;
  readonly isFolder: boolean;
  readonly descend: boolean;
};

type Walk = { readonly locations: Locations; readonly major: MajorVersion };

/** Left alone: the mark and the lock of this restore, and what has its own turn. */
const OWN_FILES: ReadonlySet<string> = new Set([
  UNFINISHED_MARKER,
  'postmaster.pid',
  CONTROL_FILE_PATH,
]);

/** Names that a server makes in pg_wal. In a folder outside of the data directory nothing else is looked at. */
const WAL_NAME =
  /^(?:[0-9A-F]{24}(?:\.partial|\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history|archive_status|summaries|xlogtemp\.\d+|RECOVERY(?:HISTORY|XLOG))$/;

/**
 * Everything that stands where a cluster is to be, in byte order of the paths a backup's map gives it, one folder in
 * memory at a time. Symbolic links are followed to the cluster's own tablespaces and WAL folder, never elsewhere; of a
 * tablespace only the folder of this version is the cluster's.
 */
export async function* presentFiles(walk: Walk): AsyncGenerator<PresentEntry> {
  yield* contentOf('', walk.locations.dataDirectory, walk);
}

async function* contentOf(folder: string, place: string, walk: Walk): AsyncGenerator<PresentEntry> {
  const names = await namesIn(place, (name) => isLookedAt(folder, name, walk));
  for (const { name, isPresent, isFolder, descend } of inByteOrder(folder, names, walk)) {
    const path = folder === '' ? name : `${folder}/${name}`;
    const elsewhere = placeElsewhere(path, walk.locations);
    const here = join(place, name);
    if (!descend) {
      if (isPresent) yield* entryAt(path, here, elsewhere);
    } else if (elsewhere === null) {
      yield* contentOf(path, here, walk);
    } else {
      if (isFolder) yield* obsoleteContent(path, here);
      yield* contentOf(path, elsewhere, walk);
    }
  }
}

async function* entryAt(
  path: string,
  place: string,
  elsewhere: string | null,
): AsyncGenerator<PresentEntry> {
  const entry = await lookAt(path, place);
  if (entry === null) return;
  if (elsewhere === null) yield entry;
  // The folder that the map means is the one behind the link.
  else if (entry.kind === 'link' && (await leadsTo(place, elsewhere))) {
    yield { ...entry, kind: 'folder' };
  } else {
    yield { ...entry, isObsolete: true };
  }
}

async function* obsoleteContent(path: string, place: string): AsyncGenerator<PresentEntry> {
  for (const { name } of await namesIn(place, () => true)) {
    const entry = await lookAt(`${path}/${name}`, join(place, name));
    if (entry === null) continue;
    yield { ...entry, isObsolete: true };
    if (entry.kind === 'folder') yield* obsoleteContent(entry.path, entry.place);
  }
}

/** Null when it is gone by now. */
async function lookAt(path: string, place: string): Promise<PresentEntry | null> {
  try {
    return describe(path, place, await lstat(place));
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return null;
    throw fileFailure(error, `look at ${place}`);
  }
}

function describe(path: string, place: string, info: Stats): PresentEntry {
  const kind = kindOf(info);
  const isFile = kind === 'file';
  return {
    path,
    place,
    kind,
    sizeBytes: isFile ? info.size : 0,
    allocatedBytes: isFile ? info.blocks * 512 : 0,
    linkCount: info.nlink,
    isObsolete: false,
  };
}

/** Each folder stands twice, as itself and for what is in it: see `inByteOrder` of the backup's listing. */
function inByteOrder(folder: string, names: readonly Name[], walk: Walk): Step[] {
  const { locations } = walk;
  const present = names.map((each) => ({ ...each, isPresent: true }));
  const missing = foldersElsewhere(folder, locations)
    .filter((name) => names.every((each) => each.name !== name))
    .map((name) => ({ name, isFolder: false, isPresent: false }));
  const steps = [...present, ...missing].flatMap((each): Step[] => {
    const path = folder === '' ? each.name : `${folder}/${each.name}`;
    const order = Buffer.from(each.name, 'utf8').toString('latin1');
    const here = { ...each, order, descend: false };
    const hasContent = each.isFolder || !each.isPresent || placeElsewhere(path, locations) !== null;
    return hasContent ? [here, { ...here, order: `${order}/`, descend: true }] : [here];
  });
  return steps.toSorted((first, second) => (first.order < second.order ? -1 : 1));
}

/** Names in a folder behind which content stands even when they are missing, as after an interrupted restore. */
function foldersElsewhere(folder: string, { tablespaces, walDirectory }: Locations): string[] {
  if (folder === 'pg_tblspc') return tablespaces.map(({ oid }) => String(oid));
  if (folder !== '') return [];
  return [
    ...(walDirectory === null ? [] : ['pg_wal']),
    ...(tablespaces.length === 0 ? [] : ['pg_tblspc']),
  ];
}

function placeElsewhere(path: string, { tablespaces, walDirectory }: Locations): string | null {
  if (path === 'pg_wal') return walDirectory;
  const [, oid] = /^pg_tblspc\/(\d{1,10})$/.exec(path) ?? [];
  if (oid === undefined) return null;
  return tablespaces.find((each) => String(each.oid) === oid)?.directory ?? null;
}

function isLookedAt(folder: string, name: string, { locations, major }: Walk): boolean {
  const path = folder === '' ? name : `${folder}/${name}`;
  if (OWN_FILES.has(path) || (folder === '' && NO_CONTENT.has(name))) return false;
  if (folder === 'pg_wal') {
    if (name.startsWith(UNSTORED_WAL_PREFIX)) return false;
    return locations.walDirectory === null || WAL_NAME.test(name);
  }
  return placeElsewhere(folder, locations) === null || name === tablespaceVersionFolder(major);
}

async function namesIn(place: string, isWanted: (name: string) => boolean): Promise<Name[]> {
  const names: Name[] = [];
  try {
    for (const entry of await readdir(place, { withFileTypes: true, encoding: 'buffer' })) {
      if (!isUtf8(entry.name)) throw strangeName(place, entry.name);
      const name = entry.name.toString('utf8');
      if (isWanted(name)) names.push({ name, isFolder: entry.isDirectory() });
    }
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw fileFailure(error, `look into ${place}`);
  }
  return names;
}

function strangeName(place: string, raw: Buffer): WalnutError {
  return new WalnutError(
    'target-not-empty',
    `look into ${place}: the name ${JSON.stringify(raw.toString('latin1'))} is no UTF-8`,
    { hint: 'No server makes such a file. Move it out of the target, then restore again.' },
  );
}
