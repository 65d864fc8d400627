import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from '../lib/durable-file.ts';
import { fileFailure, systemCodeOf } from './file-failure.ts';
import { rootFolders, type Locations } from './locations.ts';
import { writeOwnedFile } from './owned-files.ts';

/** Stands in a data directory from the first written file until the last one is durable. */
export const UNFINISHED_MARKER = 'walnut-restore-unfinished';

const SYSTEM_LINE = /^System identifier: (\d+)$/m;

export type UnfinishedRestore = {
  /** Null when the marker does not say, or is cut. */
  readonly systemIdentifier: string | null;
  /** Outside of the data directory; absolute. */
  readonly folders: readonly string[];
};

/**
 * Marks a data directory as unfinished, so that an interrupted restore is recognised by the next attempt, which can go on
 * with `--delta` where it is the same cluster. Replaces an older mark whole.
 */
export async function writeMarker(
  locations: Locations,
  { what, systemIdentifier }: { readonly what: string; readonly systemIdentifier: string },
): Promise<void> {
  const { dataDirectory } = locations;
  const others = rootFolders(locations).slice(1);
  const path = join(dataDirectory, UNFINISHED_MARKER);
  await writeOwnedFile({
    path: `${path}.new`,
    content: [
      `Walnut is restoring ${what} here, or was interrupted while it did.`,
      'Until this file is gone the cluster is not complete and must not be started.',
      `System identifier: ${systemIdentifier}`,
      ...(others.length === 0 ? [] : ['It also occupies:', ...others]),
      '',
    ].join('\n'),
    mode: 0o600,
    owner: null,
  });
  try {
    await rename(`${path}.new`, path);
  } catch (error) {
    throw fileFailure(error, `write ${path}`);
  }
  await syncFolder(dataDirectory);
}

/** What an interrupted restore left to know; null when there was none. */
export async function readMarker(dataDirectory: string): Promise<UnfinishedRestore | null> {
  const path = join(dataDirectory, UNFINISHED_MARKER);
  try {
    const text = await readFile(path, 'utf8');
    return {
      systemIdentifier: SYSTEM_LINE.exec(text)?.[1] ?? null,
      folders: text.split('\n').filter((line) => line.startsWith('/')),
    };
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return null;
    throw fileFailure(error, `read ${path}`);
  }
}

export async function removeMarker(dataDirectory: string): Promise<void> {
  await rm(join(dataDirectory, UNFINISHED_MARKER), { force: true });
  await syncFolder(dataDirectory);
}
