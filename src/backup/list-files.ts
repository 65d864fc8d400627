/**
 * Walks a cluster's files in byte order of their paths, one folder in memory at a time, leaving out what PostgreSQL's own
 * base backup leaves out (src/backend/backup/basebackup.c, sendDir).
 */
import { setImmediate } from 'node:timers/promises';
import { compareBytes } from '../lib/byte-order.ts';
import { PackedTexts } from '../lib/packed-texts.ts';
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
import type { ClusterSource, Folder, FolderEntry } from './cluster-source.ts';

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

/** Entries looked at before others get a turn: 5 µs each, so that this many take 10 ms. */
const ENTRIES_AT_ONCE = 2000;

/** Everything a backup holds, except `pg_control`, which is copied last and on its own. */
export async function* listFiles(options: ListingOptions): AsyncGenerator<ListedFile> {
  const open = [await stepsIn('', options)];
  let looked = 0;
  for (let steps = open.at(-1); steps !== undefined; steps = open.at(-1)) {
    const { value: step, done } = steps.next();
    if (done === true) {
      open.pop();
    } else if (step.descend) {
      open.push(await contentOf(step.path, options));
    } else {
      const found = listed(step, options);
      if (found !== null) yield found;
      looked += 1;
      if (looked % ENTRIES_AT_ONCE === 0) await setImmediate();
    }
  }
}

/** An entry of a folder, or, with `descend`, what is in it. */
type Step = { readonly path: string; readonly entry: FolderEntry; readonly descend: boolean };

async function stepsIn(folder: string, options: ListingOptions): Promise<Iterator<Step>> {
  const content = await options.source.readFolder(folder);
  if (content === null) return [].values();
  const { names, look } = content;
  const isExcluded = excludedRelations(folder, names);
  const sorted = new PackedTexts(names.toSorted(compareBytes));
  return stepsOf({ folder, names: sorted, look, isExcluded }, options);
}

type SortedFolder = {
  readonly folder: string;
  readonly names: Iterable<string>;
  readonly look: Folder['look'];
  readonly isExcluded: (name: string) => boolean;
};

/**
 * Each folder stands twice: as itself, and with a slash for what is in it, since in the byte order of whole paths other
 * names may come between the two (`16384`, `16384.1`, `16384/1259`).
 */
function* stepsOf(
  { folder, names, look, isExcluded }: SortedFolder,
  options: ListingOptions,
): Generator<Step> {
  /** Folders to descend into, the one that comes first last. */
  const waiting: Step[] = [];
  for (const name of names) {
    const path = join(folder, name);
    for (let next = waiting.at(-1); next !== undefined; next = waiting.at(-1)) {
      if (compareBytes(`${next.path}/`, path) > 0) break;
      waiting.pop();
      yield next;
    }
    if (isExcluded(name) || !isWanted(path, options)) continue;
    const entry = look(name);
    if (entry === null) continue;
    yield { path, entry, descend: false };
    if (hasContent(path, entry)) waiting.push({ path, entry, descend: true });
  }
  yield* waiting.toReversed();
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

async function contentOf(path: string, options: ListingOptions): Promise<Iterator<Step>> {
  if (path === 'pg_wal') return keptInWal(options.majorVersion);
  return isEmptiedFolder(path) ? [].values() : stepsIn(path, options);
}

function* keptInWal(majorVersion: MajorVersion): Generator<Step> {
  for (const path of keptWalFolders(majorVersion).toSorted()) {
    yield { path, entry: FOLDER, descend: false };
  }
}

/** Stands for folders that a restored cluster needs, whatever is in them on the server. */
const FOLDER: FolderEntry = {
  name: '',
  kind: 'folder',
  sizeBytes: 0,
  mode: 0o700,
  modifiedMs: 0,
  target: null,
  changedMs: 0,
  inode: 0,
  device: 0,
};

function listed({ path, entry }: Step, options: ListingOptions): ListedFile | null {
  if (entry.kind === 'file') return file(path, entry, options);
  if (entry.kind === 'folder') return directory(path, entry.mode, entry.modifiedMs);
  if (entry.kind === 'link' && (isEmptiedFolder(path) || isTablespaceLink(path, entry))) {
    return directory(path, 0o700, entry.modifiedMs);
  }
  if (entry.kind === 'link') {
    const target = entry.target ?? 'an unknown place';
    options.warn(`${path} is a symbolic link to ${target}: its content is not backed up`);
    return { ...file(path, entry, options), kind: 'link', target: entry.target ?? '' };
  }
  options.warn(`${path} is neither file, folder nor link: left out`);
  return null;
}

function file(path: string, entry: FolderEntry, { source }: ListingOptions): ListedFile {
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
    identity: isToldByWal || entry.kind !== 'file' ? null : source.identify(entry),
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
