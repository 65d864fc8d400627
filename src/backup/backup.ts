/**
 * A backup, from the first connection to the stored manifest. Reads like the manual:
 * https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP
 */
import { newBackupId } from '../repository/backup-id.ts';
import { serverKeys } from '../repository/layout.ts';
import { listBackupIds } from '../repository/repository.ts';
import type { Lease } from '../storage/object-store.ts';
import type { BackupContext } from './backup-context.ts';
import type { BackupOptions, BackupOutcome } from './backup-options.ts';
import { copyByFunctions } from './copy-by-functions.ts';
import { copyByStream } from './copy-by-stream.ts';
import { commitBackup } from './finish.ts';
import { chooseSource } from './choose-source.ts';
import { connectForBackup } from './connect.ts';
import type { BackupProgress } from './progress.ts';
import { storeTimelineHistory } from './store-timeline-history.ts';
import { switchOnPrimary } from './switch-on-primary.ts';
import { thisProcess } from '../lib/this-process.ts';
import { planRubbish, removeRubbish } from './rubbish.ts';
import { chooseType } from './choose-type.ts';

/** Younger temporary files may belong to a process on another host, whose life cannot be seen from here. */
const STALE_AFTER_MS: number = 60 * 60 * 1000;

/**
 * Takes one backup. Nothing is listed before its manifest is stored, and that happens last: whatever stops a backup,
 * there is never half of one.
 */
export async function runBackup(
  options: BackupOptions,
  progress: BackupProgress,
  signal: AbortSignal,
): Promise<BackupOutcome> {
  const startedMs = Date.now();
  const connected = await connectForBackup(options, signal);
  try {
    const source = await chooseSource(options, connected);
    progress.note(source.reason);
    const lease = await options.store.acquireLease(
      serverKeys.backupLease(options.server),
      thisProcess('backup'),
    );
    try {
      await removeDeadAttempts(options, progress, lease);
      const type = chooseType(options.type, progress);
      const taken = await listBackupIds(options.store, options.server);
      const id = newBackupId(type, new Date(), taken);
      const context = { options, progress, signal, id, connected, source, lease, startedMs };
      return await takeBackup({ ...context, warnings: [] });
    } finally {
      await lease.release();
    }
  } finally {
    await connected.close();
  }
}

async function takeBackup(context: BackupContext): Promise<BackupOutcome> {
  const { options, signal, source } = context;
  const supply = await options.walSupply.begin(context.connected.incarnation, signal);
  const copying = new AbortController();
  const both = AbortSignal.any([signal, copying.signal]);
  // A backup whose WAL cannot arrive is worth nothing: stop copying at once, and say why.
  supply?.failed.catch((error: unknown) => copying.abort(error));
  // So is one whose session is gone: with it the server has ended the backup.
  void context.connected.session.lost.then((error) => copying.abort(error));
  try {
    const copied =
      source.kind === 'stream'
        ? await copyByStream({ ...context, signal: both })
        : await copyByFunctions({ ...context, signal: both }, source);
    if (supply === null) {
      await storeTimelineHistory(context);
      await switchOnPrimary(context);
    }
    return await commitBackup({ ...context, signal: both }, copied);
  } finally {
    await supply?.stop();
  }
}

/** What dead attempts left is removed by a plan that is shown first. */
async function removeDeadAttempts(
  { store, server }: BackupOptions,
  progress: BackupProgress,
  lease: Lease,
): Promise<void> {
  const plan = await planRubbish(store, server);
  for (const { id, objects, bytes } of plan.attempts) {
    progress.note(
      `removing the interrupted backup ${id}: ${objects.length} objects, ${bytes} bytes`,
    );
    for (const { key } of objects) progress.note(`  ${key}`);
  }
  await removeRubbish(store, plan, lease);
  const temporaries = await store.removeStaleTemporaries(STALE_AFTER_MS);
  for (const name of temporaries) progress.note(`removed ${name}, left by a process that died`);
}
