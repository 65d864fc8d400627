/**
 * A backup, from the first connection to the stored manifest. Reads like the manual:
 * https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP
 */
import { counted } from '../lib/counted.ts';
import { newBackupStamp } from '../repository/backup-id.ts';
import { messageOf } from '../lib/walnut-error.ts';
import { serverKeys } from '../repository/layout.ts';
import { listBackupIds } from '../repository/repository.ts';
import type { Lease } from '../storage/object-store.ts';
import type { DeadAttempt } from './attempt-pages.ts';
import type { BackupContext } from './backup-context.ts';
import type { BackupOptions, BackupOutcome } from './backup-options.ts';
import { copyByFunctions } from './copy-by-functions.ts';
import { copyByStream } from './copy-by-stream.ts';
import { commitBackup } from './finish.ts';
import { chooseSource } from './choose-source.ts';
import { connectForBackup, type BackupConnection } from './connect.ts';
import type { BackupProgress } from './progress.ts';
import { storeTimelineHistory } from './store-timeline-history.ts';
import { switchOnPrimary } from './switch-on-primary.ts';
import { thisProcess } from '../lib/this-process.ts';
import { partAttempts, planRubbish, removeRubbish, type RubbishPlan } from './rubbish.ts';

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
    if (connected.sqlRefusal !== null) progress.note(unknownWithoutSql(connected));
    const lease = await options.store.acquireLease(
      serverKeys.backupLease(options.server),
      thisProcess('backup'),
    );
    try {
      const attempts = await takeOverAttempts(options, { progress, lease, connected });
      const taken = await listBackupIds(options.store, options.server);
      const stamp = newBackupStamp(new Date(), taken);
      const context = { options, progress, signal, stamp, connected, source, lease, attempts };
      const outcome = await takeBackup({ ...context, startedMs, warnings: [] });
      await clearAway(options, { progress, lease });
      return outcome;
    } finally {
      await lease.release();
    }
  } finally {
    await connected.close();
  }
}

/** What the manifest will lack, said once. */
function unknownWithoutSql({ facts }: BackupConnection): string {
  const settings = facts.role.readsAllSettings
    ? ''
    : ', settings that only pg_read_all_settings sees (where the server keeps its files)';
  return (
    'over replication connections only; not known, and not recorded: names of databases and tablespaces, which relation ' +
    `a damaged block belongs to, configuration files outside the data directory${settings}`
  );
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
    if (supply === null) await storeTimelineHistory(context);
    const copied =
      source.kind === 'stream'
        ? await copyByStream({ ...context, signal: both })
        : await copyByFunctions({ ...context, signal: both }, source);
    if (supply === null) await switchOnPrimary(context, copied);
    return await commitBackup({ ...context, signal: both }, copied);
  } finally {
    await supply?.stop();
  }
}

type Clearing = { readonly progress: BackupProgress; readonly lease: Lease };

/** Interrupted backups of this cluster stay until the new one is done, which need not store again what they hold. */
async function takeOverAttempts(
  options: BackupOptions,
  clearing: Clearing & { readonly connected: BackupConnection },
): Promise<readonly DeadAttempt[]> {
  const { store, server, fresh } = options;
  const plan = await planRubbish(store, server);
  const { systemIdentifier } = clearing.connected;
  const { usable, rubbish } = fresh
    ? { usable: [], rubbish: plan }
    : await partAttempts(store, plan, systemIdentifier);
  for (const { id } of usable) {
    clearing.progress.note(
      `the backup ${id} was interrupted: what it copied and still holds is not stored again`,
    );
  }
  await remove(rubbish, options, clearing);
  return usable;
}

/** The backup exists: what goes wrong from here on takes nothing from it. */
async function clearAway(options: BackupOptions, clearing: Clearing): Promise<void> {
  try {
    await remove(await planRubbish(options.store, options.server), options, clearing);
  } catch (error) {
    clearing.progress.warning(
      `could not clear away what interrupted backups left, which the next backup does: ${messageOf(error)}`,
    );
  }
}

/** What dead attempts left is removed by a plan that is shown first. */
async function remove(
  plan: RubbishPlan,
  { store }: BackupOptions,
  { progress, lease }: Clearing,
): Promise<void> {
  for (const { id, objects, bytes } of plan.attempts) {
    progress.note(
      `removing the interrupted backup ${id}: ${counted(objects.length, 'object')}, ${bytes} bytes`,
    );
    for (const { key } of objects) progress.note(`  ${key}`);
  }
  await removeRubbish(store, plan, lease);
  const temporaries = await store.removeStaleTemporaries(STALE_AFTER_MS);
  for (const name of temporaries) progress.note(`removed ${name}, left by a process that died`);
}
