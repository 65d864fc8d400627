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
import { newPushScratch, pushFile, type PushRequest, type PushScratch } from './push.ts';
import { PushThread } from './push-thread.ts';
import type { WalDestination } from './store-segment.ts';

/** A server that stops waits for its archive_command; after this long no further file is begun. */
const AHEAD_MS_MAX = 10_000;
/** While one file waits for the disk, the next is read and compressed; a third finds both busy. */
const LANES_PER_THREAD = 2;
/** To start a thread costs as much as to store a file or two. */
const FILES_PER_THREAD_MIN = 3;
/** Of segments in the hands of one thread; each takes as much again for its stored form. Larger ones go one by one. */
const BYTES_PER_THREAD_MAX: number = 64 * 1024 * 1024;

export type AheadRequest = PushRequest & {
  /** The folder of the markers. */
  readonly directory: string;
  readonly configuration: MarkerBinding['configuration'];
  /** How many threads store files, this one included. */
  readonly jobs: number;
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

export type Ahead = {
  /** To be called when the file asked for is durable; never throws, because that one must not fail for the sake of others. */
  push(): Promise<AheadOutcome>;
  /** To be called in the end, also when nothing was pushed. */
  close(): Promise<void>;
};

/**
 * Looks what waits, and starts the threads for it: they begin while the file asked for is being stored. Never throws:
 * what goes wrong is the outcome of `push`.
 */
export async function prepareAhead(request: AheadRequest): Promise<Ahead> {
  try {
    const plan = await planAhead(request);
    const threads = startThreads(request, plan);
    return {
      push: async () => pushPlanned(request, plan, threads),
      close: async () => void (await Promise.all(threads.map(async (thread) => thread.close()))),
    };
  } catch (error) {
    const outcome = { files: [], problem: problemOf(request, error) };
    return { push: async () => outcome, close: async () => {} };
  }
}

type Plan = {
  readonly destination: WalDestination;
  readonly markers: AheadMarkers;
  /** In the order in which they will be asked for. */
  readonly paths: readonly string[];
};

async function planAhead(request: AheadRequest): Promise<Plan> {
  const { store, server, level } = request;
  const walFolder = dirname(request.path);
  const incarnation = await findIncarnation(store, server, request.incarnation);
  const markers = await AheadMarkers.open(request.directory, server);
  const chosen = chooseAhead(await readdir(join(walFolder, 'archive_status')), {
    asked: basename(request.path),
    segmentBytes: incarnation.walSegmentBytes,
  });
  const marked = await removeStale(request, markers, chosen);
  const unmarked = chosen.filter((file) => !marked.has(file));
  const destination = { store, server, incarnation, level };
  return { destination, markers, paths: unmarked.map((file) => join(walFolder, file)) };
}

function startThreads({ jobs }: AheadRequest, { destination, paths }: Plan): PushThread[] {
  const threads = Math.min(jobs - 1, Math.floor(paths.length / FILES_PER_THREAD_MIN));
  if (destination.incarnation.walSegmentBytes > BYTES_PER_THREAD_MAX) return [];
  return Array.from({ length: Math.max(threads, 0) }, () => new PushThread(destination));
}

async function pushPlanned(
  request: AheadRequest,
  { destination, markers, paths }: Plan,
  threads: readonly PushThread[],
): Promise<AheadOutcome> {
  const { signal, clockMs } = request;
  const files: string[] = [];
  const failures: unknown[] = [];
  const waiting = paths.values();
  const endMs = clockMs() + AHEAD_MS_MAX;
  const lane = async (push: Push): Promise<void> => {
    for (const path of waiting) {
      if (failures.length > 0 || signal.aborted || clockMs() > endMs) return;
      try {
        if (await storeMarked(request, { markers, path, push })) files.push(basename(path));
      } catch (error) {
        failures.push(error);
      }
    }
  };
  const pushes = [
    ...threads.map((thread) => async (path: string) => thread.push(path)),
    ownPush(destination),
  ];
  const { walSegmentBytes } = destination.incarnation;
  const lanesPerThread =
    walSegmentBytes * LANES_PER_THREAD > BYTES_PER_THREAD_MAX ? 1 : LANES_PER_THREAD;
  const lanes = Array.from({ length: lanesPerThread }, () => pushes.map(lane));
  // Every lane is waited for: the repository must not be closed under one that still writes.
  await Promise.all(lanes.flat());
  return { files, problem: failures.length > 0 ? problemOf(request, failures[0]) : null };
}

function problemOf({ path }: AheadRequest, error: unknown): WalnutError {
  return new WalnutError(
    hasCode(error, 'wal-conflict', 'object-damaged', 'foreign-system') ? error.code : 'failed',
    `push ahead of ${basename(path)}: ${messageOf(error)}`,
    { cause: error, ...(error instanceof WalnutError ? { hint: error.hint } : {}) },
  );
}

/** Stores one file durably, or throws. */
type Push = (path: string) => Promise<unknown>;

function ownPush(destination: WalDestination): Push {
  const unused: PushScratch[] = [];
  return async (path) => {
    const scratch = unused.pop() ?? newPushScratch(destination.incarnation);
    try {
      return await pushFile(destination, path, scratch);
    } finally {
      unused.push(scratch);
    }
  };
}

type MarkedPush = {
  readonly markers: AheadMarkers;
  readonly path: string;
  readonly push: Push;
};

/** False when the file went away or changed meanwhile: then it is not the one that will be asked for. */
async function storeMarked(
  request: AheadRequest,
  { markers, path, push }: MarkedPush,
): Promise<boolean> {
  const before = await identityOf(path);
  if (before === null) return false;
  await push(path);
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
