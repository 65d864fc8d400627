import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import {
  CONTROL_FILE_PATH,
  parseControlFile,
  type ControlFile,
} from '../postgres/cluster/control-file.ts';
import { fileFailure, systemCodeOf } from './file-failure.ts';
import { requireStopped } from './server-processes.ts';
import { entriesOf, resolvePath } from './target-folder.ts';
import { readMarker } from './unfinished-marker.ts';

/** What stands in the target of a `--delta`, and belongs to it. */
export type DeltaTarget = {
  /** `unfinished`: what an interrupted restore left. */
  readonly kind: 'empty' | 'cluster' | 'unfinished';
  /** Null without a `pg_control` that can be read. */
  readonly control: ControlFile | null;
  /** Where pg_wal leads; null when it is a plain folder. Resolved. */
  readonly walDirectory: string | null;
  /** Where the tablespaces lie, by oid; resolved. */
  readonly tablespaces: ReadonlyMap<number, string>;
  /** Folders outside the data directory that are this cluster's own; resolved. */
  readonly folders: ReadonlySet<string>;
};

export type WantedCluster = { readonly systemIdentifier: string; readonly majorVersion: number };

const NOTHING: DeltaTarget = {
  kind: 'empty',
  control: null,
  walDirectory: null,
  tablespaces: new Map(),
  folders: new Set(),
};

/**
 * Looks at the folder that a `--delta` shall write to. It has to be empty, the data directory of the same cluster,
 * stopped, or what an interrupted restore of it left; everything else is refused.
 * @throws WalnutError `target-not-empty`, `foreign-system`, `locked`
 */
export async function inspectDeltaTarget(
  dataDirectory: string,
  wanted: WantedCluster,
): Promise<DeltaTarget> {
  const entries = await entriesOf(dataDirectory);
  if (entries === null || entries.length === 0) return NOTHING;
  await requireStopped(dataDirectory);
  const marker = await readMarker(dataDirectory);
  const isUnfinished = marker !== null && marker.systemIdentifier !== null;
  const control = await readControl(dataDirectory, isUnfinished);
  if (control === null && !isUnfinished) throw noCluster(dataDirectory, entries);
  requireSameSystem(dataDirectory, wanted, control, marker?.systemIdentifier ?? null);
  const walDirectory = await linkTarget(dataDirectory, 'pg_wal');
  const tablespaces = await tablespacesOf(dataDirectory);
  const folders = new Set(tablespaces.values());
  if (walDirectory !== null) folders.add(walDirectory);
  for (const folder of marker?.folders ?? []) folders.add(await resolvePath(folder));
  const kind = marker === null ? 'cluster' : 'unfinished';
  return { kind, control, walDirectory, tablespaces, folders };
}

/** `shut down` is the only state after which nothing is missing; the server may also run where we cannot see it. */
export function uncleanWarning({ control }: DeltaTarget): string | null {
  if (control === null || control.state.startsWith('shut down')) return null;
  return (
    `the server that lived here was not shut down cleanly (pg_control says "${control.state}"): make sure that it runs ` +
    'nowhere, also not on another host or in a container that shares this disk; if it only crashed, its own crash ' +
    'recovery at the next start loses nothing, and no restore is needed'
  );
}

async function readControl(
  dataDirectory: string,
  isUnfinished: boolean,
): Promise<ControlFile | null> {
  const path = join(dataDirectory, CONTROL_FILE_PATH);
  try {
    if ((await realpath(path)) !== path) throw leadsElsewhere(dataDirectory);
    return parseControlFile(await readFile(path));
  } catch (error) {
    // An interrupted restore may have been writing it.
    if (systemCodeOf(error) === 'ENOENT') return null;
    if (hasCode(error, 'target-not-empty')) throw error;
    if (!(error instanceof WalnutError)) throw fileFailure(error, `read ${path}`);
    if (isUnfinished) return null;
    throw new WalnutError(
      'target-not-empty',
      `restore into ${dataDirectory}: nobody can tell which cluster it is: ${error.message}`,
      { hint: 'Move the folder away, and restore into an empty one.', cause: error },
    );
  }
}

/** What is removed first has to be the target's own, not that of a cluster to which a link leads. */
function leadsElsewhere(dataDirectory: string): WalnutError {
  return new WalnutError(
    'target-not-empty',
    `restore into ${dataDirectory}: ${CONTROL_FILE_PATH} lies behind a symbolic link`,
    { hint: 'Move the folder away, and restore into an empty one.' },
  );
}

function noCluster(path: string, entries: readonly string[]): WalnutError {
  const isCluster = entries.includes('PG_VERSION');
  return new WalnutError(
    'target-not-empty',
    isCluster
      ? `restore into ${path}: it has no ${CONTROL_FILE_PATH}, so nobody can tell which cluster it is`
      : `restore into ${path}: it is neither empty nor a data directory of PostgreSQL`,
    {
      hint: isCluster
        ? 'Move the folder away, and restore into an empty one.'
        : '--delta takes the data directory of the stopped server, an unfinished restore, or an empty folder.',
      details: { path },
    },
  );
}

// oxlint-disable-next-line max-params -- what is there and what is wanted, side by side
function requireSameSystem(
  path: string,
  wanted: WantedCluster,
  control: ControlFile | null,
  marked: string | null,
): void {
  const present = control === null ? marked : String(control.systemIdentifier);
  const isSame = present === wanted.systemIdentifier;
  if (isSame && (control === null || control.major === wanted.majorVersion)) return;
  const version = control === null ? '' : ` of PostgreSQL ${control.major}`;
  throw new WalnutError(
    'foreign-system',
    `restore into ${path}: it is system ${present ?? 'unknown'}${version}, the backup is of system ` +
      `${wanted.systemIdentifier} of PostgreSQL ${wanted.majorVersion}`,
    {
      hint: 'This is another cluster. Check --target and the name of the server; else restore into an empty folder.',
      details: { path, present, wanted: wanted.systemIdentifier },
    },
  );
}

async function tablespacesOf(dataDirectory: string): Promise<Map<number, string>> {
  const names = await readdir(join(dataDirectory, 'pg_tblspc')).catch((): string[] => []);
  const tablespaces = new Map<number, string>();
  for (const name of names.filter((each) => /^\d{1,10}$/.test(each))) {
    const directory = await linkTarget(dataDirectory, join('pg_tblspc', name));
    if (directory !== null) tablespaces.set(Number(name), directory);
  }
  return tablespaces;
}

/** Where a symbolic link leads, also when nothing is there any more; null when it is no link. */
async function linkTarget(dataDirectory: string, path: string): Promise<string | null> {
  try {
    const target = await readlink(join(dataDirectory, path));
    return await resolvePath(isAbsolute(target) ? target : join(dataDirectory, path, '..', target));
  } catch (error) {
    if (['EINVAL', 'ENOENT'].includes(systemCodeOf(error))) return null;
    throw fileFailure(error, `look at ${join(dataDirectory, path)}`);
  }
}
