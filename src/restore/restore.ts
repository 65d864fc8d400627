import { chmod, chown } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../lib/durable-file.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { completeFolders } from './complete-folders.ts';
import { copyWal } from './copy-wal.ts';
import { systemCodeOf } from './file-failure.ts';
import { locate, rootFolders } from './locations.ts';
import { placeFiles, type PlacedFiles } from './place-files.ts';
import { PlaceWorkers } from './place-workers.ts';
import type { RestoreDecision, RestorePlan } from './plan.ts';
import { prepareFolders } from './prepare-folders.ts';
import type { RestoreProgress } from './progress.ts';
import { removeControlFile, writeControlFile, writeRecoveryFiles } from './recovery-files.ts';
import { removePlanned } from './removals.ts';
import { requireUnused } from './server-processes.ts';
import { lockTarget } from './target-lock.ts';
import { moveUnstoredWal } from './unstored-wal.ts';
import { removeMarker, writeMarker } from './unfinished-marker.ts';

export type RestoreContext = {
  readonly store: ObjectStore;
  /** Threads that were started while the plan was made; closed at the end. Left out, the restore starts its own. */
  readonly workers?: PlaceWorkers;
  /** What has to be known before anything is written. */
  readonly prove?: () => Promise<void>;
  readonly progress: RestoreProgress;
  readonly signal: AbortSignal;
};

export type RestoreResult = {
  readonly plan: RestorePlan;
  /** Bytes written to data directory and tablespaces. */
  readonly restoredBytes: number;
  /** Bytes that were found right there and left as they were. */
  readonly keptBytes: number;
  /** Bytes read from the repository for them. */
  readonly readBytes: number;
  readonly walBytes: number;
  readonly durationMs: number;
};

/** Starts the threads of a restore, which may be done before the plan is complete. */
export function startWorkers(
  { store }: Pick<RestoreContext, 'store'>,
  { backup, locations, owner, request }: Omit<RestoreDecision, 'present'>,
): PlaceWorkers {
  const { jobs, rateBytesPerSecond, delta: keepPresent } = request;
  const options = { locations, owner, keepPresent, jobs, rateBytesPerSecond };
  return new PlaceWorkers({ store, manifest: backup.manifest, ...options });
}

/**
 * Carries out a plan. Until its last step the folder holds no pg_control (one that stands there goes first), so whatever
 * interrupts the restore leaves nothing that could be started by mistake; everything is durable before that step.
 */
export async function restore(plan: RestorePlan, context: RestoreContext): Promise<RestoreResult> {
  const { progress, store, prove } = context;
  const startedMs = performance.now();
  await using workers = context.workers ?? startWorkers({ store }, plan);
  progress.phaseBegan('prove');
  await prove?.();
  progress.phaseBegan('prepare');
  await prepareFolders(plan.locations);
  const lock = plan.delta === null ? null : await lockTarget(plan.locations.dataDirectory);
  try {
    await begin(plan, context);
    const done = await placeAll(plan, context, workers);
    return { ...done, durationMs: Math.round(performance.now() - startedMs) };
  } finally {
    await lock?.release();
  }
}

/** Marks the target; from a cluster that stands there takes first what makes it start, then what does not belong to it. */
async function begin(
  { backup, delta, locations, owner, request }: RestorePlan,
  context: RestoreContext,
): Promise<void> {
  const { progress, signal } = context;
  const what = `backup ${backup.id} of ${request.server}`;
  const { systemIdentifier } = backup.manifest;
  if (delta !== null) await requireUnused(rootFolders(locations));
  await writeMarker(locations, { what, systemIdentifier });
  if (delta === null) return;
  await removeControlFile(locations.dataDirectory);
  progress.phaseBegan('delete');
  await moveUnstoredWal(delta.unstoredWal, owner);
  await removePlanned(delta.removals, signal);
}

async function placeAll(
  plan: RestorePlan,
  context: RestoreContext,
  workers: PlaceWorkers,
): Promise<Omit<RestoreResult, 'durationMs'>> {
  const { progress } = context;
  progress.phaseBegan('place');
  const placed = await place(plan, context, workers);
  await completeFolders(plan);
  progress.phaseBegan('wal');
  const walBytes = await layWal(plan, context);
  progress.phaseBegan('configure');
  await writeRecoveryFiles(plan);
  progress.phaseBegan('finish');
  await settleRoots(plan);
  context.signal.throwIfAborted();
  await writeControlFile(plan);
  await removeMarker(plan.locations.dataDirectory);
  return {
    plan,
    restoredBytes: placed.writtenBytes,
    keptBytes: placed.keptBytes,
    readBytes: placed.readBytes,
    walBytes,
  };
}

async function place(
  { map, delta, locations, owner }: RestorePlan,
  { progress, signal }: RestoreContext,
  workers: PlaceWorkers,
): Promise<PlacedFiles> {
  return await placeFiles({
    map,
    locations,
    keepPresent: delta !== null,
    owner,
    workers,
    signal,
    onPlaced: (done, total) => progress.placed(done, total),
    onSettle: () => progress.phaseBegan('settle'),
  });
}

async function layWal(
  { wal, inventory, locations, owner }: RestorePlan,
  { store, signal }: RestoreContext,
): Promise<number> {
  if (wal.mode === 'fetch') return 0;
  const walFolder = locate(locations, 'pg_wal');
  return await copyWal({ store, inventory, wal, walFolder, owner, signal });
}

/** The folders themselves and their entries in the folders above. */
async function settleRoots({ locations, owner, backup }: RestorePlan): Promise<void> {
  const { dataDirectory, tablespaces, walDirectory } = locations;
  const mode = backup.manifest.cluster.dataDirectoryMode & 0o777;
  const others = tablespaces.map(({ directory }) => directory);
  if (walDirectory !== null) others.push(walDirectory);
  for (const root of [dataDirectory, ...others]) {
    if (owner !== null) await chown(root, owner.uid, owner.gid);
    await chmod(root, root === dataDirectory ? mode : 0o700);
    await syncFolder(root);
    await syncFolder(dirname(root)).catch(exceptDenied);
  }
}

/** A folder above that this user cannot open is none in which this restore has made something. */
function exceptDenied(error: unknown): void {
  if (systemCodeOf(error) !== 'EACCES') throw error;
}
