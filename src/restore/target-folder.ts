import { readdir, realpath, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { WalnutError } from '../lib/walnut-error.ts';
import { fileFailure, systemCodeOf } from './file-failure.ts';
import { requireStopped } from './server-processes.ts';
import { shellQuote } from './shell-quote.ts';
import { readMarker, type UnfinishedRestore } from './unfinished-marker.ts';

/** Made by the file system itself; not content. */
export const NO_CONTENT: ReadonlySet<string> = new Set(['lost+found']);
/** Names in a refusal. */
const NAMED_ENTRIES_MAX = 5;

const TABLESPACE_VERSION = /^PG_\d+_\d+$/;

/**
 * Refuses a folder that a restore must not write to: one with content, one of a running server, one inside another
 * cluster. A folder that does not exist yet is fine.
 * @param what how the message calls it: "target folder", "folder of tablespace fast".
 */
export async function requireFreeFolder(path: string, what: string): Promise<void> {
  const entries = await entriesOf(path);
  if (entries !== null) await requireEmpty(path, what, entries);
  await requireOutsideClusters(path, what);
}

/** The path with all its symbolic links followed as far as it exists. */
export async function resolvePath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT' || dirname(path) === path) {
      throw fileFailure(error, `look at ${path}`);
    }
    return join(await resolvePath(dirname(path)), path.slice(dirname(path).length));
  }
}

export type FileSystemRoom = {
  /** Tells file systems apart. */
  readonly device: number;
  /** Bytes that an ordinary user can still write. */
  readonly freeBytes: number;
};

/** The room on the file system where `path` lies or would lie. */
export async function roomAt(path: string): Promise<FileSystemRoom> {
  for (let folder = path; ; folder = dirname(folder)) {
    const info = await stat(folder).catch(() => null);
    if (info === null) continue;
    const { bavail, bsize } = await statfs(folder);
    return { device: info.dev, freeBytes: bavail * bsize };
  }
}

/** The names in a folder; null when there is none. */
export async function entriesOf(path: string): Promise<string[] | null> {
  try {
    return (await readdir(path)).filter((name) => !NO_CONTENT.has(name));
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === 'ENOENT') return null;
    if (code !== 'ENOTDIR') throw fileFailure(error, `look into ${path}`);
    throw new WalnutError('target-not-empty', `restore into ${path}: it is a file`, {
      hint: 'Name a folder that is empty or does not exist yet.',
      cause: error,
    });
  }
}

async function requireEmpty(path: string, what: string, entries: readonly string[]): Promise<void> {
  if (entries.length === 0) return;
  await requireStopped(path);
  const marker = await readMarker(path);
  if (marker !== null) throw unfinished(path, marker);
  const shown = entries.toSorted().slice(0, NAMED_ENTRIES_MAX).join(', ');
  const more = entries.length > NAMED_ENTRIES_MAX ? ', …' : '';
  throw new WalnutError(
    'target-not-empty',
    `restore into ${path}: the ${what} is not empty (${shown}${more})`,
    {
      hint: what.startsWith('folder of tablespace')
        ? 'Put the tablespace elsewhere with --tablespace NAME=DIR, or empty the folder when nothing uses it any more.'
        : entries.includes('PG_VERSION')
          ? 'Name a folder that is empty or does not exist yet; or add --delta, where this is the stopped server itself.'
          : 'Name a folder that is empty or does not exist yet.',
      details: { path },
    },
  );
}

function unfinished(path: string, marker: UnfinishedRestore): WalnutError {
  const folders = [...new Set([path, ...marker.folders])];
  return new WalnutError(
    'target-not-empty',
    `restore into ${path}: an earlier restore into it was not finished`,
    {
      hint:
        'It cannot be started. Go on with --delta, which keeps what is right already; or remove it, then restore again: ' +
        `rm -rf ${folders.map(shellQuote).join(' ')}`,
      details: { path, folders },
    },
  );
}

/** Refuses a folder inside another cluster. */
export async function requireOutsideClusters(path: string, what: string): Promise<void> {
  for (let folder = dirname(path); dirname(folder) !== folder; folder = dirname(folder)) {
    const names = await readdir(folder).catch((): string[] => []);
    const owner = names.includes('PG_VERSION')
      ? 'a data directory'
      : names.some((name) => TABLESPACE_VERSION.test(name))
        ? 'a tablespace'
        : null;
    if (owner === null) continue;
    throw new WalnutError(
      'target-not-empty',
      `restore into ${path}: the ${what} lies inside ${folder}, which is ${owner}`,
      { hint: 'Name a folder outside of every PostgreSQL cluster.' },
    );
  }
}
