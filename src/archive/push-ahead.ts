/**
 * `wal push --ahead`: PostgreSQL starts a program for each file, and a start costs more than storing a segment. So the one
 * start stores also the files that wait behind the one asked for, and leaves a marker for each. Nothing in `pg_wal` or
 * `archive_status` is touched: PostgreSQL asks for each file in its turn, and `bin/walnut` answers from the marker.
 */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { hasCode, messageOf, WalnutError } from '../lib/walnut-error.ts';
import {
  AheadMarkers,
  readFileIdentity,
  renderMarker,
  type MarkerBinding,
} from './ahead-marker.ts';
import { chooseAhead, isPushedAhead } from './choose-ahead.ts';
import { findIncarnation } from './incarnation.ts';
import { pushFile, type PushRequest } from './push.ts';
import type { WalDestination } from './store-segment.ts';

/** A server that stops waits for its archive_command; after this long no further file is begun. */
const AHEAD_MS_MAX = 10_000;
/** While one file waits for the disk, the next is read and compressed; a third finds both busy. */
const LANES = 2;

export type AheadRequest = PushRequest & {
  /** The folder of the markers. */
  readonly directory: string;
  readonly configuration: MarkerBinding['configuration'];
  readonly signal: AbortSignal;
  /** Milliseconds of a clock that does not jump. */
  readonly clockMs: () => number;
};

export type AheadOutcome = {
  /** Files that are durable and marked, in any order. */
  readonly files: readonly string[];
  /** Why it ended early; what is left comes in its own turn. */
  readonly problem: WalnutError | null;
};

/** To be called when the file asked for is durable; never throws, because that one must not fail for the sake of others. */
export async function pushAhead(request: AheadRequest): Promise<AheadOutcome> {
  const files: string[] = [];
  try {
    await storeAhead(request, files);
    return { files, problem: null };
  } catch (error) {
    const problem = new WalnutError(
      hasCode(error, 'wal-conflict', 'object-damaged', 'foreign-system') ? error.code : 'failed',
      `push ahead of ${basename(request.path)}: ${messageOf(error)}`,
      { cause: error, ...(error instanceof WalnutError ? { hint: error.hint } : {}) },
    );
    return { files, problem };
  }
}

async function storeAhead(request: AheadRequest, files: string[]): Promise<void> {
  const { store, server, level, signal, clockMs } = request;
  const walFolder = dirname(request.path);
  const incarnation = await findIncarnation(store, server, request.incarnation);
  const destination: WalDestination = { store, server, incarnation, level };
  const markers = await AheadMarkers.open(request.directory, server);
  const chosen = chooseAhead(await readdir(join(walFolder, 'archive_status')), {
    asked: basename(request.path),
    segmentBytes: incarnation.walSegmentBytes,
  });
  const marked = await removeStale(request, markers, chosen);
  const unmarked = chosen.filter((file) => !marked.has(file));
  const waiting = unmarked.values();
  const endMs = clockMs() + AHEAD_MS_MAX;
  const failures: unknown[] = [];
  const lane = async (): Promise<void> => {
    const scratch = Buffer.allocUnsafeSlow(incarnation.walSegmentBytes + 1);
    for (const file of waiting) {
      if (failures.length > 0 || signal.aborted || clockMs() > endMs) return;
      const path = join(walFolder, file);
      try {
        if (await storeMarked(request, { destination, markers, path, scratch })) files.push(file);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  // Every lane is waited for: the repository must not be closed under one that still writes.
  await Promise.all(Array.from({ length: Math.min(LANES, unmarked.length) }, lane));
  if (failures.length > 0) throw failures[0];
}

type Ahead = {
  readonly destination: WalDestination;
  readonly markers: AheadMarkers;
  readonly path: string;
  readonly scratch: Buffer;
};

/** False when the file went away or changed meanwhile: then it is not the one that will be asked for. */
async function storeMarked(
  request: AheadRequest,
  { destination, markers, path, scratch }: Ahead,
): Promise<boolean> {
  const before = await identityOf(path);
  if (before === null) return false;
  await pushFile(destination, path, scratch);
  // Only now: the marker says that the file, as it still is, is durable.
  if ((await identityOf(path)) !== before) return false;
  await markers.write(basename(path), renderMarker(request, before));
  return true;
}

/**
 * Removes, each by its name, the markers that will not be honoured: of files that no longer wait, or that are not the
 * same any more. Answers the chosen files whose markers stand.
 */
async function removeStale(
  request: AheadRequest,
  markers: AheadMarkers,
  chosen: readonly string[],
): Promise<Set<string>> {
  const marked = new Set<string>();
  for (const file of await markers.list()) {
    if (!isPushedAhead(file)) continue;
    const identity = chosen.includes(file)
      ? await identityOf(join(dirname(request.path), file))
      : null;
    const stands =
      identity !== null && (await markers.matches(file, renderMarker(request, identity)));
    if (stands) marked.add(file);
    else await markers.remove(file);
  }
  return marked;
}

async function identityOf(path: string): Promise<string | null> {
  try {
    return await readFileIdentity(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
