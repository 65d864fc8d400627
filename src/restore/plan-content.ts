import { WalnutError } from '../lib/walnut-error.ts';
import type { Manifest } from '../repository/manifest.ts';
import { locate, rootFolders, rootOf, type Locations } from './locations.ts';
import type { MapReader } from './map-reader.ts';
import { roomAt } from './target-folder.ts';

type PlannedLink = {
  /** Relative to the data directory. */
  readonly path: string;
  /** What it pointed to on the server. */
  readonly recordedTarget: string;
  /** What it shall point to; null when it is not made again. */
  readonly directory: string | null;
};

export type PlannedContent = {
  readonly files: number;
  readonly restoreBytes: number;
  readonly readBytes: number;
  readonly bytesByRoot: ReadonlyMap<string, number>;
  readonly links: readonly PlannedLink[];
  /** Whether the backup holds the postgresql.conf that the server used. */
  readonly hasConfiguration: boolean;
};

/** Reads through the backup's map: what there is to restore, and how much of it goes where. */
export async function planContent(
  map: MapReader,
  { locations, links }: { locations: Locations; links: ReadonlyMap<string, string> },
): Promise<PlannedContent> {
  const { manifest } = map;
  const bytesByRoot = new Map(rootFolders(locations).map((root) => [root, 0]));
  const planned: PlannedLink[] = [];
  let files = 0;
  let restoreBytes = 0;
  let hasConfiguration = false;
  for await (const entry of map.entries()) {
    const place = locate(locations, entry.path);
    if (entry.path === 'postgresql.conf') hasConfiguration = !hasConfigurationElsewhere(manifest);
    if (entry.kind === 'link' && isPlainLink(entry.path)) {
      const directory = links.get(entry.path) ?? null;
      planned.push({ path: entry.path, recordedTarget: entry.target, directory });
    }
    if (entry.kind !== 'relation' && entry.kind !== 'file') continue;
    files += 1;
    restoreBytes += entry.sizeBytes;
    const root = rootOf(bytesByRoot.keys(), place, locations.dataDirectory);
    bytesByRoot.set(root, (bytesByRoot.get(root) ?? 0) + entry.sizeBytes);
  }
  requireKnownLinks(links, planned);
  const mapBytes = manifest.chunks.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
  const readBytes = liveStoredBytes(manifest) + mapBytes;
  return { files, restoreBytes, readBytes, bytesByRoot, links: planned, hasConfiguration };
}

/** What is to be read from packs, as far as that is known before: each compresses evenly, they say. */
function liveStoredBytes({ packs }: Manifest): number {
  const shares = packs.map(({ storedBytes, plainBytes, livePlainBytes }) =>
    plainBytes === 0 ? 0 : storedBytes * (livePlainBytes / plainBytes),
  );
  return Math.round(shares.reduce((sum, share) => sum + share, 0));
}

/**
 * As on Debian: a postgresql.conf inside the data directory is then not the server's, but one that an earlier restore
 * left there.
 */
function hasConfigurationElsewhere({ settings, cluster }: Manifest): boolean {
  const file = settings['config_file'];
  const { dataDirectory } = cluster;
  return file !== undefined && dataDirectory !== null && !file.startsWith(`${dataDirectory}/`);
}

export type PlannedRoom = {
  readonly folders: readonly string[];
  readonly neededBytes: number;
  readonly freeBytes: number;
};

/** What each file system must take and can take; what a folder gives back counts against it. Throws `disk-full` when one is too small. */
export async function planRoom(bytesByRoot: ReadonlyMap<string, number>): Promise<PlannedRoom[]> {
  const byDevice = new Map<number, { folders: string[]; neededBytes: number; freeBytes: number }>();
  for (const [root, bytes] of bytesByRoot) {
    const { device, freeBytes } = await roomAt(root);
    const known = byDevice.get(device) ?? { folders: [], neededBytes: 0, freeBytes };
    known.folders.push(root);
    known.neededBytes += bytes;
    byDevice.set(device, known);
  }
  for (const { folders, neededBytes, freeBytes } of byDevice.values()) {
    if (neededBytes <= freeBytes) continue;
    throw new WalnutError(
      'disk-full',
      `restore into ${folders.join(', ')}: ${neededBytes} bytes are needed and ${freeBytes} are free`,
      {
        hint: 'Make room, or put the target, a tablespace (--tablespace) or the WAL (--wal-directory) on a larger file system.',
        details: { folders, neededBytes, freeBytes },
      },
    );
  }
  return [...byDevice.values()].map((each) => ({
    ...each,
    neededBytes: Math.max(0, each.neededBytes),
  }));
}

/** Links of tablespaces and of pg_wal have options of their own. */
function isPlainLink(path: string): boolean {
  return path !== 'pg_wal' && !/^pg_tblspc\/[^/]+$/.test(path);
}

function requireKnownLinks(
  wanted: ReadonlyMap<string, string>,
  planned: readonly PlannedLink[],
): void {
  for (const path of wanted.keys()) {
    if (planned.some((link) => link.path === path)) continue;
    const known = planned.map((link) => link.path).join(', ');
    throw new WalnutError(
      'usage',
      `make link ${path}: the backup recorded no symbolic link there`,
      {
        hint: known === '' ? 'The backup has no other symbolic links.' : `It has ${known}.`,
      },
    );
  }
}
