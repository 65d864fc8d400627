import { chmod, chown, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder } from '../lib/durable-file.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { completeFolders } from './complete-folders.ts';
import { copyWal } from './copy-wal.ts';
import { locate } from './locations.ts';
import { placeFiles, type PlacedFiles } from './place-files.ts';
import type { RestorePlan } from './plan.ts';
import { prepareFolders } from './prepare-folders.ts';
import type { RestoreProgress } from './progress.ts';
import { writeControlFile, writeRecoveryFiles } from './recovery-files.ts';
import { UNFINISHED_MARKER } from './target-folder.ts';

export type RestoreContext = {
  readonly store: ObjectStore;
  readonly progress: RestoreProgress;
  readonly signal: AbortSignal;
};

export type RestoreResult = {
  readonly plan: RestorePlan;
  /** Bytes written to data directory and tablespaces. */
  readonly restoredBytes: number;
  /** Bytes read from the repository for them. */
  readonly readBytes: number;
  readonly walBytes: number;
  readonly durationMs: number;
};

/**
 * Carries out a plan. Until its last step the folder holds no pg_control, so whatever interrupts the restore leaves
 * nothing that could be started by mistake; everything is durable before that step.
 */
export async function restore(plan: RestorePlan, context: RestoreContext): Promise<RestoreResult> {
  const { progress } = context;
  const startedMs = performance.now();
  progress.phaseBegan('prepare');
  await prepareFolders(plan.locations, `backup ${plan.backup.id} of ${plan.request.server}`);
  progress.phaseBegan('place');
  const placed = await place(plan, context);
  await completeFolders(plan);
  progress.phaseBegan('wal');
  const walBytes = await layWal(plan, context);
  progress.phaseBegan('configure');
  await writeRecoveryFiles(plan);
  progress.phaseBegan('finish');
  await settleRoots(plan);
  context.signal.throwIfAborted();
  await writeControlFile(plan);
  await removeMarker(plan);
  return {
    plan,
    restoredBytes: placed.writtenBytes,
    readBytes: placed.readBytes,
    walBytes,
    durationMs: Math.round(performance.now() - startedMs),
  };
}

async function place(
  { backup, locations, owner, request }: RestorePlan,
  { store, progress, signal }: RestoreContext,
): Promise<PlacedFiles> {
  return await placeFiles({
    store,
    manifest: backup.manifest,
    locations,
    owner,
    jobs: request.jobs,
    rateBytesPerSecond: request.rateBytesPerSecond,
    spillPath: join(locations.dataDirectory, `${UNFINISHED_MARKER}.places`),
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
    await syncFolder(dirname(root));
  }
}

async function removeMarker({ locations }: RestorePlan): Promise<void> {
  await rm(join(locations.dataDirectory, UNFINISHED_MARKER), { force: true });
  await syncFolder(locations.dataDirectory);
}
