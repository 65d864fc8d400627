import { join } from 'node:path';
import { requireSafePath } from '../postgres/cluster/safe-path.ts';

export type PlacedTablespace = {
  readonly oid: number;
  readonly name: string;
  /** Absolute: where the restored tablespace lies, outside the data directory. */
  readonly directory: string;
};

/** Where the parts of a restored cluster lie. All paths are absolute; structured-cloneable. */
export type Locations = {
  readonly dataDirectory: string;
  /** Without tablespaces that stand inside the data directory themselves. */
  readonly tablespaces: readonly PlacedTablespace[];
  /** Null when pg_wal is a plain folder of the data directory. */
  readonly walDirectory: string | null;
};

const TABLESPACE_PATH = /^pg_tblspc\/(\d{1,10})(?:\/(.*))?$/;
const WAL_PATH = /^pg_wal(?:\/(.*))?$/;

/**
 * The absolute place of a path of the backup. Tablespaces and pg_wal are reached directly, never through a symbolic link
 * in the data directory, so no link that stands there can lead a write elsewhere.
 * @throws WalnutError `object-damaged` for a path that would leave the folder it belongs to.
 */
export function locate(locations: Locations, path: string): string {
  requireSafePath(path, 'the map of the backup');
  const [wal, walRest] = WAL_PATH.exec(path) ?? [];
  if (wal !== undefined && locations.walDirectory !== null) {
    return join(locations.walDirectory, walRest ?? '');
  }
  const [, oid, rest] = TABLESPACE_PATH.exec(path) ?? [];
  const tablespace =
    oid === undefined ? undefined : locations.tablespaces.find((each) => each.oid === Number(oid));
  if (tablespace === undefined) return join(locations.dataDirectory, path);
  return join(tablespace.directory, rest ?? '');
}

/** Every folder that the restored cluster occupies, the data directory first. */
export function rootFolders(locations: Locations): string[] {
  const { dataDirectory, tablespaces, walDirectory } = locations;
  return [
    dataDirectory,
    ...tablespaces.map(({ directory }) => directory),
    ...(walDirectory === null ? [] : [walDirectory]),
  ];
}

/** Which of the folders a place lies in; the data directory when in none of the others. */
export function rootOf(roots: Iterable<string>, place: string, dataDirectory: string): string {
  for (const root of roots) {
    if (root !== dataDirectory && place.startsWith(`${root}/`)) return root;
  }
  return dataDirectory;
}
