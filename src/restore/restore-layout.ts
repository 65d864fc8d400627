import { isAbsolute, relative } from 'node:path';
import { WalnutError } from '../lib/walnut-error.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { DeltaTarget } from './delta-target.ts';
import type { Locations, PlacedTablespace } from './locations.ts';
import type { RestoreRequest } from './restore-request.ts';
import { requireUnused } from './server-processes.ts';
import { requireFreeFolder, requireOutsideClusters, resolvePath } from './target-folder.ts';

/**
 * Decides where data directory, tablespaces and pg_wal go, and refuses folders that are in use, not empty, or inside one
 * another.
 * @param present what a `--delta` found: its tablespaces and its WAL folder stay where they are unless told otherwise,
 * and only what is this cluster's own may hold something.
 * @throws WalnutError `usage`, `target-not-empty`
 */
export async function planLocations(
  request: Pick<RestoreRequest, 'targetDirectory' | 'tablespaces' | 'walDirectory'>,
  manifest: Manifest,
  present: DeltaTarget | null = null,
): Promise<Locations> {
  const dataDirectory = await resolvePath(request.targetDirectory);
  const walDirectory =
    request.walDirectory === null
      ? (present?.walDirectory ?? null)
      : await resolvePath(request.walDirectory);
  const tablespaces = await placeTablespaces(request.tablespaces, manifest, present);
  const folders = [
    { what: 'target folder', path: dataDirectory },
    ...tablespaces.map(({ name, directory }) => ({
      what: `folder of tablespace ${name}`,
      path: directory,
    })),
    ...(walDirectory === null ? [] : [{ what: 'WAL folder', path: walDirectory }]),
  ];
  requireApart(folders);
  for (const { what, path } of folders) {
    const isOwn = path === dataDirectory ? present !== null : present?.folders.has(path);
    await (isOwn === true ? requireOutsideClusters : requireFreeFolder)(path, what);
  }
  if (present !== null) await requireUnused(folders.map(({ path }) => path));
  return { dataDirectory, tablespaces, walDirectory };
}

async function placeTablespaces(
  wanted: ReadonlyMap<string, string>,
  manifest: Manifest,
  present: DeltaTarget | null,
): Promise<PlacedTablespace[]> {
  // The location of a tablespace that stands in the data directory itself (16 and later) is relative.
  const outside = manifest.tablespaces.filter(({ location }) => isAbsolute(location));
  for (const key of wanted.keys()) {
    if (outside.some(({ oid, name }) => key === name || key === String(oid))) continue;
    const names = outside.map(({ oid, name }) => name ?? String(oid)).join(', ');
    throw new WalnutError('usage', `map tablespace ${key}: the backup has none of that name`, {
      hint: names === '' ? 'The backup has no tablespaces.' : `It has ${names}.`,
    });
  }
  const placed: PlacedTablespace[] = [];
  for (const { oid, location, ...tablespace } of outside) {
    const name = tablespace.name ?? String(oid);
    const directory =
      wanted.get(name) ?? wanted.get(String(oid)) ?? present?.tablespaces.get(oid) ?? location;
    placed.push({ oid, name, directory: await resolvePath(directory) });
  }
  return placed;
}

type NamedFolder = { readonly what: string; readonly path: string };

function requireApart(folders: readonly NamedFolder[]): void {
  for (const [index, first] of folders.entries()) {
    for (const second of folders.slice(index + 1)) {
      const inner = holds(first.path, second.path)
        ? { folder: second, outer: first }
        : holds(second.path, first.path)
          ? { folder: first, outer: second }
          : null;
      if (inner === null) continue;
      const { folder, outer } = inner;
      throw new WalnutError(
        'usage',
        `restore the ${folder.what} to ${folder.path}: it lies inside the ${outer.what} ${outer.path}`,
        {
          hint: folder.what.startsWith('folder of tablespace')
            ? 'Map the tablespace to a folder of its own with --tablespace NAME=DIR.'
            : 'Choose folders that do not contain one another.',
        },
      );
    }
  }
}

function holds(outer: string, inner: string): boolean {
  const way = relative(outer, inner);
  return way === '' || (!way.startsWith('..') && !isAbsolute(way));
}
