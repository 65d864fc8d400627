/**
 * Walks a cluster's files in byte order of their paths, one folder in memory at a time, leaving out what PostgreSQL's own
 * base backup leaves out (src/backend/backup/basebackup.c, sendDir).
 */
import { tablespaceVersionFolder } from '../postgres/cluster/cluster-versions.ts';
import { CONTROL_FILE_PATH } from '../postgres/cluster/control-file.ts';
import {
  excludedRelations,
  isEmptiedFolder,
  isExcludedName,
  keptWalFolders,
} from '../postgres/cluster/excluded-paths.ts';
import { classifyFile } from '../postgres/cluster/relation-file.ts';
import type { MajorVersion } from '../postgres/version.ts';
import type { FileIdentity } from '../repository/map-chunk.ts';
import type { ClusterSource, FolderEntry } from './cluster-source.ts';
import { identityOf } from './file-identity.ts';

export type ListedFile = {
  readonly path: string;
  readonly kind: 'relation' | 'file' | 'directory' | 'link';
  readonly sizeBytes: number;
  readonly mode: number;
  readonly modifiedMs: number;
  /** For links. */
  readonly target: string | null;
  /** Of files that WAL does not tell the changes of. */
  readonly identity: FileIdentity;
};

export type ListingOptions = {
  readonly source: ClusterSource;
  readonly majorVersion: MajorVersion;
  /** Tablespaces that lie inside the data directory, relative to it: read through `pg_tblspc/` only, not twice. */
  readonly innerTablespaces: ReadonlySet<string>;
  /** Told of everything that is left out and might be missed. */
  readonly warn: (text: string) => void;
};

const PAGE_BYTES = 8192;

/** Everything a backup holds, except `pg_control`, which is copied last and on its own. */
export async function* listFiles(options: ListingOptions): AsyncGenerator<ListedFile> {
  yield* walk('', options);
}

async function* walk(folder: string, options: ListingOptions): AsyncGenerator<ListedFile> {
  const entries = await options.source.readFolder(folder);
  if (entries === null) return;
  const names = entries.map(({ name }) => name);
  const excluded = excludedRelations(folder, names);
  const wanted = entries.filter(
    ({ name }) => !excluded.has(name) && isWanted(join(folder, name), options),
  );
  for (const { entry, descend } of inByteOrder(folder, wanted)) {
    const path = join(folder, entry.name);
    if (descend) {
      yield* contentOf(path, options);
    } else {
      yield* listed(path, entry, options);
    }
  }
}

/**
 * Each folder stands twice: as itself, and with a slash for what is in it, since in the byte order of whole paths other
 * names may come between the two (`16384`, `16384.1`, `16384/1259`).
 */
function inByteOrder(
  folder: string,
  entries: readonly FolderEntry[],
): { readonly entry: FolderEntry; readonly descend: boolean }[] {
  const steps = entries.flatMap((entry) => {
    const here = { entry, descend: false, order: Buffer.from(entry.name, 'utf8') };
    const below = { entry, descend: true, order: Buffer.from(`${entry.name}/`, 'utf8') };
    return hasContent(join(folder, entry.name), entry) ? [here, below] : [here];
  });
  return steps.toSorted((first, second) => Buffer.compare(first.order, second.order));
}

/** Of a tablespace only the folder of this version: after `pg_upgrade --link` the old one's stands beside it. */
function isWanted(path: string, options: ListingOptions): boolean {
  if (path === CONTROL_FILE_PATH || isExcludedName(path)) return false;
  if (options.innerTablespaces.has(path)) return false;
  const [, inTablespace] = /^pg_tblspc\/\d+\/([^/]+)$/.exec(path) ?? [];
  return (
    inTablespace === undefined || inTablespace === tablespaceVersionFolder(options.majorVersion)
  );
}

function hasContent(path: string, entry: FolderEntry): boolean {
  if (entry.kind === 'folder') return true;
  return entry.kind === 'link' && (path === 'pg_wal' || isTablespaceLink(path, entry));
}

async function* contentOf(path: string, options: ListingOptions): AsyncGenerator<ListedFile> {
  if (path === 'pg_wal') {
    for (const kept of keptWalFolders(options.majorVersion).toSorted())
      yield directory(kept, 0o700, 0);
    return;
  }
  if (!isEmptiedFolder(path)) yield* walk(path, options);
}

async function* listed(
  path: string,
  entry: FolderEntry,
  { warn }: ListingOptions,
): AsyncGenerator<ListedFile> {
  const isFolderForUs = isEmptiedFolder(path) || isTablespaceLink(path, entry);
  if (entry.kind === 'folder' || (entry.kind === 'link' && isFolderForUs)) {
    yield directory(path, entry.kind === 'link' ? 0o700 : entry.mode, entry.modifiedMs);
  } else if (entry.kind === 'file') {
    yield file(path, entry);
  } else if (entry.kind === 'link') {
    warn(
      `${path} is a symbolic link to ${entry.target ?? 'an unknown place'}: its content is not backed up`,
    );
    yield { ...file(path, entry), kind: 'link', target: entry.target ?? '' };
  } else {
    warn(`${path} is neither file, folder nor link: left out`);
  }
}

function file(path: string, entry: FolderEntry): ListedFile {
  const classified = classifyFile(path);
  const isRelation = classified.kind === 'relation' && entry.sizeBytes % PAGE_BYTES === 0;
  const isToldByWal = isRelation && classified.fork === 'main';
  return {
    path,
    kind: isRelation ? 'relation' : 'file',
    sizeBytes: entry.sizeBytes,
    mode: entry.mode & 0o777,
    modifiedMs: entry.modifiedMs,
    target: null,
    identity: isToldByWal ? null : identityOf(entry.identity),
  };
}

function directory(path: string, mode: number, modifiedMs: number): ListedFile {
  const nothing = { sizeBytes: 0, target: null, identity: null };
  return { path, kind: 'directory', mode: mode & 0o777, modifiedMs, ...nothing };
}

function isTablespaceLink(path: string, entry: FolderEntry): boolean {
  return entry.kind === 'link' && /^pg_tblspc\/\d+$/.test(path);
}

function join(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}
